"""The page of the mutation runs: what was broken, and which step noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Outcome", "Verdict", "write_page"]

Verdict = Literal["killed", "equivalent", "survived"]

_INTRODUCTION = """
# What the checks notice

Written by `python -m benchmarks.mutation` (`make mutation`), with each mutant in
[mutation.json](mutation.json).

Hardware is broken in exactly one place at a time, and a step of the verification is run on it as on
any other. Places are drawn by a seed from all there are. A mutant is *killed* if the step notices.
It is *equivalent*, and does not count, if a SAT solver proves that nothing can notice. All else
*survives*. In `verify/`, `mutants.py`, `netlist_mutants.py` and `schemata.py` break things,
`effect.py` and `formal.py` prove, and `directed.py` makes the samples.

What is proved:

- of a graph: its outputs are equal for all levels at its inputs;
- of a netlist: the ladder's own proof, "Verilog = netlist", is run on the broken one. It compares
  all outputs and what each register takes next, for every input and every state. "Equal" makes a
  mutant equivalent, "different" kills it, by proof;
- of Verilog: for every input, and whatever registers and memories hold, all outputs, what each
  register takes next, and what the memories are asked for and told are equal to those of the sound
  design. So a mutant that shows only in states that never come is not proved, and survives.

The unrolled network is that of `examples/digits.toml`, the netlist that of
`examples/digits-small.toml`; programs are of the digits and of
`examples/heartbeats-tiny-folded.toml`. Two engines' Verilog, one of which skips zeros, run these
two with 12 samples each, and with 6 each networks that fill one of their memories or counts, those
that their tests share, and drawn ones.

Unrolled hardware sees all test samples and all directed ones, the Verilog without stalls and with
them, the netlist without. So does `nomul verify --full`. Without `--full` there are at most 1,000
test samples and no directed ones, so the first two columns of the second table are about what the
samples find. The ladder proves "Verilog = netlist" either way, which finds what no sample
shows; here it is asked only about that. Programs see few: at most 1,000 samples of the digits
and 100 of the heartbeats in the interpreter, and 4,000 and all there are on the
engine, mixed test, random and directed ones. The interpreter knows nothing of idle cycles and of
the flags that say what is last: those are the engine's.

The engine's Verilog is made for any program that fits it. What survives there was neither shown nor
proved, and all of it counts. As far as the reasons are known, they are:

- the simulation that checks samples loads before it runs, and never discards a sample: faults of
  `load__ready` while the engine is busy, and of `discard`, cannot show;
- it is sent no load command that does not exist, so conditions that tell these from others
  (`core.load` compared) are never needed;
- no program here reaches the highest bits of some counters and address sums, or sets the highest
  bits of some words and tables; whether one that fits could is open;
- of the rest, conditions of the loops over taps and of the sequencer, the likely reason is that
  they follow from others in all states that come, though not in every state.
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes
    ----------
    step
        The check that it met.
    kind, place
        Of the fault.
    verdict
        ``"equivalent"``: proved to have no effect, so it is no mutant.
    by
        What killed it, how it was proved, or what did not kill it.
    """

    step: str
    kind: str
    place: str
    verdict: Verdict
    by: str


def write_page(outcomes: Sequence[Outcome]) -> str:
    """Return the page, Markdown."""
    lines = _INTRODUCTION.strip().splitlines()
    lines += ["", "| step | mutants | killed | equivalent | survived | kill rate |"]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    steps = list(dict.fromkeys(outcome.step for outcome in outcomes))
    for step in steps:
        lines.append(f"| {step} | {_numbers([o for o in outcomes if o.step == step])}")
    lines.append(f"| all | {_numbers(outcomes)}")
    lines += [*_by_samples(outcomes), "", "## By kind", ""]
    lines += ["| step | kind | mutants | killed | equivalent | survived | kill rate |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for step, kind in dict.fromkeys((outcome.step, outcome.kind) for outcome in outcomes):
        own = [o for o in outcomes if (o.step, o.kind) == (step, kind)]
        lines.append(f"| {step} | {kind} | {_numbers(own)}")
    for title, verdict in (("Survivors", "survived"), ("Equivalent", "equivalent")):
        lines += ["", f"## {title}", ""]
        found = [outcome for outcome in outcomes if outcome.verdict == verdict]
        lines += [f"- {o.step}, {o.kind}: `{o.place}`: {o.by}." for o in found] or ["None."]
    return "\n".join([*lines, ""])


def _numbers(outcomes: Sequence[Outcome]) -> str:
    killed, equivalent, survived = (
        sum(outcome.verdict == verdict for outcome in outcomes)
        for verdict in ("killed", "equivalent", "survived")
    )
    n_mutants = killed + survived
    rate = f"{killed / n_mutants:.2%}" if n_mutants else "-"
    return f"{n_mutants:,} | {killed:,} | {equivalent:,} | {survived:,} | {rate} |"


def _by_samples(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what the directed samples bring, where the test part was tried before them."""
    lines = ["", "What the test part of the data kills by itself, and what the directed samples of"]
    lines += ["`verify/directed.py` kill of the rest:", ""]
    lines += ["| step | test part | test part, with stalls | directed | directed, with stalls |"]
    lines += ["|---|---:|---:|---:|---:|"]
    for step in ("graph, evaluated", "unrolled Verilog", "netlist"):
        own = [outcome.by for outcome in outcomes if outcome.step == step]
        counts = [
            sum(by.startswith(part) and (by.endswith(", stalls") == stalls) for by in own)
            for part in ("test part", "directed")
            for stalls in (False, True)
        ]
        lines.append(f"| {step} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    return lines
