"""Whether a fault can show at all: proved by a SAT solver, or not.

What nothing can show is no fault. The good circuit and broken ones become one list of gates, in
which all that they share is there once, and :func:`nomul.verify.sweep.decide` proves their outputs
equal, or finds inputs for which they are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nomul.hw.graph import (
    Choice,
    Complement,
    Constant,
    Count,
    Graph,
    Greater,
    Input,
    Offset,
    Sum,
    Table,
)
from nomul.verify.gates import FALSE, TRUE, Gates, inverted
from nomul.verify.module import Logic, Module, Part
from nomul.verify.sweep import decide

__all__ = ["Effect", "design_effects", "graph_effects"]

Effect = NDArray[np.int64] | Literal["none", "open"]
"""Levels that show a fault, shape (inputs,); ``"none"``: proved that no sample does."""

Bits = list[int]


def graph_effects(
    graph: Graph, broken: Sequence[Graph], n_inputs: int, seconds: float
) -> list[Effect]:
    """Decide for broken graphs whether any sample gives another answer than ``graph``.

    Numbers are taken to be as wide as the hardware makes them.

    Parameters
    ----------
    n_inputs
        Of the network.
    seconds
        For all of them.
    """
    gates = Gates()
    n_levels = next(node.n_levels for node in graph.nodes if isinstance(node, Input))
    n_bits = (n_levels - 1).bit_length()
    levels = [[gates.free() for _ in range(n_bits)] for _ in range(n_inputs)]
    good = _graph_outputs(gates, graph, levels)
    n_first = len(gates)
    others = [_graph_outputs(gates, each, levels) for each in broken]
    return _effects(gates, n_first, good, others, levels, seconds)


def design_effects(
    module: Mapping[str, Any], port: str, values: Sequence[int], seconds: float
) -> list[bool]:
    """Return for which values at ``port`` a design is proved to do what it does with 0 there.

    What registers and memories hold is the same to begin with, and may be anything. If then all
    outputs are equal, all registers take the same, and the memories read and write the same, then
    that holds for ever. The converse does not: a state that shows a fault may never come.

    Parameters
    ----------
    module
        As :func:`nomul.verify.schemata.split_design` returns it.
    seconds
        For all of them.
    """
    gates = Gates()
    design = Module(module)
    cells = list(design.cells())
    ports = design.ports("input")
    free = {net: gates.free() for bit, net in ports.items() if bit[0] != port}
    for kind, _, nets in cells:
        if kind not in _GATES:
            free |= {net: gates.free() for name in _MADE for net in nets.get(name, ())}
    parts = [
        Part(tuple(nets[name][0] for name in "ABS" if name in nets), nets["Y"], _built(gates, kind))
        for kind, _, nets in cells
        if kind in _GATES
    ]

    def claimed(value: int) -> Bits:
        chosen = {
            net: TRUE if value >> place & 1 else FALSE
            for (name, place), net in ports.items()
            if name == port
        }
        logic = Logic(gates, parts, free | chosen)
        claims = [logic.literal(net) for net in design.ports("output").values()]
        for kind, parameters, nets in cells:
            literals = {
                name: [logic.literal(net) for net in own]
                for name, own in nets.items()
                if name not in _MADE
            }
            if kind == "$mem_v2":
                claims += _memory_claims(gates, parameters, literals)
            elif kind not in _GATES:
                claims += [literal for own in literals.values() for literal in own]
        return claims

    good = claimed(0)
    n_first = len(gates)
    others = [claimed(value) for value in values]
    pairs = [pair for other in others for pair in zip(good, other, strict=True)]
    different = list({(a, b) for a, b in pairs if a != b})
    verdicts = decide(gates, n_first, different, seconds) if different else []
    equal = {pair for pair, verdict in zip(different, verdicts, strict=True) if verdict == "equal"}
    return [
        all(a == b or (a, b) in equal for a, b in zip(good, other, strict=True)) for other in others
    ]


_GATES = {
    "$_NOT_": 0b01,
    "$_AND_": 0b1000,
    "$_OR_": 0b1110,
    "$_XOR_": 0b0110,
    "$_MUX_": 0b11001010,
}

# What a register, a memory, and a cell that is anything at all ($anyseq, for each x) give.
_MADE = ("Q", "RD_DATA", "Y")


def _built(gates: Gates, kind: str) -> Callable[[Sequence[int]], Bits]:
    return lambda literals: [gates.gate(literals, _GATES[kind])]


def _memory_claims(
    gates: Gates, parameters: Mapping[str, str], literals: Mapping[str, Bits]
) -> Bits:
    """Return what a memory's ports take: addresses and data only where they are enabled."""
    n_bits, width = int(parameters["ABITS"], 2), int(parameters["WIDTH"], 2)
    counted = {name: list(own) for name, own in literals.items()}
    enables = literals["WR_EN"]
    counted["WR_DATA"] = [
        gates.and_(data, enable) for data, enable in zip(literals["WR_DATA"], enables, strict=True)
    ]
    of_writes = [
        reduce(gates.or_, enables[place : place + width]) for place in range(0, len(enables), width)
    ]
    for name, of_ports in (("WR_ADDR", of_writes), ("RD_ADDR", literals["RD_EN"])):
        counted[name] = [
            gates.and_(bit, of_ports[place // n_bits]) for place, bit in enumerate(literals[name])
        ]
    return [literal for own in counted.values() for literal in own]


def _effects(
    gates: Gates,
    n_first: int,
    good: Bits,
    others: Sequence[Bits],
    levels: Sequence[Bits],
    seconds: float,
) -> list[Effect]:
    pairs = [pair for other in others for pair in zip(good, other, strict=True)]
    verdicts = iter(decide(gates, n_first, pairs, seconds)) if pairs else iter(())
    effects: list[Effect] = []
    for other in others:
        found = list(itertools.islice(verdicts, len(other)))
        shown = [verdict for verdict in found if not isinstance(verdict, str)]
        if shown:
            known = shown[0]
            bits = [[known.get(literal >> 1, 0) for literal in level] for level in levels]
            weights = 1 << np.arange(len(bits[0]))
            effects.append(np.array(bits, np.int64) @ weights)
        else:
            effects.append("open" if "open" in found else "none")
    return effects


def _graph_outputs(gates: Gates, graph: Graph, levels: Sequence[Bits]) -> Bits:
    """Return the bits of all outputs, of a width that follows from the graph alone."""
    values: list[Bits] = []
    for number, node in enumerate(graph.nodes):
        width = graph.width(number)
        match node:
            case Constant(value=value):
                made = [TRUE if value >> bit & 1 else FALSE for bit in range(width)]
            case Input(source=source):
                made = list(levels[source])
            case Table(bits=bits, entries=entries):
                address = [_bit(values[operand], bit) for operand, bit in bits]
                rows = [[entry >> bit & 1 for entry in entries] for bit in range(width)]
                made = [_looked_up(gates, address, row) for row in rows]
            case Complement(number=operand):
                made = [inverted(bit) for bit in _wide(values[operand], width)]
            case Sum(low=low, high=high, shift=shift, complemented=complemented, carry=carry):
                a = _wide(values[low], width)
                b = _wide([FALSE] * shift + values[high], width)
                made = _added(gates, a, b, FALSE if carry is None else _bit(values[carry], 0))
                made = [inverted(bit) for bit in made] if complemented else made
            case Count(number=operand, bounds=bounds):
                reached = [_reaches(gates, values[operand], bound) for bound in bounds]
                made = [FALSE] * width
                for one in reached:
                    made = _added(gates, made, _wide([one], width), FALSE)
            case Greater(left=left, right=right):
                made = [inverted(_reaches_number(gates, values[right], values[left]))]
            case Choice(condition=condition, if_true=if_true, if_false=if_false):
                both = zip(
                    _wide(values[if_true], width), _wide(values[if_false], width), strict=True
                )
                made = [gates.choose(_bit(values[condition], 0), a, b) for a, b in both]
            case Offset(number=operand, offset=offset):
                constant = [TRUE if offset >> bit & 1 else FALSE for bit in range(width)]
                made = _added(gates, _wide(values[operand], width), constant, FALSE)
        values.append(_wide(made, width))
    return [bit for output in graph.outputs for bit in values[output]]


def _bit(bits: Bits, place: int) -> int:
    return bits[place] if place < len(bits) else FALSE


def _wide(bits: Bits, width: int) -> Bits:
    return [_bit(bits, place) for place in range(width)]


def _looked_up(gates: Gates, address: Bits, row: Sequence[int]) -> int:
    bits = [TRUE if bit else FALSE for bit in row]
    for chosen in address:
        bits = [gates.choose(chosen, b, a) for a, b in zip(bits[0::2], bits[1::2], strict=True)]
    return bits[0]


def _added(gates: Gates, a: Bits, b: Bits, carry: int) -> Bits:
    made = []
    for x, y in zip(a, b, strict=True):
        made.append(gates.gate((x, y, carry), 0b10010110))
        carry = gates.majority(x, y, carry)
    return made


def _reaches(gates: Gates, number: Bits, bound: int) -> int:
    if bound <= 0:
        return TRUE
    width = max(len(number), bound.bit_length())
    constant = [TRUE if bound >> bit & 1 else FALSE for bit in range(width)]
    return _reaches_number(gates, number, constant)


def _reaches_number(gates: Gates, number: Bits, bound: Bits) -> int:
    """Return ``number >= bound``: the carry out of their difference."""
    width = max(len(number), len(bound))
    carry = TRUE
    for x, y in zip(_wide(number, width), _wide(bound, width), strict=True):
        carry = gates.majority(x, inverted(y), carry)
    return carry
