"""Parametric centres against the published recursion and Lloyd's iteration on the density."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from nomul.train.parametric import Family, Norm, Spread, measure, parametric_centres

Floats = NDArray[np.float64]
SPREAD = Spread(0.5, 2.0, 3.0, 7.0)
FAMILIES: dict[Family, tuple[stats.rv_continuous, Spread]] = {
    "laplacian": (stats.laplace, Spread(0.0, 1.0, math.sqrt(2), 9.0)),
    "gaussian": (stats.norm, Spread(0.0, math.sqrt(2 / math.pi), 1.0, 9.0)),
}


def recursion(size: int) -> list[float]:
    """``L_0 = 0, L_i = L_(i-1) + D_i, D_i = -ln(1 - 2 exp(L_(i-1)) / N)``, as published."""
    levels = [0.0]
    for _ in range(size // 2):
        levels.append(levels[-1] - math.log(1 - 2 * math.exp(levels[-1]) / size))
    return levels


@pytest.mark.parametrize("size", [3, 5, 11, 101, 999])
def test_pinned_laplacian_l1_is_the_published_recursion(size: int) -> None:
    levels = np.array(recursion(size))
    scale = SPREAD.largest_deviation / levels[-1]
    assert levels[-1] == pytest.approx(math.log(size))
    expected = 0.5 + scale * np.concatenate([-levels[:0:-1], levels])
    found = parametric_centres(SPREAD, size, "laplacian", 1, pinned=True)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("family", ["laplacian", "gaussian"])
@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("size", [3, 31, 255])
def test_pinned_centres_reach_the_largest_deviation(family: Family, norm: Norm, size: int) -> None:
    centres = parametric_centres(SPREAD, size, family, norm, pinned=True)
    assert len(centres) == size
    assert (np.diff(centres) > 0).all()
    assert (centres[0], centres[size // 2], centres[-1]) == pytest.approx((-6.5, 0.5, 7.5))


def mean_error(centres: Floats, density: stats.rv_continuous, norm: Norm) -> float:
    """Integrate the upper half; the centres are symmetric and one of them is 0."""
    upper = centres[len(centres) // 2 :]
    cuts = [0.0, *((upper[1:] + upper[:-1]) / 2), np.inf]
    total = 0.0
    for centre, (low, high) in zip(upper, pairwise(cuts), strict=True):
        parts = [low, float(np.clip(centre, low, high)), high]
        for left, right in pairwise(parts):
            total += integrate.quad(
                lambda x, centre=centre: abs(x - centre) ** norm * density.pdf(x), left, right
            )[0]
    return 2 * total


def lloyd(centres: Floats, density: stats.rv_continuous, norm: Norm) -> Floats:
    """Move each centre to the median or mean of its part of the density, until none moves."""
    cdf, half = density.cdf, len(centres) // 2
    upper = centres[half:].copy()
    for _ in range(2000):
        cuts = np.array([0.0, *((upper[1:] + upper[:-1]) / 2), np.inf])
        mass = np.diff(cdf(cuts))
        if norm == 1:
            moved = density.ppf((cdf(cuts[1:]) + cdf(cuts[:-1])) / 2)
        elif density is stats.norm:
            moved = -np.diff(density.pdf(cuts)) / mass
        else:  # integral of x exp(-x) / 2
            finite = np.where(np.isinf(cuts), 0.0, cuts)
            moved = -np.diff((finite + 1) * np.exp(-cuts) / 2) / mass
        moved[0] = 0.0
        done = np.abs(moved - upper).max() < 1e-9
        upper = moved
        if done:
            break
    return np.concatenate([-upper[:0:-1], upper])


@pytest.mark.parametrize("family", ["laplacian", "gaussian"])
@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize(("size", "excess"), [(11, 0.0013), (31, 0.0006)])
def test_free_centres_are_nearly_the_optimum_of_the_model(
    family: Family, norm: Norm, size: int, excess: float
) -> None:
    density, spread = FAMILIES[family]
    centres = parametric_centres(spread, size, family, norm, pinned=False)
    least = mean_error(lloyd(centres, density, norm), density, norm)
    found = mean_error(centres, density, norm)
    assert least * (1 - 1e-7) <= found <= least * (1 + excess)


@pytest.mark.parametrize("size", [1, 3, 11, 101])
def test_free_laplacian_l1_centres_have_the_error_of_the_closed_form(size: int) -> None:
    centres = parametric_centres(Spread(0.0, 1.0, 1.4, 9.0), size, "laplacian", 1, pinned=False)
    assert mean_error(centres, stats.laplace, 1) == pytest.approx(2 / (size + 1), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 1000, 300_000])
def test_the_spread_is_what_numpy_says(dtype: type, n: int) -> None:
    weights: NDArray[Any] = np.random.default_rng(n).laplace(0.1, 0.5, size=(n, 1)).astype(dtype)
    spread = measure(weights)
    exact = weights.astype(np.float64)
    assert spread.mean == pytest.approx(exact.mean())
    assert spread.mean_deviation == pytest.approx(np.abs(exact - exact.mean()).mean(), abs=1e-7)
    assert spread.standard_deviation == pytest.approx(exact.std(), abs=1e-6)
    assert spread.largest_deviation == pytest.approx(np.abs(exact - exact.mean()).max(), abs=1e-6)
