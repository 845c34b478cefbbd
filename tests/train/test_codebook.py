"""Codebooks against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.train.codebook import INTEGER_MAX, Codebook, fit_grid, fit_kmeans

Floats = NDArray[np.float64]

# Multiples of 1/16, so that distinct weights stay distinct on the integer grid.
weight_lists = st.lists(st.integers(-32, 32).map(lambda n: n / 16), min_size=1, max_size=9)


def squared_error(weights: Floats, centres: Floats) -> float:
    return float(np.square(weights[:, None] - centres).min(axis=1).sum())


def least_error_of_contiguous_parts(weights: Floats, size: int) -> float:
    """Try every way to cut the sorted weights into ``size`` parts or fewer."""
    ordered = np.sort(weights)
    errors = []
    for n_cuts in range(min(size, len(ordered))):
        for cuts in itertools.combinations(range(1, len(ordered)), n_cuts):
            parts = np.split(ordered, cuts)
            errors.append(sum(float(np.square(part - part.mean()).sum()) for part in parts))
    return min(errors)


@settings(deadline=None, max_examples=150)
@given(values=weight_lists, size=st.integers(1, 5))
def test_kmeans_finds_the_optimum_up_to_its_integers(values: list[float], size: int) -> None:
    weights = np.array(values)
    codebook = fit_kmeans(weights, size)
    best = least_error_of_contiguous_parts(weights, size)
    # Rounding moves a centre, the mean of its part, by half a step at most.
    assert best - 1e-9 <= squared_error(weights, codebook.centres)
    assert squared_error(weights, codebook.centres) <= (
        best + len(weights) * (codebook.step / 2) ** 2 + 1e-9
    )


@settings(deadline=None, max_examples=100)
@given(values=weight_lists, size=st.integers(1, 9), with_zero=st.booleans())
def test_a_kmeans_codebook_is_increasing_integers_up_to_the_largest(
    values: list[float], size: int, with_zero: bool
) -> None:
    codebook = fit_kmeans(np.array(values), size, with_zero=with_zero)
    assert codebook.step > 0
    assert codebook.integers.dtype == np.int64
    assert 1 <= len(codebook.integers) <= size
    assert (np.diff(codebook.integers) > 0).all()
    assert np.abs(codebook.integers).max() <= INTEGER_MAX
    if with_zero:
        assert 0 in codebook.integers


@settings(deadline=None, max_examples=50)
@given(values=weight_lists)
def test_fewer_distinct_weights_than_centres_are_kept_as_they_are(values: list[float]) -> None:
    weights = np.array(values)
    codebook = fit_kmeans(weights, 100)
    assert len(codebook.integers) == len(set(values))
    assert codebook.centres[codebook.nearest(weights)] == pytest.approx(
        weights, abs=codebook.step / 2
    )


def test_centres_that_round_to_the_same_integer_are_one() -> None:
    assert fit_kmeans(np.array([1.0, 1.0 - 1e-6, 0.5]), 3).integers.tolist() == [1024, 2047]


def test_one_centre_is_the_mean() -> None:
    codebook = fit_kmeans(np.array([1.0, 2.0, 6.0]), 1)
    assert codebook.centres.tolist() == [3.0]


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 4)])
@pytest.mark.parametrize("with_zero", [False, True])
def test_weights_that_are_all_zero_have_one_centre(shape: tuple[int, ...], with_zero: bool) -> None:
    codebook = fit_kmeans(np.zeros(shape), 5, with_zero=with_zero)
    assert codebook.integers.tolist() == [0]
    assert codebook.step == 1.0


def test_with_zero_the_centre_nearest_to_zero_becomes_zero() -> None:
    weights = np.array([-1.0, -0.25, 0.5, 1.0])
    assert fit_kmeans(weights, 4).integers.tolist() == [-2047, -512, 1024, 2047]
    assert fit_kmeans(weights, 4, with_zero=True).integers.tolist() == [-2047, 0, 1024, 2047]


def test_with_zero_a_centre_at_zero_stays() -> None:
    weights = np.array([-1.0, 0.0, 0.25, 1.0])
    assert fit_kmeans(weights, 4, with_zero=True).integers.tolist() == [-2047, 0, 512, 2047]


def test_the_shape_of_the_weights_does_not_matter() -> None:
    weights = np.random.default_rng(0).normal(size=24)
    flat, folded = fit_kmeans(weights, 4), fit_kmeans(weights.reshape(4, 6), 4)
    assert flat.integers.tolist() == folded.integers.tolist()


@settings(deadline=None, max_examples=60)
@given(values=weight_lists.filter(any), half=st.integers(1, 3))
def test_the_grids_step_is_the_best_of_its_candidates(values: list[float], half: int) -> None:
    weights = np.array(values)
    codebook = fit_grid(weights, 2 * half + 1)
    integers = np.arange(-half, half + 1)
    assert codebook.integers.tolist() == integers.tolist()
    largest = float(np.abs(weights).max()) / half
    candidates = [largest * percent / 100 for percent in range(10, 101)]
    assert codebook.step in candidates
    best = min(
        squared_error(weights, np.multiply(step, integers, dtype=np.float64)) for step in candidates
    )
    assert squared_error(weights, codebook.centres) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("size", [3, 5, 255])
def test_a_grid_of_zeros_has_its_integers(size: int) -> None:
    codebook = fit_grid(np.zeros((2, 2)), size)
    assert codebook.integers.tolist() == list(range(-(size // 2), size // 2 + 1))
    assert codebook.step == 1.0


def test_a_grid_of_three_equal_magnitudes_is_exact() -> None:
    assert fit_grid(np.array([-0.5, 0.0, 0.5]), 3).centres.tolist() == [-0.5, 0.0, 0.5]


@settings(deadline=None, max_examples=100)
@given(
    integers=st.lists(st.integers(-50, 50), min_size=1, max_size=8, unique=True).map(sorted),
    values=st.lists(st.floats(-30, 30), min_size=1, max_size=9),
)
def test_nearest_is_the_nearest_of_all(integers: list[int], values: list[float]) -> None:
    codebook = Codebook(0.5, np.array(integers))
    weights = np.array(values)
    found = codebook.centres[codebook.nearest(weights)]
    assert np.abs(weights - found) == pytest.approx(
        np.abs(weights[:, None] - codebook.centres).min(axis=1)
    )


def test_half_way_the_greater_centre_is_nearest() -> None:
    codebook = Codebook(1.0, np.array([-1, 0, 2]))
    weights = np.array([[-0.5, np.nextafter(-0.5, -1)], [1.0, np.nextafter(1.0, 0.0)]])
    assert codebook.nearest(weights).tolist() == [[1, 0], [2, 1]]


def test_one_centre_is_nearest_to_everything() -> None:
    assert Codebook(1.0, np.array([3])).nearest(np.array([-9.0, 3.0, 9.0])).tolist() == [0, 0, 0]
