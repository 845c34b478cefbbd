"""The exact range of every accumulator: why no sum can overflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    product: NDArray[np.int64], index: NDArray[Any], rows: _Reached, columns: _Reached
) -> NDArray[np.int64]:
    """Sum ``product[index]`` of the taps that each kind of position reaches.

    Shape (channels out, kinds of rows, kinds of columns).
    """
    taps = np.empty((len(index), *index.shape[2:]), np.int64)
    step = max(1, _ENTRIES_AT_ONCE // index[0].size)
    for start in range(0, len(index), step):
        taps[start : start + step] = product[index[start : start + step]].sum(axis=1)
    return columns.sums(rows.sums(taps.swapaxes(1, 2)).swapaxes(1, 2))


@dataclass(frozen=True)
class _Reached:
    """Along one axis, the sets of taps that meet an input at some position.

    A set is every ``step``-th tap from ``first`` on, up to but without ``end``. There are a few for
    each tap, however many positions there are; one may occur twice.
    """

    step: int
    first: NDArray[np.int64]
    end: NDArray[np.int64]

    def sums(self, taps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sum the last axis of ``taps`` over each set, as differences of partial sums."""
        *others, n_taps = taps.shape
        partial = np.zeros((*others, 1 + -(-n_taps // self.step), self.step), np.int64)
        flat = partial.reshape(*others, -1)  # a view: the first ``step`` stay 0
        flat[..., self.step : self.step + n_taps] = taps
        np.cumsum(partial, axis=-2, out=partial)
        n_summed = np.maximum(-(-(self.end - self.first) // self.step), 0)
        first = np.minimum(self.first, n_taps)
        return flat[..., first + n_summed * self.step] - flat[..., first]


def _reached_taps(layer: Weighted, source: Shape) -> tuple[_Reached, _Reached]:
    """Return, for height and for width, the sets of taps that meet an input at some position."""
    if not isinstance(layer, (Conv2d, ConvTranspose2d)):
        alone = _Reached(1, np.array([0]), np.array([1]))
        return alone, alone
    find = _reached if isinstance(layer, Conv2d) else _reached_transposed
    _, *sizes = source
    _, *n_out = layer_shape(layer, source)
    kernel = layer.weight_index.shape[2:]
    rows, columns = map(find, sizes, n_out, kernel, layer.stride, layer.padding)
    return rows, columns


def _reached(size: int, n_out: int, kernel: int, stride: int, padding: int) -> _Reached:
    """Return the sets of a convolution: position p and tap t meet input p * stride - padding + t.

    They differ only where the window meets a border.
    """
    near = [
        np.arange((border - kernel) // stride, border // stride + 2)
        for border in (padding, size + padding)
    ]
    position = np.concatenate([*near, [0, n_out - 1]])
    place = position[(position >= 0) & (position < n_out)] * stride - padding
    return _Reached(1, np.clip(-place, 0, kernel), np.clip(size - place, 0, kernel))


def _reached_transposed(size: int, n_out: int, kernel: int, stride: int, padding: int) -> _Reached:
    """Return the sets of a transposed convolution: input i meets i * stride + tap, less padding.

    In between the borders, they depend only on the position's rest by the stride; where that is
    beyond the kernel, no tap meets an input.
    """
    inner = max(padding, kernel - 1)
    position = np.concatenate(
        [
            np.arange(padding, kernel),
            inner + (np.arange(min(stride, kernel)) - inner) % stride,
            (size - 1) * stride + np.arange(kernel + 1),
            [padding, padding + (kernel - padding) % stride, padding + n_out - 1],
        ]
    )
    position = position[(position >= padding) & (position < padding + n_out)]
    first = position - stride * np.minimum(position // stride, size - 1)
    return _Reached(min(stride, kernel), first, np.minimum(position + 1, kernel))
