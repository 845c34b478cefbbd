from __future__ import annotations

import itertools

import numpy as np
import pytest

from nomul.hw.argmax import arg_max
from nomul.hw.graph import Builder, Greater, operands


def check(n_levels: int, values: list[tuple[int, ...]]) -> None:
    builder = Builder()
    numbers = [builder.input(source, n_levels) for source in range(len(values[0]))]
    graph = builder.graph([arg_max(builder, numbers)])
    # Python's max gives the first of equals.
    expected = [max(range(len(row)), key=row.__getitem__) for row in values]
    assert graph.evaluate(np.array(values))[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("n_levels", "n_values"), [(2, 1), (2, 2), (2, 7), (2, 9), (3, 5), (4, 4), (8, 2), (200, 1)]
)
def test_the_greatest_value_wins_and_the_first_of_equals(n_levels: int, n_values: int) -> None:
    check(n_levels, list(itertools.product(range(n_levels), repeat=n_values)))


@pytest.mark.parametrize("n_values", range(1, 10))
def test_any_number_of_wide_values_is_compared(n_values: int) -> None:
    most = 2**20
    rng = np.random.default_rng(n_values)
    random = rng.integers(0, most, (20, n_values)).tolist()
    ties = rng.integers(most // 2, most // 2 + 2, (20, n_values)).tolist()
    winners = np.where(np.eye(n_values), most - 1, 0).tolist()
    losers = np.where(np.eye(n_values), 0, most - 1).tolist()
    check(most, [tuple(map(int, row)) for row in [*random, *ties, *winners, *losers]])


@pytest.mark.parametrize("n_values", [2, 3, 4, 5, 6])
def test_constants_and_equals_among_the_values_count(n_values: int) -> None:
    """Every second value is 2, and two of the others are one number."""
    builder = Builder()
    number, constant = builder.input(0, 5), builder.constant(2)
    numbers = [constant if place % 2 else number for place in range(n_values)]
    graph = builder.graph([arg_max(builder, numbers)])
    found = graph.evaluate(np.arange(5)[:, None])[:, 0]
    assert found.tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("n_values", "n_rounds"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (1000, 10)]
)
def test_the_knock_out_has_so_many_rounds(n_values: int, n_rounds: int) -> None:
    builder = Builder()
    graph = builder.graph([arg_max(builder, [builder.input(n, 16) for n in range(n_values)])])
    depth: list[int] = []
    for node in graph.nodes:
        deepest = max((depth[operand] for operand in operands(node)), default=0)
        depth.append(deepest + isinstance(node, Greater))
    assert max(depth) == n_rounds
