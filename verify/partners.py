"""Which register of the netlist is which of the Verilog."""

from __future__ import annotations

import random
from collections.abc import Set

from nomul.verify.gates import Gates
from nomul.verify.mapped import Mapped
from nomul.verify.words import Words

__all__ = ["alike", "namesakes"]

_SAMPLES = 1024
_CYCLES = 16


def namesakes(verilog: Words, netlist: Mapped) -> dict[int, int]:
    """Return the netlist's registers, or constants, that have the names of the Verilog's.

    Both are told by the nets that they drive. Several may have one partner.
    """
    holding = {0, 1, *netlist.starts}
    names = netlist.module.signals
    return {
        net: names[bit]
        for bit, net in verilog.module.signals.items()
        if net in verilog.starts and names.get(bit) in holding
    }


def alike(
    verilog: Words, netlist: Mapped, missing: Set[int]
) -> tuple[dict[int, int], dict[int, int]]:
    """Guess partners for registers of the Verilog whose names are lost, by what they do.

    Synthesis merges registers that are always equal, and the names of but one of them stay.

    Returns
    -------
    Partners of the ``missing``, which on random inputs do the same; and, for all other registers of
    the netlist that do the same as such a partner, that partner: they too must be equal to it.
    """
    told = _histories(verilog)
    wanted = {told[net] for net in missing}
    partners: dict[int, int] = {}
    others: dict[int, int] = {}
    for net, history in _histories(netlist).items():
        if history in partners:
            others[net] = partners[history]
        elif history in wanted:
            partners[history] = net
    guesses = {net: partners[told[net]] for net in missing if told[net] in partners}
    return guesses, others


def _histories(side: Mapped | Words) -> dict[int, int]:
    """Return what each register holds, cycle after cycle, for many samples at once."""
    gates = Gates()
    inputs = {bit: gates.free() for bit in sorted(side.module.ports("input"))}
    held = {net: gates.free() for net in side.starts}
    _, following = side.build(gates, inputs, held)
    cone = gates.cone([0, *(literal >> 1 for literal in following.values())])
    ones = (1 << _SAMPLES) - 1
    values = {net: ones if start else 0 for net, start in side.starts.items()}
    histories = dict.fromkeys(values, 0)
    source = random.Random(0)  # noqa: S311
    for _ in range(_CYCLES):
        words = [0] * len(gates)
        for literal in inputs.values():
            words[literal >> 1] = source.getrandbits(_SAMPLES)
        for net, literal in held.items():
            words[literal >> 1] = values[net]
            histories[net] = histories[net] << _SAMPLES | values[net]
        for gate in cone:
            if gates.sources[gate]:
                words[gate] = gates.word(gate, words, ones)
        values = {
            net: words[literal >> 1] ^ (ones if literal & 1 else 0)
            for net, literal in following.items()
        }
    return histories
