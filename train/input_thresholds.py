"""Thresholds that turn real features into levels, chosen from the features to train on.

``level = number of thresholds <= feature``, as :class:`nomul.network.Input` has it. Level k of L
stands for the value k / (L - 1), from 0 to 1, wherever the thresholds lie: behind quantiles too,
where levels are ranks, equally frequent, and so the values of a feature made uniform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nomul.train.dataset import Samples

__all__ = ["Sharing", "ThresholdKind", "feature_range", "input_thresholds", "known_features"]

Floats = NDArray[np.float64]
ThresholdKind = Literal["uniform", "parts", "quantile"]
Sharing = Literal["shared", "per_feature", "per_channel"]

DECODED_SAMPLES = 1_000
"""Samples that are looked at, of those that are decoded only when asked for."""


def known_features(features: Samples) -> NDArray[Any]:
    """Return the training samples that thresholds and ranges are taken from.

    All that are at hand; the first :data:`DECODED_SAMPLES` of those that would have to be decoded.
    """
    return features if isinstance(features, np.ndarray) else features[:DECODED_SAMPLES]


def input_thresholds(
    features: NDArray[Any],
    levels: int,
    kind: ThresholdKind = "uniform",
    sharing: Sharing = "shared",
) -> Floats:
    """Return thresholds for features like ``features``.

    Parameters
    ----------
    features
        Numbers of any dtype, shape (samples, *feature shape), at least one sample.
    levels
        L, at least 2.
    kind
        ``uniform``: half-way between L values equally spaced over the range,
        ``least + (k + 1/2) / (L - 1) * (greatest - least)``. ``parts``: the range in L equal
        parts, ``least + (k + 1) / L * (greatest - least)``; of bytes, a power of two of levels are
        then their first bits. ``quantile``: levels equally frequent,
        as far as repeated values allow: each threshold lies half-way between the two distinct
        values between which the quantile k / L, k = 1..L-1, falls.
    sharing
        ``shared`` by all features, or others for each feature, or for each channel, which is
        the first axis of the feature shape.

    Returns
    -------
    NDArray[np.float64]
        Finite, non-decreasing along the last axis, which has L - 1 entries. The axes before it
        are none if shared; the feature shape if per feature; (channels, 1, ...), as many as the
        feature shape has, if per channel. Where all values are equal, so are the uniform
        thresholds: the greatest level for what is that value or more, the least below.
    """
    assert levels >= 2, "features take two levels at least"
    shape = features.shape[1:]
    if sharing == "shared" or not shape:
        groups, leading = features.reshape(1, -1), shape if not shape else ()
    elif sharing == "per_feature":
        groups, leading = features.reshape(len(features), -1).T, shape
    else:
        groups = np.moveaxis(features, 1, 0).reshape(shape[0], -1)
        leading = (shape[0],) + (1,) * (len(shape) - 1)
    of_group = _KINDS[kind]
    thresholds = np.stack([of_group(values, levels) for values in groups])
    return thresholds.reshape(*leading, levels - 1)


def feature_range(
    features: NDArray[Any], sharing: Sharing = "shared"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the greatest feature, float64, for each that has its own thresholds.

    Both have the axes that thresholds have before their last. A feature that is constant gets a
    range of 1.
    """
    shape = features.shape[1:]
    if sharing == "shared" or not shape:
        own: tuple[int, ...] = ()
        axes = tuple(range(features.ndim))
    elif sharing == "per_feature":
        own, axes = shape, (0,)
    else:
        own, axes = (shape[0],) + (1,) * (len(shape) - 1), (0, *range(2, features.ndim))
    least = features.min(axis=axes).astype(np.float64).reshape(own)
    greatest = features.max(axis=axes).astype(np.float64).reshape(own)
    return least, np.where(greatest > least, greatest, least + 1)


def _uniform(values: NDArray[Any], levels: int) -> Floats:
    least, greatest = float(values.min()), float(values.max())
    places: Floats = (np.arange(levels - 1, dtype=np.float64) + 0.5) / (levels - 1)
    return least + places * (greatest - least)


def _parts(values: NDArray[Any], levels: int) -> Floats:
    least, greatest = float(values.min()), float(values.max())
    places: Floats = np.arange(1, levels, dtype=np.float64) / levels
    return least + places * (greatest - least)


def _quantile(values: NDArray[Any], levels: int) -> Floats:
    """Return the middles between neighbouring distinct values that part them most evenly.

    A quantile inside a run of equal values goes to the end of the run that is nearer, unless
    there are no values beyond that end.
    """
    distinct, counts = np.unique(values, return_counts=True)
    distinct = distinct.astype(np.float64)
    if len(distinct) == 1:
        return np.full(levels - 1, distinct[0])
    below = np.cumsum(counts[:-1])  # values below the middle of each two neighbours
    wanted = np.arange(1, levels) * (values.size / levels)
    right = below.searchsorted(wanted).clip(0, len(below) - 1)
    left = (right - 1).clip(0)
    nearer = np.where(wanted - below[left] < below[right] - wanted, left, right)
    middles = distinct[:-1] + (distinct[1:] - distinct[:-1]) / 2
    # Between neighbouring floats there is no middle: the greater of them parts them as well.
    middles = np.where(middles > distinct[:-1], middles, distinct[1:])
    thresholds: Floats = middles[nearer]
    return thresholds


_KINDS: dict[ThresholdKind, Callable[[NDArray[Any], int], Floats]] = {
    "uniform": _uniform,
    "parts": _parts,
    "quantile": _quantile,
}
