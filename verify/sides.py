"""The two sides of the formal proof, and what is claimed of them.

Both are cut at their registers: what a register holds is free and the same on both sides, and what
it takes next is claimed to be equal. As they also start equal, they always are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nomul.verify.gates import FALSE, TRUE, Gates, inverted
from nomul.verify.mapped import Mapped
from nomul.verify.module import Bit, Logic
from nomul.verify.partners import alike, namesakes
from nomul.verify.words import Words

__all__ = ["Claim", "Sides", "pair"]

_CONSTANTS = {0: FALSE, 1: TRUE}


@dataclass(frozen=True)
class Claim:
    """That a literal of the Verilog, ``expected``, and one of the netlist, ``found``, are equal.

    Attributes
    ----------
    kind
        ``"sum"``: a bit of a sum that synthesis was told to keep. ``"register"``: what a register
        takes at a clock edge. ``"output"``: a bit of an output port.
    name
        The signal and the bit's place.
    guess
        Of a register whose partner was not found by name, but guessed: the gate that stands for
        what both hold.
    """

    kind: str
    name: Bit
    expected: int
    found: int
    guess: int | None = None


@dataclass(frozen=True, eq=False)
class Sides:
    """Verilog and netlist as gates of one list.

    Attributes
    ----------
    n_netlist
        So many of ``gates`` are the netlist's; what the Verilog has beside them comes behind.
    free
        The bits of input ports and registers, by gate.
    strangers
        Those of ``free`` that are registers of one side alone, and read.
    """

    gates: Gates
    n_netlist: int
    claims: tuple[Claim, ...]
    free: Mapping[int, Bit]
    strangers: frozenset[int]


def pair(verilog: Words, netlist: Mapped) -> Sides:
    """Put both sides of one design together.

    Raises
    ------
    UserError
        If the Verilog holds a cell that is not known.
    """
    gates = Gates()
    ports = {**verilog.module.ports("input"), **netlist.module.ports("input")}
    inputs = {bit: gates.free() for bit in ports}
    partners = namesakes(verilog, netlist)
    guesses: dict[int, int] = {}
    others: dict[int, int] = {}
    if missing := verilog.starts.keys() - partners.keys():
        guesses, others = alike(verilog, netlist, missing)
    held = {net: gates.free() for net in netlist.starts}
    held |= {net: held[partner] for net, partner in others.items()}
    found, taken = netlist.build(gates, inputs, held)
    nets = _kept(verilog, netlist, found)
    outputs = netlist.module.ports("output")
    found_bits = {("sum", bit): found.literal(net) for bit, net in nets.items()}
    for bit in verilog.module.ports("output"):
        found_bits["output", bit] = found.literal(outputs[bit]) if bit in outputs else gates.free()
    n_netlist = len(gates)

    partners |= guesses
    shared = {q: (held | _CONSTANTS)[net] for q, net in partners.items()}
    alone = {q: gates.free() for q in verilog.starts if q not in partners}
    expected, following = verilog.build(gates, inputs, shared | alone)

    signals, names = verilog.module.signals, verilog.module.names
    claims = [
        Claim(kind, bit, expected.literal(signals[bit]), literal)
        for (kind, bit), literal in found_bits.items()
    ]
    starts, taken = _CONSTANTS | netlist.starts, taken | _CONSTANTS
    for q, net in partners.items():
        guess = shared[q] >> 1 if q in guesses else None
        claims.append(Claim("register", names[q], following[q], taken[net], guess))
        if verilog.starts[q] != starts[net]:
            start = verilog.starts[q]
            claims.append(Claim("register", names[q], start, inverted(start), guess))
    mapped_names = {net: netlist.module.names.get(net, ("register", net)) for net in held}
    for net, partner in others.items():
        guess = held[net] >> 1
        claims.append(Claim("register", mapped_names[net], taken[partner], taken[net], guess))

    free = {literal >> 1: bit for bit, literal in inputs.items()}
    free |= {held[net] >> 1: mapped_names[net] for net in held}
    free |= {alone[q] >> 1: names[q] for q in alone}
    paired = {literal >> 1 for literal in shared.values()}
    single = {literal >> 1 for literal in (*held.values(), *alone.values())} - paired
    roots = [literal >> 1 for claim in claims for literal in (claim.expected, claim.found)]
    strangers = frozenset(single.intersection(gates.cone(roots)))
    return Sides(gates, n_netlist, tuple(claims), free, strangers)


def _kept(verilog: Words, netlist: Mapped, found: Logic) -> dict[Bit, int]:
    """Return the netlist's nets of those kept signals that the Verilog has too, each once.

    Bits that nobody reads may have lost what drove them.
    """
    kept: dict[tuple[int, int], Bit] = {}
    for bit, net in netlist.module.kept.items():
        if bit in verilog.module.signals and found.is_driven(net):
            kept.setdefault((verilog.module.signals[bit], net), bit)
    return {bit: net for (_, net), bit in kept.items()}
