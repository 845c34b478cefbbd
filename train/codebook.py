"""Codebooks: the |W| values that weights may take (Baluja et al. 2018, section 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import UserError, unknown_name
from nomul.train.clustering import kmeans_centres
from nomul.train.parametric import Family, Norm, measure, parametric_centres
from nomul.train.scaled import (
    bilevel_step,
    grid_step,
    powers_of_two,
    powers_step,
    ternary_step,
    uniform_integers,
)

__all__ = [
    "CODEBOOKS",
    "INTEGER_MAX",
    "INTEGER_MAXIMA",
    "Codebook",
    "centres_used",
    "check_size",
    "fit_codebook",
    "fit_kmeans",
]

Floats = NDArray[np.float64]
Weights = NDArray[np.float32] | NDArray[np.float64]

INTEGER_MAXIMA = (2047, 4095, 8191, 16383, 32767)
"""What the centre of largest magnitude may be as an integer: 12 to 16 bits with its sign."""

INTEGER_MAX = INTEGER_MAXIMA[0]
"""That of codebooks of a hundred centres: float32 adds hundreds of their products exactly."""

PARTS_OF_DISTANCE = 5
"""How many grid steps the median distance of neighbouring centres is to have at least."""

POWERS_MAX = 31
"""0 and ± 15 powers of two: the greatest, 2**14, is the last within :data:`INTEGER_MAXIMA`."""


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

    def nearest(self, weights: Weights) -> NDArray[np.int64]:
        """Return the number of the centre nearest to each weight, in the weights' shape.

        A weight half-way between two centres goes to the greater.
        """
        centres = self.centres
        return np.searchsorted((centres[1:] + centres[:-1]) / 2, weights, side="right")


def fit_codebook(
    kind: str, weights: Weights, size: int, *, with_zero: bool = False, pinned: bool = True
) -> Codebook:
    """Return the codebook of ``kind`` that fits ``weights`` best.

    Parameters
    ----------
    kind
        One of :data:`CODEBOOKS`.
    weights
        Any shape; up to tens of millions.
    size
        |W|, at least 1. The codebook has :func:`centres_used` centres, or fewer where the weights
        have fewer distinct values or centres round to the same integer.
    with_zero
        Whether 0 is a centre, for weights that were pruned: the one nearest to it if the codebook
        is full.
    pinned
        Of the parametric kinds: whether the extreme centres lie at the largest deviation from the
        mean, or where the model has them (:func:`nomul.train.parametric.parametric_centres`).

    Raises
    ------
    UserError
        If there is no such kind, or it has no 0 where there must be one.
    """
    if kind not in CODEBOOKS:
        raise UserError(unknown_name("codebook kind", kind, CODEBOOKS))
    used = centres_used(kind, size)
    if kind in _SCALED:
        return _fit_scaled(kind, weights, used, with_zero=with_zero)
    if kind == "kmeans":
        return fit_kmeans(weights, used, with_zero=with_zero)
    family, norm = _PARAMETRIC[kind]
    centres = np.zeros(0)
    if weights.size:
        centres = parametric_centres(measure(weights), used, family, norm, pinned=pinned)
    return _on_integers(centres, used, with_zero=with_zero)


def centres_used(kind: str, size: int) -> int:
    """Return how many centres a codebook of ``kind`` has when ``size`` are asked for.

    A bilevel one has 2 and a ternary one 3. K-means uses all. The others are symmetric around a
    centre, so that an even size leaves one out; only a grid of 2 is bilevel. There are 31 powers
    of two at most.
    """
    assert size >= 1, "a codebook has a centre"
    if kind in _FIXED_SIZES:
        return _FIXED_SIZES[kind]
    if kind == "kmeans" or (kind == "grid" and size == 2):
        return size
    odd = size - 1 + size % 2
    return min(odd, POWERS_MAX) if kind == "powers_of_two" else odd


def check_size(size: int, n_weights: int, scope_name: str) -> None:
    """Refuse a codebook that has more centres than its scope has weights.

    Parameters
    ----------
    scope_name
        What shares the codebook, as a sentence names it: ``"the network"``, ``"layers.0"``.

    Raises
    ------
    UserError
        If so.
    """
    if size > n_weights:
        raise UserError(
            f"A codebook of {size} centres is larger than {scope_name}, which has {n_weights} "
            f"weights: choose a size of {n_weights} at most."
        )


def fit_kmeans(weights: Weights, size: int, *, with_zero: bool = False) -> Codebook:
    """Return the centres of least squared error, rounded to the codebook's integer grid.

    :func:`nomul.train.clustering.kmeans_centres` says how near to the least.
    """
    return _on_integers(kmeans_centres(weights, size), size, with_zero=with_zero)


def _fit_scaled(kind: str, weights: Weights, size: int, *, with_zero: bool) -> Codebook:
    pattern, best_step = _SCALED[kind]
    integers = pattern(size)
    if with_zero and 0 not in integers:
        raise UserError(
            f"A {kind} codebook of {size} centres has no 0, which pruned weights need: choose "
            "ternary, or do not prune."
        )
    return Codebook(best_step(weights, integers) if np.any(weights) else 1.0, integers)


def _on_integers(centres: Floats, size: int, *, with_zero: bool) -> Codebook:
    """Return ``centres``, increasing, ``size`` at most, as a codebook."""
    largest = float(np.abs(centres).max(initial=0.0))
    if largest == 0.0:
        return Codebook(1.0, np.zeros(1, np.int64))
    step = largest / _integer_max(centres, largest)
    integers = np.unique(np.rint(centres / step).astype(np.int64))
    if with_zero and 0 not in integers:
        if len(integers) < size:
            integers = np.append(integers, 0)
        else:
            integers[np.abs(integers).argmin()] = 0
    return Codebook(step, np.unique(integers))


def _integer_max(centres: Floats, largest: float) -> int:
    """Return the least integer for ``largest`` that leaves neighbouring centres apart.

    A rounded centre is off by half a grid step at most, so with q steps between neighbours the
    squared error grows by about 1 / (2 q**2) of itself: 2 % for q = 5 of the median distance.
    """
    if len(centres) > 1:
        finest = float(np.median(np.diff(centres))) / PARTS_OF_DISTANCE
        for integer_max in INTEGER_MAXIMA[:-1]:
            if largest / integer_max <= finest:
                return integer_max
        return INTEGER_MAXIMA[-1]
    return INTEGER_MAX


_FIXED_SIZES = {"ternary": 3, "bilevel": 2}

_PARAMETRIC: dict[str, tuple[Family, Norm]] = {
    "laplacian_l1": ("laplacian", 1),
    "laplacian_l2": ("laplacian", 2),
    "gaussian_l1": ("gaussian", 1),
    "gaussian_l2": ("gaussian", 2),
}

_SCALED: dict[
    str, tuple[Callable[[int], NDArray[np.int64]], Callable[[Weights, NDArray[np.int64]], float]]
] = {
    "grid": (uniform_integers, grid_step),
    "powers_of_two": (powers_of_two, powers_step),
    "ternary": (uniform_integers, ternary_step),
    "bilevel": (uniform_integers, bilevel_step),
}

CODEBOOKS = ("kmeans", *_PARAMETRIC, *_SCALED)
"""The kinds of codebook by the name that an experiment gives them."""
