"""The page and the picture of the comparison."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

from benchmarks.compare.rows import Row

__all__ = ["COMMAND", "PICTURE", "draw", "pairs", "write_page"]

COMMAND = "python -m benchmarks.compare"
PICTURE = "comparison.svg"

_STYLE: Sequence[str | dict[str, Any]] = [
    "default",
    {"svg.hashsalt": "nomul", "svg.fonttype": "none"},
]
_METADATA = {"Date": None, "Creator": None}

_MARKERS = {"nomul": "o", "da4ml": "s", "trees": "^", "torchlogix": "D"}
_TITLES = {
    "digits": "digits",
    "dry_bean": "dry bean",
    "ecg_mitbih": "heartbeats",
    "mnist": "MNIST",
}

# Copied from the papers that are named, or (marked so) from later papers' tables of them.
_PUBLISHED = (
    ("MNIST", "DWN, without its input encoder", "97.1 / 98.3", "692 / 4,082", "cited"),
    ("MNIST", "DWN, with its encoder, Artix-7", "96.8 / 97.8", "1,597 / 3,464", "cited"),
    ("MNIST", "TreeLUT", "97", "4,478", "cited"),
    ("MNIST", "PolyLUT-Add, HDR-Add2", "96", "14,810", "paper"),
    ("MNIST", "hls4ml, ternary", "95", "260,092", "cited"),
    ("jets (JSC-OpenML)", "TreeLUT", "75.0 / 76.0", "796 / 2,234", "cited"),
    (
        "jets (JSC-OpenML)",
        "DWN, with its encoder",
        "74.0 / 75.6 / 76.3",
        "311 / 1,697 / 7,011",
        "cited",
    ),
    ("jets (JSC-OpenML)", "hls4ml, dense", "76.2", "63,251 and 38 DSP", "cited"),
)

_METHOD = """
# Comparison

Written by `{command}` (`make compare`), with its numbers in [comparison.json](comparison.json).
Every design is Verilog without a register, measured by the same scripts of the same synthesizer
(`nomul.hw.area`): iCE40 logic cells after packing by nextpnr, with the LUT4 and carries of the
netlist beside them, and LUTs of up to six inputs of the Xilinx 7 series; ABC maps in one pass, some
5 % more LUTs than its full script, for everyone alike. Block RAM, LUT memories and DSP blocks are
not allowed. The arg-max is part of every design; what turns a real feature into
a level is part of none. The accuracies are of the iCE40 netlists, evaluated on the whole test part,
and each netlist answers every sample as its model does.
"""

_SAME_WEIGHTS = """
## Same weights: nomul and da4ml

Networks trained by nomul. da4ml gets the integer matrix of each layer; its solver's adder graphs,
in its Verilog, are joined by a comparator for each threshold and end in a knock-out arg-max. A
ratio below 1: nomul takes less. W is the number of weight values, A that of the levels of hidden
neurons.
"""

_ACCURACY = """
## Accuracy against area

*trees*: gradient-boosted trees, scikit-learn's, lowered as TreeLUT (Khataei and Bazargan, 2025)
does: shared comparators, quantized leaves, an adder tree for each class. *torchlogix*: layers of
trained look-up tables of four inputs, the first with trained wiring, and a count for each class;
its thermometer encoder is part of the design. The trees' leaf bits, learning rate and samples in a
leaf and torchlogix' temperature are chosen on a quarter of the training part (5,000 samples at
most); then the model is trained on all of it. Networks of `examples/*-small.toml` were trained from
several seeds: each number is their mean, beside the standard deviation of the accuracy. The
networks of the table above are here too, from one seed. One test image of digits is 0.28 points.
The levels of heartbeats are equally frequent in our networks, and equally wide in the trees.

Who always names the most frequent class is right for {majorities} of the test samples.

![Accuracy over logic cells]({picture})
"""

_OTHERS = """
## Published figures of others

LUT6 after place and route by the vendor's tools: other synthesis and other data coding, so they are
no rows of the tables above. *paper*: read there; *cited*: from a later paper's table of it.
"""


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return the networks that nomul and da4ml were both given: their two rows."""
    of_da4ml = {row.name: row for row in rows if (row.part, row.maker) == ("same weights", "da4ml")}
    return [
        (row, of_da4ml[row.name])
        for row in rows
        if (row.part, row.maker) == ("same weights", "nomul") and row.name in of_da4ml
    ]


