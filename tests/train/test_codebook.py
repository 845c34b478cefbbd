"""Codebooks against brute force."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.network.errors import UserError
from nomul.train.clustering import kmeans_centres
from nomul.train.codebook import (
    CODEBOOKS,
    INTEGER_MAX,
    Codebook,
    centres_used,
    check_size,
    fit_codebook,
    fit_kmeans,
)

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
    codebook = fit_codebook("grid", weights, 2 * half + 1)
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
    codebook = fit_codebook("grid", np.zeros((2, 2)), size)
    assert codebook.integers.tolist() == list(range(-(size // 2), size // 2 + 1))
    assert codebook.step == 1.0


def test_a_grid_of_three_equal_magnitudes_is_exact() -> None:
    assert fit_codebook("grid", np.array([-0.5, 0.0, 0.5]), 3).centres.tolist() == [-0.5, 0.0, 0.5]


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


@pytest.mark.parametrize("kind", CODEBOOKS)
@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 101])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_codebook_has_the_centres_that_it_says_it_has(kind: str, size: int, dtype: type) -> None:
    weights: NDArray[Any] = (
        np.random.default_rng(size).laplace(0.01, 1.0, size=(40, 50)).astype(dtype)
    )
    codebook = fit_codebook(kind, weights, size)
    assert codebook.step > 0
    assert codebook.integers.dtype == np.int64
    assert len(codebook.integers) == centres_used(kind, size)
    assert (np.diff(codebook.integers) > 0).all()


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("kmeans", {1: 1, 2: 2, 1000: 1000}),
        ("laplacian_l1", {1: 1, 2: 1, 3: 3, 1000: 999}),
        ("gaussian_l2", {101: 101, 102: 101}),
        ("grid", {2: 2, 3: 3, 4: 3, 256: 255}),
        ("powers_of_two", {2: 1, 7: 7, 8: 7, 32: 31, 1000: 31}),
        ("ternary", {1: 3, 1000: 3}),
        ("bilevel", {1: 2, 1000: 2}),
    ],
)
def test_how_many_of_the_centres_asked_for_are_used(kind: str, sizes: dict[int, int]) -> None:
    assert {size: centres_used(kind, size) for size in sizes} == sizes


@pytest.mark.parametrize("kind", [kind for kind in CODEBOOKS if kind != "bilevel"])
@pytest.mark.parametrize("pinned", [False, True])
def test_zero_is_a_centre_where_it_must_be(kind: str, pinned: bool) -> None:
    weights = np.random.default_rng(0).normal(0.3, 1.0, size=500)
    codebook = fit_codebook(kind, weights, 7, with_zero=True, pinned=pinned)
    assert 0 in codebook.integers
    assert len(codebook.integers) == centres_used(kind, 7)


@pytest.mark.parametrize(("kind", "name"), [("bilevel", "bilevel"), ("grid", "grid")])
def test_two_centres_without_a_zero_are_refused_where_there_must_be_one(
    kind: str, name: str
) -> None:
    with pytest.raises(UserError) as caught:
        fit_codebook(kind, np.ones(3), 2, with_zero=True)
    assert str(caught.value) == (
        f"A {name} codebook of 2 centres has no 0, which pruned weights need: choose ternary, or "
        "do not prune."
    )


@pytest.mark.parametrize("kind", CODEBOOKS)
@pytest.mark.parametrize("shape", [(0,), (2, 3)])
def test_no_weight_but_zero_has_a_codebook_too(kind: str, shape: tuple[int, ...]) -> None:
    codebook = fit_codebook(kind, np.zeros(shape), 5)
    assert codebook.step == 1.0
    assert (0 in codebook.integers) == (kind != "bilevel")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        fit_codebook("laplacian", np.ones(3), 3)
    assert str(caught.value) == (
        "Unknown codebook kind 'laplacian': did you mean 'laplacian_l2'? The known ones are "
        "bilevel, gaussian_l1, gaussian_l2, grid, kmeans, laplacian_l1, laplacian_l2, "
        "powers_of_two, ternary."
    )


def test_a_codebook_larger_than_its_scope_is_refused() -> None:
    check_size(5, 5, "layers.0")
    with pytest.raises(UserError) as caught:
        check_size(101, 64, "layers.0")
    assert str(caught.value) == (
        "A codebook of 101 centres is larger than layers.0, which has 64 weights: choose a size of "
        "64 at most."
    )


def test_a_parametric_codebook_is_its_models_centres_up_to_its_integers() -> None:
    weights = np.random.default_rng(0).laplace(0.2, 1.0, size=5000)
    largest = float(np.abs(weights - weights.mean()).max())
    codebook = fit_codebook("laplacian_l1", weights, 11)
    ends = [weights.mean() - largest, weights.mean() + largest]
    assert codebook.centres[[0, -1]] == pytest.approx(ends, abs=codebook.step / 2)
    assert np.diff(codebook.centres)[5] == pytest.approx(
        -largest * math.log(1 - 2 / 11) / math.log(11), abs=codebook.step
    )


@pytest.mark.parametrize("family", ["laplace", "normal", "standard_t"])
@pytest.mark.parametrize(("size", "integer_max"), [(101, {2047}), (1000, {8191, 16383, 32767})])
def test_rounding_to_integers_costs_little_and_a_hundred_centres_need_12_bits(
    family: str, size: int, integer_max: set[int]
) -> None:
    generator = np.random.default_rng(size)
    weights = generator.standard_t(5, 100_000)
    if family != "standard_t":
        weights = getattr(generator, family)(size=100_000)
    exact = kmeans_centres(weights, size)
    codebook = fit_kmeans(weights, size)

    def error(centres: Floats) -> float:
        nearest = ((centres[1:] + centres[:-1]) / 2).searchsorted(weights)
        return float(np.square(weights - centres[nearest]).sum())

    assert int(np.abs(codebook.integers).max()) in integer_max
    assert error(codebook.centres) <= error(exact) * 1.02


def test_weights_assigned_in_float32_or_float64_have_the_same_centres() -> None:
    weights = np.random.default_rng(0).laplace(size=2000).astype(np.float32)
    for size in (5, 101):
        low, high = fit_kmeans(weights, size), fit_kmeans(weights.astype(np.float64), size)
        assert low.integers.tolist() == high.integers.tolist()
        assert low.step == high.step
