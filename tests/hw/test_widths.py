from __future__ import annotations

import itertools

import numpy as np
import pytest

from nomul.hw.widths import accumulator_width, class_width, level_width
from nomul.sim.golden import evaluate_levels
from tests.hw.benches import dense, network_of


@pytest.mark.parametrize("n_levels", range(2, 257))
def test_a_level_has_the_fewest_bits_that_tell_all_levels_apart(n_levels: int) -> None:
    width = level_width(n_levels)
    assert 2 ** (width - 1) < n_levels <= 2**width


@pytest.mark.parametrize(
    ("n_classes", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (10, 4), (256, 8), (257, 9)]
)
def test_a_class_has_at_least_one_bit(n_classes: int, width: int) -> None:
    assert class_width(n_classes) == width


COLUMNS = ([0, 0], [0, 1], [0, -1], [1, 2], [-1, -2], [3, -4], [-128, 127], [-(2**29), 2**29 - 1])


@pytest.mark.parametrize("bias", [0, 1, -1, 127, -128, 2**30 - 1, -(2**30)])
@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_an_accumulator_has_the_fewest_bits_that_hold_all_sums(
    column: list[int], bias: int
) -> None:
    layer = dense([column, [0, 1]], [[0, 0], [0, 1]], bias=[bias, 0])
    inputs = np.array(list(itertools.product(range(2), repeat=2)))
    sums = evaluate_levels(network_of(layer), inputs)
    least, greatest = int(sums.min()), int(sums.max())

    def holds_all(width: int) -> bool:
        return -(1 << width - 1) <= least and greatest < 1 << width - 1

    width = accumulator_width(layer)
    assert holds_all(width)
    assert width == 1 or not holds_all(width - 1)
