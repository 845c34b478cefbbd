"""Verilog = netlist, proved for every input and every state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nomul.hw.devices import Device, find_technology
from nomul.hw.plan import Plan
from nomul.hw.tools import run_tool
from nomul.network import UserError
from nomul.verify.mapped import Mapped
from nomul.verify.module import Bit, Module
from nomul.verify.netlist import NETLIST, map_verilog
from nomul.verify.rtl import VERILOG, emit_verilog
from nomul.verify.sides import Claim, Sides, pair
from nomul.verify.step import Finding, Status
from nomul.verify.sweep import Verdict, decide
from nomul.verify.words import Words

__all__ = ["prove"]

_WORDS = "top.words.json"

# Verilog as it is written: nothing is simplified, shared or mapped.
_READ = f"read_verilog {VERILOG}; hierarchy -top top; proc -noopt; flatten; write_json {_WORDS}"
_ECP5 = f"read_verilog {VERILOG}; synth_ecp5 -nobram -nolutram -top top; write_json {NETLIST}"


def prove(plan: Plan, device_name: str, folder: Path, seconds: float) -> Finding:
    """Prove that the mapped netlist of a network does what its Verilog does.

    What is proved are the bits of all outputs, of what each register takes next, and of all sums
    that synthesis kept: the netlist then equals the Verilog for every input and from every state.
    Yosys reads the Verilog for both sides, so that is what this check does not check.

    Parameters
    ----------
    device_name
        One that bitstreams are made for, or ``"ecp5"``.
    folder
        Where Verilog and netlist are, or go if they are not there; made if it is not there.
    seconds
        For all proofs together, without synthesis.

    Raises
    ------
    UserError
        If nothing is mapped onto such a device, yosys is missing, or the netlist has a cell that
        is not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    emit_verilog(plan, folder)
    if not (folder / NETLIST).exists():
        _map(device_name, folder)
    _yosys(_READ, folder, "top.words.log")
    verilog = Words(Module.read(folder / _WORDS, "top"))
    sides = pair(verilog, Mapped(Module.read(folder / NETLIST, "top")))
    pairs = [(claim.expected, claim.found) for claim in sides.claims]
    verdicts = decide(sides.gates, sides.n_netlist, pairs, seconds)
    return _finding(sides, verdicts, seconds)


def _map(device_name: str, folder: Path) -> None:
    technology = find_technology(device_name)
    if isinstance(technology, Device):
        map_verilog(technology, folder)
    elif device_name == "ecp5":
        _yosys(_ECP5, folder, "top.yosys.log")
    else:
        raise UserError(f"There is no netlist to prove for {device_name}: choose up5k or ecp5.")


def _yosys(commands: str, folder: Path, log: str) -> None:
    (folder / log).unlink(missing_ok=True)
    run_tool("yosys", ["-q", "-l", log, "-p", commands], folder, log)


def _finding(sides: Sides, verdicts: list[Verdict], limit_s: float) -> Finding:
    claims = list(zip(sides.claims, verdicts, strict=True))
    refuted = [(claim, verdict) for claim, verdict in claims if isinstance(verdict, Mapping)]
    # Where a register has no partner, or a wrong one, a difference says nothing.
    wrong = {claim.guess for claim, _ in refuted if claim.guess is not None}
    unknown = wrong | sides.strangers
    different = [
        (claim, verdict) for claim, verdict in refuted if unknown.isdisjoint(_cone(claim, sides))
    ]
    n_claims, n_open = len(claims), sum(verdict != "equal" for _, verdict in claims)
    n_open -= len(different)
    kinds = Counter(claim.kind for claim in sides.claims)
    detail = f"{n_claims - n_open - len(different):,} of {n_claims:,} proved: "
    detail += ", ".join(f"{n:,} bits of {kind}s" for kind, n in kinds.items())
    if n_open:
        detail += f"; {n_open:,} open after {limit_s:g} s"
    if unknown:
        name = min(_spelt(sides.free[gate]) for gate in unknown)
        detail += f"; {len(unknown):,} registers without a partner, such as {name}"
    first = min(different, key=lambda pair: pair[0].expected, default=None)
    status: Status = "different" if different else "not proved" if n_open else "equal"
    told = None if first is None else _told(*first, sides)
    return Finding(n_claims, "proofs", len(different), status, detail, told)


def _cone(claim: Claim, sides: Sides) -> list[int]:
    return sides.gates.cone([claim.expected >> 1, claim.found >> 1])


def _told(claim: Claim, verdict: Mapping[int, int], sides: Sides) -> str:
    """Return a difference and a state in which it shows."""
    gates = sides.gates
    cone = _cone(claim, sides)
    words = [0] * len(gates)
    for gate in cone:
        words[gate] = verdict[gate] if gate in verdict else gates.word(gate, words, 1)
    expected, found = (
        words[literal >> 1] ^ (literal & 1) for literal in (claim.expected, claim.found)
    )
    numbers: Counter[str] = Counter()
    for gate in cone:
        if gate in sides.free:
            name, place = sides.free[gate]
            numbers[name] += words[gate] << place
    state = ", ".join(f"{name} = 0x{number:x}" for name, number in sorted(numbers.items()))
    when = f"where {state}" if state else "always"
    return (
        f"{claim.kind} {_spelt(claim.name)}: {expected} in the Verilog, {found} in the netlist, "
        f"{when}"
    )


def _spelt(bit: Bit) -> str:
    return f"{bit[0]}[{bit[1]}]"
