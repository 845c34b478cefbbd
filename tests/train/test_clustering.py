"""Fast k-means against the exact one."""

from __future__ import annotations

import kmeans1d
import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.train import clustering
from nomul.train.clustering import EXACT_WORK, kmeans_centres

Floats = NDArray[np.float64]


def squared_error(weights: NDArray[np.float32], centres: Floats) -> float:
    middles = (centres[1:] + centres[:-1]) / 2
    nearest = centres[middles.searchsorted(weights)]
    return float(np.square(weights.astype(np.float64) - nearest).sum())


def random_weights(family: str, n: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(n)
    if family == "laplacian":
        weights = generator.laplace(size=n)
    elif family == "gaussian":
        weights = generator.normal(size=n)
    else:  # layers of very different scale in one codebook
        weights = np.append(generator.normal(size=n // 2) / 50, generator.laplace(size=n - n // 2))
    return weights.astype(np.float32)


@pytest.mark.parametrize("family", ["laplacian", "gaussian", "two layers"])
@pytest.mark.parametrize(("n", "size"), [(3000, 64), (4000, 256), (20_000, 31), (2000, 500)])
def test_beyond_the_exact_work_the_error_is_little_above_the_least(
    family: str, n: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "EXACT_WORK", 0)
    weights = random_weights(family, n)
    least = squared_error(weights, np.array(kmeans1d.cluster(weights, size).centroids))
    centres = kmeans_centres(weights, size)
    assert len(centres) == size
    assert (np.diff(centres) > 0).all()
    assert least * (1 - 1e-6) <= squared_error(weights, centres) <= least * 1.02


def test_among_many_weights_the_density_of_centres_is_that_of_panter_and_dite() -> None:
    """Mean squared error for k -> ∞: (integral of the density's cube root)**3 / (12 k**2)."""
    n, size = 300_000, 50
    weights = np.random.default_rng(0).triangular(-1.0, 0.0, 1.0, n).astype(np.float32)
    integral = 1.5  # of (1 - |x|)**(1/3)
    error = squared_error(weights, kmeans_centres(weights, size)) / n
    assert error == pytest.approx(integral**3 / (12 * size**2), rel=0.02)


@pytest.mark.parametrize("n", [500, 70_000])
def test_repeated_weights_need_no_more_centres_than_they_have_values(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "EXACT_WORK", 0)
    values = np.array([-1.5, -0.25, 0.0, 0.5, 3.0], np.float32)
    weights = np.random.default_rng(0).choice(values, n)
    for size in (5, 6, 100):
        assert kmeans_centres(weights, size).tolist() == values.tolist()
    found = kmeans_centres(weights, 4)
    exact = np.array(kmeans1d.cluster(weights, 4).centroids)
    assert found == pytest.approx(exact, abs=1e-6)


def test_one_centre_is_the_mean() -> None:
    weights = random_weights("laplacian", EXACT_WORK + 1)
    expected = weights.mean(dtype=np.float64)
    assert kmeans_centres(weights, 1).tolist() == pytest.approx([expected])


def test_the_order_of_the_weights_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "EXACT_WORK", 0)
    weights = random_weights("laplacian", 3000)
    shuffled = np.random.default_rng(1).permutation(weights).reshape(60, 50)
    before = shuffled.copy()
    assert kmeans_centres(weights, 40).tolist() == kmeans_centres(shuffled, 40).tolist()
    assert np.array_equal(shuffled, before)
