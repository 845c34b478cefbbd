"""A picture of what fewer levels cost an auto-encoder: its error over |A|, for each codebook."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

from nomul.cli.result_row import ResultRow

__all__ = ["curve_name", "curves", "draw_curve"]

POINTS_MIN = 3
"""Rows of one codebook size that make a curve."""

# The same numbers give the same file: no date, no version, identifiers from a fixed salt, and no
# settings of the user's own.
_STYLE: Sequence[str | dict[str, Any]] = [
    "default",
    {"svg.hashsalt": "nomul", "svg.fonttype": "none"},
]
_METADATA = {"Date": None, "Creator": None}


def curve_name(experiment: str) -> str:
    """Return the name of the file of the experiment's curve."""
    return f"{experiment}-curve.svg"


def curves(rows: list[ResultRow]) -> dict[str, list[ResultRow]]:
    """Return the experiments that a curve can be drawn of, each with its rows.

    They are measured by squared error, and have three rows or more of one codebook size.
    """
    found: dict[str, list[ResultRow]] = {}
    errors = [row for row in rows if row.metric == "squared_error" and row.float_mean > 0]
    for experiment, group in groupby(sorted(errors, key=_by_experiment), _by_experiment):
        own = list(group)
        if any(len(line) >= POINTS_MIN for line in _lines(own).values()):
            found[experiment] = own
    return found


def draw_curve(rows: list[ResultRow]) -> str:
    """Return an SVG: the squared error in proportion to the float twin's over the levels.

    Parameters
    ----------
    rows
        Of one experiment; there is a line for each codebook, which shows mean and standard
        deviation over the seeds.
    """
    with style.context(_STYLE):
        figure = Figure((6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for label, line in _lines(rows).items():
            axes.errorbar(
                [row.levels for row in line],
                [row.compared for row in line],
                [row.std / row.float_mean for row in line],
                label=label,
                marker="o",
                markersize=4,
                capsize=3,
            )
        axes.axhline(1.0, color="0.5", linestyle="--", label="float twin")
        axes.set_xscale("log", base=2)
        levels = sorted({row.levels for row in rows})
        axes.set_xticks(levels, [str(level) for level in levels])
        axes.minorticks_off()
        axes.set_xlabel("|A|, levels")
        axes.set_ylabel("squared error / float twin's")
        axes.set_title(rows[0].experiment)
        axes.legend()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=_METADATA)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _lines(rows: list[ResultRow]) -> dict[str, list[ResultRow]]:
    """Return the rows of each codebook, few levels first; large codebooks first."""
    lines: dict[str, list[ResultRow]] = {}
    for row in sorted(rows, key=lambda row: (-row.n_centres, row.codebook, row.scope, row.levels)):
        lines.setdefault(f"{row.codebook}, {row.scope}", []).append(row)
    return lines


def _by_experiment(row: ResultRow) -> str:
    return row.experiment
