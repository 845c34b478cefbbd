"""One line of docs/results.json: what an experiment reached over seeds, beside its float twin."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from nomul.network import UserError

__all__ = ["ResultRow", "read_rows", "rows_as_json"]


@dataclass(frozen=True)
class ResultRow:
    """A measurement; a score is an accuracy, 0 to 1, or a mean squared error.

    Attributes
    ----------
    experiment
        Name of its file, without folder and suffix.
    levels
        |A|.
    codebook
        Kind and number of centres, as ``kmeans 101``; of lookups, fan-in and neurons, as
        ``lookups 4 x 140``.
    seeds
        How many: 0, 1, and so on.
    metric
        ``accuracy`` or ``squared_error``.
    float_mean, float_std
        Score of the float twins, and its sample standard deviation over the seeds; 0 for one seed.
    mean, std
        The same of the deployed networks.
    memory_ratio, encoded_ratio
        Bits of all tensors, and of the encoded file, in proportion to the float network's.
    command
        What measures it.
    """

    experiment: str
    levels: int
    codebook: str
    scope: str
    seeds: int
    metric: str
    float_mean: float
    float_std: float
    mean: float
    std: float
    memory_ratio: float
    encoded_ratio: float
    command: str

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(ResultRow).items():
            value = getattr(self, name)
            if type(value) is not kind or (kind is float and not math.isfinite(value)):
                raise ValueError(f"{name} is {value!r}")
        if self.metric not in ("accuracy", "squared_error") or self.n_centres < 1:
            raise ValueError(f"metric is {self.metric!r} and codebook {self.codebook!r}")

    @property
    def identity(self) -> tuple[str, int, str, str]:
        """Which measurement it is: another of the same identity takes its place."""
        return self.experiment, self.levels, self.codebook, self.scope

    @property
    def n_centres(self) -> int:
        """|W|; of lookups alone the last layer's neurons."""
        return int(self.codebook.rpartition(" ")[2])

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts by experiment; within one, from many levels and centres to few."""
        return self.experiment, -self.levels, -self.n_centres, self.identity

    @property
    def compared(self) -> float:
        """The accuracy's difference to the float twin's, or the squared error's ratio to it."""
        if self.metric == "accuracy":
            return self.mean - self.float_mean
        return self.mean / self.float_mean if self.float_mean else math.inf


def read_rows(path: Path) -> list[ResultRow]:
    """Return the rows of a file as :func:`rows_as_json` writes it; none if it is not there.

    Raises
    ------
    UserError
        If it is something else.
    """
    try:
        return [ResultRow(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no list of results: mend it, or remove it.") from error


def rows_as_json(rows: list[ResultRow]) -> str:
    """Return the text of results.json."""
    return json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n"
