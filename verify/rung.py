"""One step of the ladder: what it makes, and what it compares with the golden model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nomul.hw.tools import ToolFailed
from nomul.network import CheckFailed, UserError
from nomul.verify.samples import Samples
from nomul.verify.step import Finding, Step

__all__ = ["Rung", "climb"]


@dataclass(frozen=True)
class Rung:
    """A step that can be taken again on what it made.

    Attributes
    ----------
    name
        From what to what.
    make
        Leaves in a folder what ``check`` reads there beside what it knows.
    check
        Compares that on samples.
    files
        What ``make`` leaves, as patterns below the folder.
    samples_max
        How many samples are compared; None: all.
    takes_directed
        Whether samples that lead to the network's edges are compared too, where there are some.
    """

    name: str
    make: Callable[[Path], None]
    check: Callable[[Path, Samples], Finding]
    files: tuple[str, ...] = ()
    samples_max: int | None = None
    takes_directed: bool = False


def climb(rung: Rung, samples: Samples, folder: Path, *, makes: bool = True) -> Step:
    """Take one step.

    What the machine lacks or the network does not fit makes it a skipped one; a failed check, or a
    tool that refuses what it is given, one that is different.

    Parameters
    ----------
    folder
        Where it and those before it leave what they make.
    makes
        Whether it does; else all is there.
    """
    started = time.perf_counter()
    try:
        if makes:
            rung.make(folder)
        found = rung.check(folder, samples.part(slice(rung.samples_max)))
    except (CheckFailed, UserError) as error:
        words = _local(error, folder)
        found = Finding(0, "samples", 0, "skipped", words)
        if isinstance(error, CheckFailed) or _is_refusal(error):
            found = Finding(0, "samples", 1, "different", "a check failed", words)
    except ModuleNotFoundError as error:
        found = Finding(0, "samples", 0, "skipped", f"{error.name} is not installed.")
    return Step(**vars(found), name=rung.name, seconds=time.perf_counter() - started)


def _is_refusal(error: UserError) -> bool:
    """Whether a tool refuses what we made; one that does not end says nothing of it."""
    return isinstance(error, ToolFailed) and not error.reason.startswith("no end")


def _local(error: Exception, folder: Path) -> str:
    """Return an error's sentence; files of the folder, which is not kept, have their names alone.

    Where they matter, they go into what shows the difference again.
    """
    return str(error).replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
