"""A scheduled graph as Amaranth signals."""

from __future__ import annotations

import itertools

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from nomul.hw.area_model import is_chain, overlap
from nomul.hw.graph import (
    Choice,
    Complement,
    Constant,
    Count,
    Graph,
    Greater,
    Input,
    Node,
    Offset,
    Sum,
    Table,
)
from nomul.hw.pipeline import Pipeline
from nomul.hw.schedule import Schedule
from nomul.hw.targets import Target

__all__ = ["Datapath"]


class Datapath:
    """The nodes of a graph, each with a register for every stage that it outlives.

    Parameters
    ----------
    m
        The module that they become part of.
    pipeline
        The registers' control.
    target
        Says which adders are gates and which stay carry chains of their own.
    """

    def __init__(
        self, m: Module, graph: Graph, schedule: Schedule, pipeline: Pipeline, target: Target
    ) -> None:
        self._m = m
        self._graph = graph
        self._schedule = schedule
        self._pipeline = pipeline
        self._target = target
        self._held: list[list[Value]] = []

    def build(self, levels: list[Value]) -> list[Value]:
        """Return the outputs for a sample's levels."""
        n_held = self._schedule.held_stages(self._graph)
        for number, node in enumerate(self._graph.nodes):
            values = [levels[node.source] if isinstance(node, Input) else self._node(number, node)]
            for stage in range(1, n_held[number] + 1):
                name = f"{self._graph.names[number]}_after_{self._schedule.stages[number] + stage}"
                values.append(self._pipeline.register(values[-1], name))
            self._held.append(values)
        return [self._held[number][-1] for number in self._graph.outputs]

    def _node(self, number: int, node: Node) -> Value:
        width = self._graph.width(number)
        stage = self._schedule.stages[number]
        match node:
            case Constant(value=value):
                return Const(value, width)
            case Table(bits=bits, entries=entries):
                address = Cat(self._read(operand, stage)[bit] for operand, bit in bits)
                return self._table(number, address, entries)
            case Complement(number=operand):
                return self._signal(number, ~self._read(operand, stage))
            case Sum() as node:
                total = self._sum(number, node, stage)
                return self._signal(number, ~total if node.complemented else total)
            case Count(number=operand, bounds=bounds):
                return self._signal(number, _count(self._read(operand, stage), bounds, width))
            case Greater(left=left, right=right):
                return self._signal(number, self._read(left, stage) > self._read(right, stage))
            case Choice(condition=condition, if_true=if_true, if_false=if_false):
                values = (self._read(if_true, stage), self._read(if_false, stage))
                return self._signal(number, Mux(self._read(condition, stage), *values))
            case Offset(number=operand, offset=offset):
                return self._signal(number, self._read(operand, stage) + offset)
        raise AssertionError(f"no hardware for {node}")

    def _read(self, number: int, stage: int) -> Value:
        """Return a node's number as ``stage`` sees it."""
        if isinstance(self._graph.nodes[number], Constant):
            return self._held[number][0]
        return self._held[number][stage - self._schedule.stages[number]]

    def _signal(self, number: int, value: Value) -> Signal:
        signal = Signal(self._graph.width(number), name=self._graph.names[number])
        self._m.d.comb += signal.eq(value)
        return signal

    def _table(self, number: int, address: Value, entries: tuple[int, ...]) -> Signal:
        """Each bit of the entries is a row of bits, of which the address takes one."""
        width = self._graph.width(number)
        rows = [
            sum((entry >> bit & 1) << place for place, entry in enumerate(entries))
            for bit in range(width)
        ]
        bits = (Const(row, len(entries)).bit_select(address, 1) for row in rows)
        return self._signal(number, Cat(*bits))

    def _sum(self, number: int, node: Sum, stage: int) -> Value:
        """Return ``low + (high << shift)``; the low bits below pass by the adder."""
        low, high = self._read(node.low, stage), self._read(node.high, stage)
        width = self._graph.width(number)
        if node.carry is not None:
            return self._sum_with_carry(number, node, stage)
        if node.shift >= len(low):
            return Cat(low, Const(0, node.shift - len(low)), high)
        upper = low[node.shift :]
        if not is_chain(self._graph, node, self._target):
            return Cat(low[: node.shift], _gate_sum(upper, high, Const(0, 1)))[:width]
        chain = upper + high
        if overlap(self._graph, node) >= self._target.kept_bits:
            # Kept, it stays a chain of its own: synthesis would join several to compressors. No
            # bit of another number may be in a kept signal: yosys 0.70 with abc9 has been seen to
            # leave such bits undriven.
            name = f"{self._graph.names[number]}_chain"
            kept = Signal(width - node.shift, name=name, attrs={"keep": 1})
            self._m.d.comb += kept.eq(~chain if node.complemented else chain)
            chain = ~kept if node.complemented else kept
        return Cat(low[: node.shift], chain)[:width]

    def _sum_with_carry(self, number: int, node: Sum, stage: int) -> Value:
        """Return ``low + high + carry``; a chain's lowest bit brings the carry in."""
        assert node.carry is not None
        low, high = self._read(node.low, stage), self._read(node.high, stage)
        carry = self._read(node.carry, stage)
        if is_chain(self._graph, node, self._target):
            total = (Cat(Const(1, 1), low) + Cat(carry, high))[1:]
        else:
            total = _gate_sum(low, high, carry)
        return total[: self._graph.width(number)]


def _gate_sum(a: Value, b: Value, carry: Value) -> Value:
    """Return ``a + b + carry`` as gates."""
    bits = []
    for index in range(max(len(a), len(b))):
        x = a[index] if index < len(a) else Const(0, 1)
        y = b[index] if index < len(b) else Const(0, 1)
        bits.append(x ^ y ^ carry)
        carry = (x & y) | (carry & (x ^ y))
    return Cat(*bits, carry)


def _count(number: Value, bounds: tuple[int, ...], width: int) -> Value:
    """Return how many of ``bounds`` are reached.

    The comparisons make a thermometer: the first so many are true. Bit b of their number is the
    parity of every 2**b-th of them.
    """
    reached = [_reaches(number, bound) for bound in bounds]
    return Cat(Cat(reached[(1 << bit) - 1 :: 1 << bit]).xor() for bit in range(width))


def _reaches(number: Value, bound: int) -> Value:
    """Return ``number >= bound`` as gates.

    A carry chain takes a logic cell for every bit; LUTs, one for three.
    """
    if bound >= 1 << len(number):
        return Const(0, 1)
    reaches: Value = Const(1, 1)
    start = 0
    for is_one, run in itertools.groupby(range(len(number)), lambda index: bound >> index & 1):
        end = start + len(list(run))
        equal = number[start:end]
        reaches = equal.all() & reaches if is_one else equal.any() | reaches
        start = end
    return reaches
