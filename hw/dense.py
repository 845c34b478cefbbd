"""An unrolled dense layer: every neuron has its own look-ups, adders and comparators."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.pipeline import Pipeline
from nomul.hw.sums import NARROW_WIDTH, Constant, Term, add_tree, layer_tree_stages, neuron_sums
from nomul.hw.widths import accumulator_width, level_width
from nomul.network import Dense

__all__ = ["UnrolledDense"]


class UnrolledDense(wiring.Component):
    """Accumulators of a dense layer, or their levels where the layer has thresholds.

    Products are looked up in one table for each input and column, shared by the neurons that use
    it; where the column is the level itself, shifted, the table is wires. Positive and negative
    terms are added in two trees of exact widths, and the two sums meet in one subtraction.
    Thresholds are comparators with constants, which absorb the neuron's own constant.

    Latency: ``max(1, ceil(log(n, TREE_RADIX)))`` cycles for the n operands of the largest tree,
    one for the subtraction, and one for the comparison where there are thresholds. Initiation
    interval: 1 cycle.

    Parameters
    ----------
    layer
        The tables.

    Members
    -------
    i : In(stream)
        The levels of all inputs, each in ``level_width(layer.n_levels_in)`` bits. A level that
        the product table has no row for gives an unspecified result.
    o : Out(stream)
        The levels of all neurons, each in ``level_width(layer.n_levels)`` bits; or all
        accumulators, signed, each in ``accumulator_width(layer)`` bits.
    """

    i: Any
    o: Any

    def __init__(self, layer: Dense) -> None:
        self.layer = layer
        self._sums = neuron_sums(layer)
        self._n_tree_stages = layer_tree_stages(self._sums)
        result: Shape = (
            signed(accumulator_width(layer))
            if layer.n_levels is None
            else unsigned(level_width(layer.n_levels))
        )
        level = unsigned(level_width(layer.n_levels_in))
        levels = data.ArrayLayout(level, layer.n_inputs)
        results = data.ArrayLayout(result, layer.n_outputs)
        super().__init__({"i": In(stream.Signature(levels)), "o": Out(stream.Signature(results))})

    @property
    def latency(self) -> int:
        """Cycles from a transfer at ``i`` to its result at ``o``."""
        return self._n_tree_stages + (1 if self.layer.thresholds is None else 2)

    @property
    def initiation_interval(self) -> int:
        """Cycles between two transfers at ``i``, without stalls."""
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.i, self.o, self.latency)
        products = _Products(m, self.i.payload)
        for neuron, total in enumerate(self._sums):
            trees = _Trees(m, pipeline, products, f"neuron_{neuron}")
            positive = trees.add(total.positive, self._n_tree_stages)
            negative = trees.add(total.negative, self._n_tree_stages)
            # The register holds the complement, and the subtraction complements it again: so its
            # adder takes the register as it is, for a carry chain has no inverters at its inputs.
            complement = pipeline.register((~negative)[: len(negative)], f"neuron_{neuron}_minus")
            plus = pipeline.register(positive, f"neuron_{neuron}_plus")
            least = min(-1, -total.negative_maximum)  # always signed, as the comparisons expect
            difference = Signal(
                Shape.cast(range(least, total.positive_maximum + 1)),
                name=f"neuron_{neuron}_difference",
            )
            m.d.comb += difference.eq(plus - (~complement)[: len(complement)])
            result = pipeline.register(difference, f"neuron_{neuron}_accumulator")
            if self.layer.thresholds is not None:
                thresholds = self.layer.neuron_thresholds()[neuron]
                bounds = [int(threshold) - total.offset for threshold in thresholds]
                result = pipeline.register(_level(result, bounds), f"neuron_{neuron}_level")
            m.d.comb += self.o.payload[neuron].eq(result)
        return m


@dataclass(frozen=True)
class _Number:
    """A non-negative number of the datapath, ``value << shift``, and the greatest that it is."""

    value: Value
    shift: int
    maximum: int

    def whole(self) -> Value:
        return Cat(Const(0, self.shift), self.value)


class _Products:
    """The product tables of all inputs; each is made once."""

    def __init__(self, m: Module, levels: Any) -> None:
        self._m = m
        self._levels = levels
        self._made: dict[Term, Value] = {}

    def look_up(self, term: Term) -> Value:
        """Return the term without its low zeros."""
        level = self._levels[term.source]
        if term.is_wire:
            return Value.cast(level)
        if term not in self._made:
            width = term.maximum.bit_length() - term.shift
            product = Signal(width, name=f"product_{term.source}_{len(self._made)}")
            with self._m.Switch(level):
                for number, entry in enumerate(term.column):
                    with self._m.Case(number):
                        self._m.d.comb += product.eq(entry >> term.shift)
            self._made[term] = product
        return self._made[term]


class _Trees:
    """The adder trees of one neuron."""

    def __init__(self, m: Module, pipeline: Pipeline, products: _Products, name: str) -> None:
        self._m = m
        self._pipeline = pipeline
        self._products = products
        self._name = name
        self._n_sums = 0

    def add(self, operands: tuple[Term | Constant, ...], n_stages: int) -> Value:
        """Return the sum of ``operands`` as it enters its last register."""
        total = add_tree(self._numbers(operands), n_stages, self._add, self._register)
        return Const(0, 0) if total is None else total.whole()

    def _numbers(self, operands: tuple[Term | Constant, ...]) -> list[_Number]:
        return [
            _Number(Const(operand.maximum), 0, operand.maximum)
            if isinstance(operand, Constant)
            else _Number(self._products.look_up(operand), operand.shift, operand.maximum)
            for operand in operands
        ]

    def _add(self, a: _Number, b: _Number) -> _Number:
        low, high = sorted((a, b), key=lambda number: number.shift)
        distance = high.shift - low.shift
        maximum = a.maximum + b.maximum
        total = Signal(maximum.bit_length() - low.shift, name=self._next_name(), attrs={"keep": 1})
        # The low operand's bits below the high one's pass by the adder.
        self._m.d.comb += total.eq(
            Cat(low.value[:distance], _sum(low.value[distance:], high.value))
            if distance < len(low.value)
            else Cat(low.value, Const(0, distance - len(low.value)), high.value)
        )
        return _Number(total, low.shift, maximum)

    def _register(self, number: _Number) -> _Number:
        if isinstance(number.value, Const):
            return number
        held = self._pipeline.register(number.value, f"{self._next_name()}_held")
        return _Number(held, number.shift, number.maximum)

    def _next_name(self) -> str:
        self._n_sums += 1
        return f"{self._name}_sum_{self._n_sums}"


def _sum(a: Value, b: Value) -> Value:
    """Return ``a + b``: gates where an operand is narrow, else what becomes a carry chain."""
    if min(len(a), len(b)) > NARROW_WIDTH:
        return a + b
    carry: Value = Const(0, 1)
    bits = []
    for index in range(max(len(a), len(b))):
        x = a[index] if index < len(a) else Const(0, 1)
        y = b[index] if index < len(b) else Const(0, 1)
        bits.append(x ^ y ^ carry)
        carry = (x & y) | (carry & (x ^ y))
    return Cat(*bits, carry)


def _level(accumulator: Value, bounds: list[int]) -> Value:
    """Return the number of ``bounds`` that the signed ``accumulator`` reaches.

    The comparisons make a thermometer: the first so many are true. Bit b of their number is the
    parity of every 2**b-th of them.
    """
    reached = [_reaches(accumulator, bound) for bound in bounds]
    width = level_width(len(bounds) + 1)
    return Cat(Cat(reached[(1 << bit) - 1 :: 1 << bit]).xor() for bit in range(width))


def _reaches(value: Value, bound: int) -> Value:
    """Return ``value >= bound`` for a signed value, as gates.

    A carry chain takes a logic cell for every bit; LUTs, one for three.
    """
    width = len(value)
    if bound <= -(1 << (width - 1)):
        return Const(1, 1)
    if bound >= 1 << (width - 1):
        return Const(0, 1)
    # With the sign bit flipped, two's complement orders as an unsigned number.
    flipped = bound + (1 << (width - 1))
    bits = [*value[:-1], ~value[-1]]
    reaches: Value = Const(1, 1)
    start = 0
    for is_one, run in itertools.groupby(range(width), lambda index: flipped >> index & 1):
        end = start + len(list(run))
        equal = Cat(bits[start:end])
        reaches = equal.all() & reaches if is_one else equal.any() | reaches
        start = end
    return reaches