def write_page(
    rows: Sequence[Row], versions: Mapping[str, str], majorities: Mapping[str, float]
) -> str:
    """Return the page, Markdown.

    Parameters
    ----------
    versions
        Of the tools.
    majorities
        Of each data set the share of its most frequent class, in the test part.
    """
    both = pairs(rows)
    lines = [
        *_paragraphs(_METHOD, command=COMMAND),
        ", ".join(f"{name} {number}" for name, number in versions.items()) + ".",
        "",
        *_paragraphs(_SAME_WEIGHTS),
        *_table(
            "network | accuracy, % | nomul: logic cells | LUT4 | carry | LUT6 | "
            "da4ml: logic cells | LUT4 | carry | LUT6 | ratio of logic cells | of LUT6",
            [_pair_cells(ours, theirs) for ours, theirs in both],
        ),
    ]
    if both:
        lines += [
            f"Geometric mean of {len(both)} networks: {_mean_ratio(both, 'logic_cells'):.3f} of",
            f"the logic cells, {_mean_ratio(both, 'lut6'):.3f} of the LUT6.",
            "",
        ]
    lines += [
        *_paragraphs(
            _ACCURACY,
            picture=PICTURE,
            majorities=", ".join(
                f"{share:.1%} ({_TITLES[dataset]})" for dataset, share in majorities.items()
            ),
        ),
        *_table(
            "data | maker | model | seeds | bits of a feature | accuracy, % | mean recall, % | "
            "logic cells | LUT4 | carry | LUT6",
            [_cells(group) for group in _groups(rows)],
        ),
        *_paragraphs(_OTHERS),
        *_table("data | model | accuracy, % | LUT6 | from", _PUBLISHED),
    ]
    return "\n".join(lines)


def _paragraphs(text: str, **names: str) -> list[str]:
    return [*text.format(**names).strip().splitlines(), ""]


def _table(head: str, lines: Sequence[Sequence[str]]) -> list[str]:
    ruler = "|".join("---" for _ in head.split("|"))
    return [f"| {head} |", f"|{ruler}|", *(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _pair_cells(ours: Row, theirs: Row) -> list[str]:
    a, b = ours.measured, theirs.measured
    return [
        *(ours.name, f"{100 * a.accuracy:.2f}"),
        *(f"{number:,}" for m in (a, b) for number in (m.logic_cells, m.lut4, m.carry, m.lut6)),
        *(f"{a.logic_cells / b.logic_cells:.2f}", f"{a.lut6 / b.lut6:.2f}"),
    ]


def _mean_ratio(both: Sequence[tuple[Row, Row]], figure: str) -> float:
    return statistics.geometric_mean(
        getattr(ours.measured, figure) / getattr(theirs.measured, figure) for ours, theirs in both
    )


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows that differ in seed alone together; of each data set the smallest first."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.part, row.dataset, row.name, row.maker), []).append(row)
    return sorted(
        groups.values(), key=lambda group: (group[0].dataset, _mean(group, "logic_cells"))
    )


def _mean(group: Sequence[Row], figure: str) -> float:
    return statistics.fmean(getattr(row.measured, figure) for row in group)


def _cells(group: Sequence[Row]) -> list[str]:
    row = group[0]
    accuracy, recall = (f"{100 * _mean(group, share):.2f}" for share in ("accuracy", "mean_recall"))
    if len(group) > 1:
        accuracy += f" ± {100 * statistics.stdev(row.measured.accuracy for row in group):.2f}"
    return [
        *(_TITLES.get(row.dataset, row.dataset), row.maker, row.name),
        *(str(len(group)), str(row.input_bits), accuracy, recall),
        *(f"{_mean(group, figure):,.0f}" for figure in ("logic_cells", "lut4", "carry", "lut6")),
    ]


def draw(rows: Sequence[Row]) -> str:
    """Return an SVG: accuracy over logic cells and each maker's front, for each data set."""
    datasets = sorted({row.dataset for row in rows}, key=list(_TITLES).index)
    with style.context(_STYLE):
        figure = Figure((4.2 * len(datasets), 4.0), layout="constrained")
        for number, dataset in enumerate(datasets):
            axes = figure.add_subplot(1, len(datasets), number + 1)
            for maker, marker in _MARKERS.items():
                own = [
                    (_mean(group, "logic_cells"), 100 * _mean(group, "accuracy"))
                    for group in _groups(rows)
                    if (group[0].dataset, group[0].maker) == (dataset, maker)
                ]
                if not own:
                    continue
                (points,) = axes.plot(*zip(*own, strict=True), marker, markersize=4, label=maker)
                axes.plot(
                    *zip(*_front(own), strict=True),
                    color=points.get_color(),
                    linewidth=1,
                    drawstyle="steps-post",
                )
            axes.set_xscale("log")
            axes.set_xlabel("iCE40 logic cells")
            axes.set_ylabel("accuracy, %")
            axes.set_title(_TITLES[dataset])
            axes.grid(alpha=0.3, which="both")
            axes.legend(loc="lower right", fontsize="small")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=_METADATA)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cells, accuracy) that none of fewer cells reaches, the smallest first."""
    front: list[tuple[float, float]] = []
    for cells, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cells, accuracy))
    return front
