from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib import rcParams

from nomul.cli.curve import curve_name, curves, draw_curve
from nomul.cli.result_row import ResultRow


def row(levels: int, mean: float, **changes: Any) -> ResultRow:
    entries: dict[str, Any] = {
        "experiment": "auto",
        "levels": levels,
        "codebook": "grid 999",
        "scope": "network",
        "seeds": 3,
        "metric": "squared_error",
        "float_mean": 0.01,
        "float_std": 0.001,
        "mean": mean,
        "std": 0.002,
        "memory_ratio": 0.2,
        "encoded_ratio": 0.1,
        "command": "nomul results auto.toml --seeds 3",
    }
    return ResultRow(**(entries | changes))


ROWS = [
    row(256, 0.01),
    row(32, 0.012),
    row(8, 0.02),
    row(16, 0.018, codebook="kmeans 33", scope="layer"),
]


def test_a_curve_needs_three_rows_of_one_codebook_size() -> None:
    others = [row(32, 0.5, experiment="digits", metric="accuracy", codebook="grid 5")] * 3
    short = [row(n, 0.5, experiment="short") for n in (2, 4)]
    short.append(row(8, 0.5, experiment="short", codebook="grid 33"))
    assert curves([*others, *ROWS, *short]) == {"auto": ROWS}
    assert curves(ROWS[1:]) == {}
    assert curve_name("auto") == "auto-curve.svg"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text]


def test_there_is_a_line_for_each_codebook_and_a_tick_for_each_number_of_levels() -> None:
    found = texts(draw_curve(ROWS))
    for text in ("8", "16", "32", "256", "|A|, levels", "auto", "float twin"):
        assert text in found
    assert found.index("grid 999, network") < found.index("kmeans 33, layer")


def lines(svg: str, n_points: int) -> list[list[tuple[float, float]]]:
    """Return the lines inside the axes that have so many points."""
    paths = [
        re.findall(r"[ML] (\S+) (\S+)", element.get("d", ""))
        for element in ElementTree.fromstring(svg).iter()
        if element.get("clip-path")
    ]
    return [[(float(x), float(y)) for x, y in path] for path in paths if len(path) == n_points]


def test_the_points_lie_at_the_logarithm_of_the_levels_and_the_ratio_of_the_errors() -> None:
    svg = draw_curve([row(2, 0.01), row(4, 0.02), row(16, 0.015)])
    (points,) = lines(svg, 3)
    (x2, y2), (x4, y4), (x16, y16) = points
    assert x16 - x4 == pytest.approx(2 * (x4 - x2))
    assert y2 - y16 == pytest.approx((y2 - y4) / 2)
    assert x2 < x4 < x16
    assert y4 < y16 < y2, "an SVG counts downwards"
    *deviations, ((_, twin), _) = lines(svg, 2)
    assert twin == pytest.approx(y2)
    for (x, y), ((x_low, low), (x_high, high)) in zip(points, deviations, strict=True):
        assert x_low == x_high == x
        assert (low + high) / 2 == pytest.approx(y)
        assert low - high == pytest.approx(0.4 * (y2 - y4))


def test_the_same_numbers_give_the_same_file_whatever_the_users_settings() -> None:
    svg = draw_curve(ROWS)
    before = rcParams["font.size"]
    rcParams["font.size"] = 30.0
    try:
        assert draw_curve(ROWS[::-1]) == svg
        assert rcParams["font.size"] == 30.0
    finally:
        rcParams["font.size"] = before
    assert "<dc:date>" not in svg
    assert "Matplotlib v" not in svg
    assert not re.search(r"[ \t]\n", svg)
