from __future__ import annotations

import itertools

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned

from nomul.hw.argmax import ArgMax
from nomul.hw.widths import class_width
from tests.hw.benches import check_stream, elaborated, pack


def check(shape: Shape, values: list[tuple[int, ...]]) -> None:
    hardware = ArgMax(shape, len(values[0]))
    # Python's max gives the first of equals.
    expected = [max(range(len(row)), key=row.__getitem__) for row in values]
    check_stream(hardware, pack(values, shape.width), expected)


@pytest.mark.parametrize(
    ("shape", "n_values"),
    [
        (signed(1), 1),
        (signed(1), 2),
        (signed(1), 7),
        (signed(2), 3),
        (signed(3), 2),
        (signed(8), 1),
        (unsigned(1), 9),
        (unsigned(2), 4),
    ],
    ids=str,
)
def test_the_greatest_value_wins_and_the_first_of_equals(shape: Shape, n_values: int) -> None:
    least = -(1 << shape.width - 1) if shape.signed else 0
    numbers = range(least, least + (1 << shape.width))
    check(shape, list(itertools.product(numbers, repeat=n_values)))


@pytest.mark.parametrize("n_values", range(1, 10))
def test_any_number_of_wide_values_is_compared(n_values: int) -> None:
    rng = np.random.default_rng(n_values)
    random = rng.integers(-(2**19), 2**19, (20, n_values)).tolist()
    ties = rng.integers(-1, 1, (20, n_values)).tolist()
    winners = np.where(np.eye(n_values), 2**19 - 1, -(2**19)).tolist()
    losers = np.where(np.eye(n_values), -(2**19), 2**19 - 1).tolist()
    check(signed(20), [tuple(row) for row in [*random, *ties, *winners, *losers]])


@pytest.mark.parametrize(
    ("n_values", "n_cycles"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (1000, 10)]
)
def test_each_round_of_the_knock_out_takes_a_cycle(n_values: int, n_cycles: int) -> None:
    hardware = elaborated(ArgMax(signed(4), n_values))
    assert hardware.latency == n_cycles
    assert hardware.initiation_interval == 1
    assert hardware.o.payload.shape() == unsigned(class_width(n_values))
