from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare.design import Design, added, arg_max, measure
from nomul.network import CheckFailed
from tests.benchmarks.helpers import assert_answers


def arg_max_design(n_values: int) -> Design:
    """A class for each of so many signed values of two bits."""
    class_width = max(1, (n_values - 1).bit_length())
    lines = [f"wire signed [1:0] v{k} = i[{2 * k} +: 2];" for k in range(n_values)]
    body, winner = arg_max([(f"v{k}", 2) for k in range(n_values)], class_width)
    ports = f"input [{2 * n_values - 1}:0] i, output [{class_width - 1}:0] o"
    text = "\n".join([f"module best({ports});", *lines, *body, f"assign o = {winner}; endmodule"])
    return Design(text, "best", 2)


@pytest.mark.parametrize("n_values", [1, 2, 3, 5])
def test_the_first_of_the_greatest_wins(tmp_path: Path, n_values: int) -> None:
    levels = np.array(list(itertools.product(range(4), repeat=n_values)))
    values = np.where(levels > 1, levels - 4, levels)
    expected = values.argmax(axis=1)
    assert_answers(arg_max_design(n_values), levels, expected, tmp_path)


def test_a_wrong_answer_is_no_row(tmp_path: Path) -> None:
    levels = np.array([[0, 1], [1, 0], [0, 0]])
    sentence = "best answers 1 of 3 samples as its model does not, first sample 1: 0 and not 1."
    wrong = np.array([1, 1, 0])
    with pytest.raises(CheckFailed, match=f"^{re.escape(sentence)}$"):
        measure(arg_max_design(2), levels, wrong, wrong, tmp_path, fast=True)


def test_the_mean_recall_counts_each_class_once(tmp_path: Path) -> None:
    levels = np.array([[1, 0]] * 3 + [[0, 1]])
    expected, right = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    found = measure(arg_max_design(2), levels, expected, right, tmp_path, fast=True)
    assert (found.accuracy, found.mean_recall) == (0.75, 0.75)
    right = np.array([0, 0, 0, 0])
    found = measure(arg_max_design(2), levels, expected, right, tmp_path, fast=True)
    assert (found.accuracy, found.mean_recall) == (0.75, 0.75)


@pytest.mark.parametrize("n_operands", [0, 1, 2, 7])
def test_operands_are_added_in_nets_that_hold_every_sum(tmp_path: Path, n_operands: int) -> None:
    lines: list[str] = []
    operands = [(f"i[{2 * k} +: 2]", 3) for k in range(n_operands)]
    net, greatest = added("sum", operands, lines)
    assert greatest == 3 * n_operands
    width = max(1, 2 * n_operands)
    text = "\n".join(
        [
            f"module total(input [{width - 1}:0] i, output [4:0] o);",
            *(*lines, f"assign o = {net};", "endmodule"),
        ]
    )
    levels = np.random.default_rng(0).integers(0, 4, (200, max(1, n_operands)))
    levels[0] = 3
    expected = levels[:, :n_operands].sum(axis=1)
    design = Design(text, "total", 2 if n_operands else 1)
    if not n_operands:
        levels = levels & 1
    assert_answers(design, levels, expected, tmp_path)
