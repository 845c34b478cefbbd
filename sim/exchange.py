"""What the runner and the bench say to each other, and how values lie in a payload.

Written without a look at the generators: the bench is a second witness.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Report", "Task", "pack", "unpack", "value_width"]


@dataclass(frozen=True)
class Task:
    """What to drive, and what must come of it.

    Attributes
    ----------
    levels
        int64, shape (samples, inputs).
    expected
        int64, shape (samples, outputs); one output where it is a class.
    n_levels
        Levels of an input.
    n_values
        Values of an output that is a class or a level; 0 where it is a signed accumulator.
    latency_cycles, initiation_interval
        What the hardware promises.
    seed
        Of the random stalls.
    """

    levels: NDArray[np.int64]
    expected: NDArray[np.int64]
    n_levels: int
    n_values: int
    latency_cycles: int
    initiation_interval: int
    seed: int

    def save(self, folder: Path) -> None:
        """Write the task to ``folder``, where the bench finds it."""
        np.savez(folder / "task.npz", **asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Task:
        """Read the task that lies in ``folder``."""
        with np.load(folder / "task.npz") as archive:
            entries: dict[str, Any] = {k: v if v.ndim else int(v) for k, v in archive.items()}
        return cls(**entries)


@dataclass
class Report:
    """What the bench found.

    Attributes
    ----------
    finished
        Runs that came to their end, with a fault or without.
    fault
        The first broken rule, as a sentence.
    latency_cycles, initiation_interval
        As measured without stalls.
    mismatches
        Samples that had a wrong output in some run.
    first_mismatch
        Sample, expected and found output of the first wrong one.
    """

    finished: list[str] = field(default_factory=list)
    fault: str | None = None
    latency_cycles: int | None = None
    initiation_interval: int | None = None
    mismatches: list[int] = field(default_factory=list)
    first_mismatch: str | None = None

    def save(self, folder: Path) -> None:
        """Write the report to ``folder``, where the runner finds it."""
        (folder / "report.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Report:
        """Read the report that lies in ``folder``; an empty one if there is none."""
        path = folder / "report.json"
        return cls(**json.loads(path.read_text())) if path.exists() else cls()


def value_width(n_values: int) -> int:
    """Bits of a number 0..n_values-1, at least 1."""
    return max(1, (n_values - 1).bit_length())


def pack(values: NDArray[np.int64], width: int) -> list[str]:
    """Return each row as binary digits, value 0 in the last ones, in two's complement."""
    bits = (values[:, ::-1, None] >> np.arange(width - 1, -1, -1)) & 1
    digits = (bits + ord("0")).astype(np.uint8).reshape(len(values), -1)
    return [row.tobytes().decode() for row in digits]


def unpack(word: str, width: int, *, signed: bool) -> list[int | str]:
    """Return the values of ``word``; the digits themselves where some are neither 0 nor 1."""
    values: list[int | str] = []
    for end in range(len(word), 0, -width):
        digits = word[end - width : end]
        if set(digits) <= {"0", "1"}:
            negative = signed and digits[0] == "1"
            values.append(int(digits, 2) - (negative << width))
        else:
            values.append(digits)
    return values
