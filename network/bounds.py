"""The exact range of every accumulator: why no sum can overflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network.layers import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Layer,
    Weighted,
    layer_name,
)
from nomul.network.shapes import Shape, layer_shape

__all__ = ["Bounds", "accumulator_bounds", "all_bounds", "weighted_bounds"]

Bounds = tuple[NDArray[np.int64], NDArray[np.int64]]

_ENTRIES_AT_ONCE = 1 << 20


def accumulator_bounds(layer: Dense) -> Bounds:
    """Return the least and the greatest accumulator of every neuron.

    Both are attained if every input takes every level independently.

    Returns
    -------
    tuple
        Two int64 arrays of shape (neurons,).
    """
    return weighted_bounds(layer, (layer.n_inputs, 1, 1))


def weighted_bounds(layer: Weighted, source: Shape) -> Bounds:
    """Return the least and the greatest accumulator of every channel, at any of its positions.

    At a border, where taps meet padding, fewer products are added: the range is that over all
    positions. Both ends are attained if every input takes every level independently.

    Returns
    -------
    tuple
        Two int64 arrays of shape (channels out,).
    """
    index, reached = _by_channel(layer), _reached_taps(layer, source)
    table = layer.product_table.astype(np.int64)
    least = np.min(_position_sums(table.min(axis=0), index, *reached), axis=(1, 2))
    greatest = np.max(_position_sums(table.max(axis=0), index, *reached), axis=(1, 2))
    return layer.bias + least, layer.bias + greatest


def all_bounds(shapes: Mapping[str, Shape], layers: Iterable[Layer]) -> Mapping[str, Bounds]:
    """Return the least and the greatest accumulator of each channel of each ``"layers.N"``.

    Max-pooling and lookup layers, which have no accumulators, are left out. Those of added layers
    are the sums of their sources' bounds and the bias: no accumulator leaves them, but where the
    sources depend on each other they need not be attained.
    """
    bounds: dict[str, Bounds] = {}
    for number, layer in enumerate(layers):
        name = layer_name(number)
        if isinstance(layer, Weighted):
            bounds[name] = weighted_bounds(layer, shapes[layer.source])
        elif isinstance(layer, Add):
            least, greatest = layer.bias.astype(np.int64), layer.bias.astype(np.int64)
            for source in layer.sources:
                least, greatest = least + bounds[source][0], greatest + bounds[source][1]
            bounds[name] = least, greatest
    return bounds


def _by_channel(layer: Weighted) -> NDArray[Any]:
    """Return the weight indices as (channels out, channels in / groups, height, width)."""
    if isinstance(layer, ConvTranspose2d):
        channels_in, per_group, *kernel = layer.weight_index.shape
        grouped = layer.weight_index.reshape(
            layer.groups, channels_in // layer.groups, per_group, *kernel
        )
        return grouped.swapaxes(1, 2).reshape(layer.n_channels, -1, *kernel)
    if isinstance(layer, Conv2d):
        return layer.weight_index
    return layer.weight_index[:, :, None, None]


def _position_sums(
    product: NDArray[np.int64],
    index: NDArray[Any],
    rows: NDArray[np.bool_],
    columns: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Sum ``product[index]`` of the taps that each kind of position reaches.

    Shape (channels out, kinds of rows, kinds of columns).
    """
    taps = np.empty((len(index), *index.shape[2:]), np.int64)
    step = max(1, _ENTRIES_AT_ONCE // index[0].size)
    for start in range(0, len(index), step):
        taps[start : start + step] = product[index[start : start + step]].sum(axis=1)
    sums: NDArray[np.int64] = np.einsum(
        "oij,ri,cj->orc", taps, rows.astype(np.int64), columns.astype(np.int64), optimize=True
    )
    return sums


def _reached_taps(layer: Weighted, source: Shape) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return, for height and for width, the sets of taps that meet an input at some position.

    Two arrays of shape (different sets, kernel size).
    """
    if not isinstance(layer, (Conv2d, ConvTranspose2d)):
        return np.ones((1, 1), np.bool_), np.ones((1, 1), np.bool_)
    sets = []
    for axis, n_out in enumerate(layer_shape(layer, source)[1:]):
        size, stride, padding = source[1 + axis], layer.stride[axis], layer.padding[axis]
        position = np.arange(n_out)[:, None]
        tap = np.arange(layer.weight_index.shape[2 + axis])
        if isinstance(layer, Conv2d):
            met = position * stride - padding + tap
            reached = (met >= 0) & (met < size)
        else:
            # Input i meets output i * stride - padding + tap.
            met, rest = np.divmod(position + padding - tap, stride)
            reached = (rest == 0) & (met >= 0) & (met < size)
        sets.append(np.unique(reached, axis=0))
    return sets[0], sets[1]
