"""Whether a fault can show at all: proved, or refuted by a sample.

What no sample shows is no fault. The good circuit and broken ones become one list of gates, in
which all that they share is there once, and :func:`nomul.verify.sweep.decide` proves their outputs
equal or finds levels for which they are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
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
from nomul.sim.cells import FlipFlop, Lookup, model
from nomul.verify.gates import FALSE, TRUE, Gates, inverted
from nomul.verify.sweep import decide

__all__ = ["Effect", "graph_effects", "netlist_effects"]

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


def netlist_effects(
    module: Mapping[str, Any],
    port: str,
    values: Sequence[int],
    n_inputs: int,
    seconds: float,
) -> list[Effect]:
    """Decide whether any sample gives another answer with a value at ``port`` than with 0 there.

    Parameters
    ----------
    module
        Of an unrolled network whose registers always move, as yosys' ``write_json`` writes it.
    """
    gates = Gates()
    payload = [gates.free() for _ in module["ports"]["i__payload"]["bits"]]
    width = len(payload) // n_inputs
    levels = [payload[place : place + width] for place in range(0, len(payload), width)]
    good = _netlist_outputs(gates, module, payload, port, 0)
    n_first = len(gates)
    others = [_netlist_outputs(gates, module, payload, port, value) for value in values]
    return _effects(gates, n_first, good, others, levels, seconds)


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


def _netlist_outputs(
    gates: Gates, module: Mapping[str, Any], payload: Bits, port: str, value: int
) -> Bits:
    constants = {0: FALSE, 1: TRUE}
    literals: dict[int, int] = dict(constants)
    for name, own in module["ports"].items():
        if name == "i__payload":
            literals |= dict(zip(own["bits"], payload, strict=True))
        elif own["direction"] == "input":
            held = value if name == port else int(name in ("i__valid", "o__ready"))
            literals |= {net: held >> place & 1 for place, net in enumerate(own["bits"])}
    parts: dict[int, Lookup | FlipFlop] = {}
    new_nets = itertools.count(1 << 40)
    for cell in module["cells"].values():
        nets = {name: _net(bits[0]) for name, bits in cell["connections"].items() if bits}
        for made in model(cell["type"], cell["parameters"], nets, new_nets.__next__):
            parts[made.output if isinstance(made, Lookup) else made.q] = made
    wanted = [_net(bit) for bit in module["ports"]["o__payload"]["bits"]]
    waiting = list(wanted)
    while waiting:
        net = waiting[-1]
        if net in literals:
            waiting.pop()
            continue
        part = parts[net]
        reads = part.inputs if isinstance(part, Lookup) else (part.d, part.clear, part.preset)
        missing = [source for source in reads if source not in literals]
        if missing:
            waiting += missing
        elif isinstance(part, Lookup):
            literals[net] = gates.gate([literals[n] for n in part.inputs], part.table)
        else:
            d, clear, preset = (literals[source] for source in reads)
            literals[net] = gates.or_(gates.and_(d, inverted(clear)), preset)
    return [literals[net] for net in wanted]


def _net(bit: int | str) -> int:
    return bit if isinstance(bit, int) else int(bit == "1")
