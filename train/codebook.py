"""Codebooks: the |W| values that weights may take (Baluja et al. 2018, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import kmeans1d
import numpy as np
from numpy.typing import NDArray

__all__ = ["INTEGER_MAX", "Codebook", "fit_grid", "fit_kmeans"]

Floats = NDArray[np.float64]

INTEGER_MAX = 2047
"""The largest centre of a k-means codebook, as an integer: 12 bits with its sign.

Finer than the distance of 1,000 centres, and coarse enough that float32 adds hundreds of their
products with levels exactly.
"""


@dataclass(frozen=True, eq=False)
class Codebook:
    """Centres on an integer grid: ``centre = step * integer``, so that sums are exact.

    Attributes
    ----------
    step
        Positive.
    integers
        int64, shape (centres,), strictly increasing.
    """

    step: float
    integers: NDArray[np.int64]

    @property
    def centres(self) -> Floats:
        centres: Floats = np.multiply(self.step, self.integers, dtype=np.float64)
        return centres

    def nearest(self, weights: Floats) -> NDArray[np.int64]:
        """Return the number of the centre nearest to each weight, in the weights' shape.

        A weight half-way between two centres goes to the greater.
        """
        centres = self.centres
        return np.searchsorted((centres[1:] + centres[:-1]) / 2, weights, side="right")


def fit_kmeans(weights: Floats, size: int, *, with_zero: bool = False) -> Codebook:
    """Return the centres of least squared error, rounded to the codebook's integer grid.

    One-dimensional k-means has an optimum that dynamic programming finds (Wu 1991; Grønlund et
    al. 2017), so there are no start values and no iterations. The codebook is smaller than asked
    for where the weights have fewer distinct values or centres round to the same integer.

    Parameters
    ----------
    weights
        Any shape.
    size
        |W|, at least 1.
    with_zero
        Whether 0 is a centre, for weights that were pruned: the one nearest to it if the codebook
        is full.
    """
    distinct: Floats = np.unique(weights)
    if len(distinct) > size:
        distinct = np.asarray(kmeans1d.cluster(weights.ravel(), size).centroids, np.float64)
    largest = float(np.abs(distinct).max(initial=0.0))
    if largest == 0.0:
        return Codebook(1.0, np.zeros(1, np.int64))
    step = largest / INTEGER_MAX
    integers = np.unique(np.rint(distinct / step).astype(np.int64))
    if with_zero and 0 not in integers:
        if len(integers) < size:
            integers = np.append(integers, 0)
        else:
            integers[np.abs(integers).argmin()] = 0
    return Codebook(step, np.unique(integers))


def fit_grid(weights: Floats, size: int) -> Codebook:
    """Return ``step * (-h, ..., h)`` with the step of least squared error, ``size = 2 h + 1``.

    The error has many local minima, so the steps are tried: from a tenth of the one that reaches
    the largest weight up to that one, in hundredths of it.

    Parameters
    ----------
    weights
        Any shape.
    """
    assert size >= 3, "a grid has a step"
    assert size % 2 == 1, "a grid is symmetric around 0"
    half = size // 2
    integers = np.arange(-half, half + 1)
    largest = float(np.max(np.abs(weights), initial=0.0))
    if largest == 0.0:
        return Codebook(1.0, integers)

    def squared_error(step: float) -> float:
        rounded = np.clip(np.rint(weights / step), -half, half) * step
        return float(np.square(weights - rounded).sum())

    candidates = [largest / half * percent / 100 for percent in range(10, 101)]
    return Codebook(min(candidates, key=squared_error), integers)
