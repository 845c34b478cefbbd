"""Steps against a fine search, and against every assignment of few weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.train.scaled import (
    bilevel_step,
    grid_step,
    powers_of_two,
    powers_step,
    ternary_step,
    uniform_integers,
)

weight_lists = st.lists(st.integers(-32, 32).map(lambda n: n / 16), min_size=1, max_size=6)


def squared_error(weights: NDArray[np.float64], centres: NDArray[np.float64]) -> float:
    return float(np.square(weights[:, None] - centres).min(axis=1).sum())


def least_error(weights: NDArray[np.float64], integers: list[int]) -> float:
    """Try every assignment of integers to weights, each with its least-squares step."""
    errors = []
    for chosen in itertools.product(integers, repeat=len(weights)):
        squares = sum(integer**2 for integer in chosen)
        step = float(np.dot(weights, chosen)) / squares if squares else 0.0
        errors.append(float(np.square(weights - step * np.array(chosen)).sum()))
    return min(errors)


@settings(deadline=None, max_examples=60)
@given(values=weight_lists.filter(any))
def test_ternary_and_bilevel_steps_are_the_best_of_all(values: list[float]) -> None:
    weights = np.array(values)
    for step_of, integers in ((ternary_step, [-1, 0, 1]), (bilevel_step, [-1, 1])):
        step = step_of(weights, np.array(integers))
        assert step > 0
        assert squared_error(weights, step * np.array(integers, np.float64)) == pytest.approx(
            least_error(weights, integers), abs=1e-9
        )


def test_integers() -> None:
    assert uniform_integers(1).tolist() == [0]
    assert uniform_integers(2).tolist() == [-1, 1]
    assert uniform_integers(5).tolist() == [-2, -1, 0, 1, 2]
    assert powers_of_two(1).tolist() == [0]
    assert powers_of_two(3).tolist() == [-1, 0, 1]
    assert powers_of_two(9).tolist() == [-8, -4, -2, -1, 0, 1, 2, 4, 8]


@pytest.mark.parametrize("half", [1, 2, 4])
@pytest.mark.parametrize("kind", ["grid", "powers of two"])
def test_the_step_is_the_best_of_its_candidates(kind: str, half: int) -> None:
    weights = np.random.default_rng(half).laplace(size=300)
    if kind == "grid":
        integers = np.arange(-half, half + 1)
        step = grid_step(weights, integers)
    else:
        integers = powers_of_two(2 * half + 1)
        step = powers_step(weights, integers)
    reach = float(np.abs(weights).max()) / int(integers[-1])
    errors = {
        reach * percent / 100: squared_error(
            weights, np.multiply(reach * percent / 100, integers, dtype=np.float64)
        )
        for percent in range(10, 101)
    }
    assert errors[step] == min(errors.values())


def test_powers_of_two_are_exact() -> None:
    weights = np.array([-0.75, 0.0, 0.1875, 1.5])
    assert powers_step(weights, powers_of_two(9)) == 0.1875


@pytest.mark.parametrize("size", [5, 31, 255])
def test_order_statistics_stand_for_many_weights(size: int) -> None:
    weights = np.random.default_rng(0).laplace(size=60_000)
    integers = uniform_integers(size)
    step = grid_step(weights, integers)
    reach = float(np.abs(weights).max()) / int(integers[-1])
    half = size // 2

    def error(step: float) -> float:
        return float(
            np.square(weights - step * np.clip(np.rint(weights / step), -half, half)).sum()
        )

    best = min(error(reach * percent / 100) for percent in range(10, 101))
    assert error(step) <= best * 1.005


@pytest.mark.parametrize("size", [257, 999])
def test_a_fine_grid_reaches_the_largest_weight(size: int) -> None:
    weights = np.random.default_rng(0).laplace(size=1_000)
    step = grid_step(weights, uniform_integers(size))
    assert step * (size // 2) == pytest.approx(np.abs(weights).max(), rel=1e-12)


def test_a_single_centre_has_any_step() -> None:
    assert grid_step(np.ones(3), uniform_integers(1)) == 1.0
    assert powers_step(np.ones(3), powers_of_two(1)) == 1.0


def test_a_grid_of_two_is_bilevel() -> None:
    assert grid_step(np.array([-1.0, 2.0, 6.0]), uniform_integers(2)) == 3.0
