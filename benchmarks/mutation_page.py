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
It is *equivalent*, and does not count, if it is proved that nothing can notice: by a SAT solver for
all levels at the inputs, or by what the place means. All else *survives*. In `verify/`,
`mutants.py`, `netlist_mutants.py` and `schemata.py` break things, `effect.py` proves, and
`directed.py` makes the samples.

The unrolled network is that of `examples/digits.toml`, the netlist that of
`examples/digits-small.toml`; programs are of the digits and of
`examples/heartbeats-tiny-folded.toml`. The engine's Verilog runs these two, and those of the
networks that its tests share, 12 samples each.

Unrolled hardware sees all test samples and all directed ones. Programs see few: 80 samples of the
digits and 20 of the heartbeats in the interpreter, which is slow, and 500 and 100 on the engine:
thresholds and weights want more. The interpreter knows nothing of idle cycles and of the flags that
say what is last: those are the engine's. The engine's Verilog is made for any program that fits it,
and no program here fills it: its survivors are above all the highest bits of sums that are
addresses, coordinates and counts, terms of conditions, and bits of what is loaded. Whether more
samples or other programs show these mutants is open, so all of them count.
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
    lines += ["| step | test part | directed | directed, with stalls |", "|---|---:|---:|---:|"]
    for step in ("graph, evaluated", "unrolled Verilog", "netlist"):
        own = [outcome.by for outcome in outcomes if outcome.step == step]
        counts = [
            sum(by.startswith(part) and (by.endswith(", stalls") == stalls) for by in own)
            for part, stalls in (("test part", False), ("directed", False), ("directed", True))
        ]
        lines.append(f"| {step} | {counts[0]:,} | {counts[1]:,} | {counts[2]:,} |")
    return lines
