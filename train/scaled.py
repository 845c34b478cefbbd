"""Codebooks of given integers: only the step that they are multiplied by is fitted.

All fits are for the least squared error, and take weights that are not all 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "bilevel_step",
    "grid_step",
    "powers_of_two",
    "powers_step",
    "ternary_step",
    "uniform_integers",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Weights = NDArray[np.float32] | NDArray[np.float64]

SAMPLE = 1 << 14
"""Of more weights than these, so many order statistics stand for all."""

SEARCHED_SIZE_MAX = 255
"""The largest grid whose step is searched for."""

PERCENT = range(10, 101)
"""Steps that are tried: in hundredths of the one that reaches the largest weight."""


def uniform_integers(size: int) -> Integers:
    """Return -h..h of ``size = 2 h + 1``; of size 2, -1 and 1."""
    half = size // 2
    return np.array([-1, 1]) if size == 2 else np.arange(-half, half + 1)


def powers_of_two(size: int) -> Integers:
    """Return 0 and ±1, ±2, ±4, ..., increasing, ``size`` of them, which is odd."""
    positive = 1 << np.arange(size // 2, dtype=np.int64)
    return np.concatenate([-positive[::-1], np.zeros(1, np.int64), positive])


def grid_step(weights: Weights, integers: Integers) -> float:
    """Return the best step for :func:`uniform_integers`.

    The error has many local minima, so the steps are tried: from a tenth of the one that reaches
    the largest weight up to that one, in hundredths of it. A grid of more than
    :data:`SEARCHED_SIZE_MAX` takes that one: its rounding is fine enough in any case, and the
    coarser the step, the fewer centres are used often and the fewer bits an index is worth.
    """
    half = int(integers[-1])
    if len(integers) == 2:
        return bilevel_step(weights, integers)
    if len(integers) > SEARCHED_SIZE_MAX:
        return float(np.abs(weights).max(initial=0.0)) / half

    def rounded(sample: Floats, step: float) -> Floats:
        return np.clip(np.rint(sample / step), -half, half) * step

    return _best_tried(weights, half, rounded)


def powers_step(weights: Weights, integers: Integers) -> float:
    """Return the best step for :func:`powers_of_two`, among those that a grid would try."""
    middles = (integers[1:] + integers[:-1]) / 2

    def rounded(sample: Floats, step: float) -> Floats:
        return step * integers[middles.searchsorted(sample / step)].astype(np.float64)

    return _best_tried(weights, int(integers[-1]), rounded)


def ternary_step(weights: Weights, integers: Integers) -> float:
    """Return the best step for -1, 0 and 1, exactly.

    With the m largest magnitudes off 0 the best step is their mean, and the error falls by their
    sum squared over m; so all m are tried (Li, Liu 2016, "Ternary Weight Networks", section 2.2).
    """
    assert integers.tolist() == [-1, 0, 1], "the formula is for these"
    magnitude = np.sort(np.abs(weights), axis=None)[::-1]
    sums = np.cumsum(magnitude, dtype=np.float64)
    counts = np.arange(1, len(sums) + 1)
    best = int(np.argmax(np.square(sums) / counts))
    return float(sums[best] / counts[best])


def bilevel_step(weights: Weights, integers: Integers) -> float:
    """Return the best step for -1 and 1, exactly: the mean magnitude.

    Rastegari et al. 2016, "XNOR-Net", section 3.1, equation 6.
    """
    assert integers.tolist() == [-1, 1], "the formula is for these"
    return float(np.mean(np.abs(weights), dtype=np.float64))


def _best_tried(
    weights: Weights, greatest: int, rounded: Callable[[Floats, float], Floats]
) -> float:
    """Return the best step for integers up to ``greatest``, 0 included, of those tried."""
    if greatest == 0:
        return 1.0
    sample, counts = _sample(weights)

    def squared_error(step: float) -> float:
        return float((np.square(sample - rounded(sample, step)) * counts).sum())

    largest = float(np.max(np.abs(sample)))
    return min((largest / greatest * percent / 100 for percent in PERCENT), key=squared_error)


def _sample(weights: Weights) -> tuple[Floats, Floats]:
    """Return weights and how many each stands for.

    Of many weights these are order statistics: the greatest and the least, which decide how much
    is clipped, one by one, and those between evenly spaced.
    """
    if weights.size <= SAMPLE:
        flat: Floats = weights.ravel().astype(np.float64)
        return flat, np.ones(flat.size)
    end = SAMPLE // 4
    between = np.linspace(end, weights.size - end, SAMPLE - 2 * end + 1).astype(np.int64)
    places = np.concatenate(
        [
            np.arange(end),
            (between[1:] + between[:-1]) // 2,
            np.arange(weights.size - end, weights.size),
        ]
    )
    counts = np.concatenate([np.ones(end), np.diff(between), np.ones(end)])
    return np.sort(weights, axis=None)[places].astype(np.float64), counts
