"""The page that says what was fuzzed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Found", "write_page"]


@dataclass(frozen=True)
class Found:
    """What came of fuzzing one target.

    Attributes
    ----------
    what
        What the target reads.
    inputs, taken
        Inputs tried, and those that were valid.
    seconds
        Wall-clock time of its processes, added up.
    corpus
        Inputs that each reached something new.
    edges
        Branches of nomul's code, and of the standard library's that was instrumented.
    lines, lines_of
        Lines of the parser that the corpus reaches, of those of the functions that it enters.
    slowest_seconds
        Processor time of the slowest input.
    peak_mib
        Memory that the process took above what it had before the first input.
    findings
        Inputs that broke a rule, each with the exception's last line.
    """

    what: str
    inputs: int
    taken: int
    seconds: float
    corpus: int
    edges: int
    lines: int
    lines_of: int
    slowest_seconds: float
    peak_mib: float
    findings: tuple[str, ...]


_INTRODUCTION = """\
# Hostile files

Written by `{command}` (`make fuzz`), with its numbers in [fuzzing.json](fuzzing.json).
What the table names is fuzzed with atheris {version}: libFuzzer changes valid inputs, keeps what
reaches a new branch, and changes that again. Each target has changes of its own, which keep lengths
and checksums right, so that what lies behind them is reached. Not fuzzed are what PyTorch makes of
a module's state once its archive is read, what `nomul verify` reads of a reproducer's folder beside
its network file, the data sets' own formats but for IDX and `.npz`, and what nomul keeps for itself
between runs, such as checkpoints.

An input breaks a rule, and is a finding, if

- the parser raises anything but a sentence for the user (for frames and replies: `ValueError`), or
  warns;
- it takes more than {seconds:g} s of processor time;
- it needs more than {memory} MiB of address space above what the process had before;
- Python audits anything but reading the one file: nothing is executed, imported, listed, written,
  removed, started or sent. (Reading `.npz` compiles a literal, which NumPy takes its header from.)

| what is read | inputs | valid | seconds | kept | branches | lines reached | slowest input, s | \
memory, MiB | findings |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
"""

_END = """
Inputs have at most 16 KiB (frames 2 KiB, a board's answers ½ KiB). Lines are those of the functions
that reading enters. Memory is the greatest resident size above the start's, libFuzzer's own tables
and the kept inputs included. Seconds are added up over a target's processes, of which {processes}
ran beside each other.
"""


def write_page(
    found: Mapping[str, Found], command: str, version: str, limits: tuple[float, int, int]
) -> str:
    """Return the page.

    Parameters
    ----------
    limits
        Seconds of an input; MiB of memory; processes.
    """
    seconds, memory, processes = limits
    text = _INTRODUCTION.format(command=command, version=version, seconds=seconds, memory=memory)
    rows = [
        f"| {row.what} | {row.inputs:,} | {row.taken:,} | {row.seconds:,.0f} | {row.corpus:,} | "
        f"{row.edges:,} | {row.lines} of {row.lines_of} | {row.slowest_seconds:.2f} | "
        f"{row.peak_mib:.0f} | {len(row.findings)} |"
        for row in found.values()
    ]
    inputs = sum(row.inputs for row in found.values())
    n_findings = sum(len(row.findings) for row in found.values())
    rows.append(f"| all | {inputs:,} | | | | | | | | {n_findings} |")
    listed = [f"- {name}: `{finding}`" for name, row in found.items() for finding in row.findings]
    return "\n".join([text + "\n".join(rows), *listed, _END.format(processes=processes)])
