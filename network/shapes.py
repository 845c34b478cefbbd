"""Shapes of what the layers give: (channels, height, width)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from nomul.network.layers import (
    INPUT_NAME,
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Layer,
    Lookup,
    MaxPool2d,
    layer_name,
)

__all__ = [
    "Shape",
    "all_level_counts",
    "all_shapes",
    "input_shape",
    "layer_shape",
    "level_shape",
    "level_width",
    "n_level_bits",
]

Shape = tuple[int, int, int]


def _conv_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Return how many windows lie along an axis; less than 1 if none fits."""
    return (size + 2 * padding - kernel) // stride + 1


def _transposed_size(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    """Return the positions along an axis of a transposed convolution's output."""
    return (size - 1) * stride - 2 * padding + kernel + output_padding


def level_shape(
    shape: tuple[int, ...], thresholds: NDArray[np.float64], encoding: str
) -> tuple[int, ...]:
    """Return the shape of the levels that features of ``shape`` become."""
    if encoding == "thermometer":
        return (shape[0] * thresholds.shape[-1], *shape[1:])
    return shape


def input_shape(level_shape: tuple[int, ...]) -> Shape:
    """Return levels of the input as a layer sees them.

    One axis is channels; two are channels and width; three are channels, height and width. Where
    there are more, only dense and lookup layers can take them, which flatten them.
    """
    match level_shape:
        case (channels, width):
            return channels, 1, width
        case (channels, height, width):
            return channels, height, width
        case _:
            return math.prod(level_shape), 1, 1


def level_width(n_levels: int) -> int:
    """Bits of a level among ``n_levels``."""
    return (n_levels - 1).bit_length()


def n_level_bits(shape: Shape, n_levels: int | None) -> int:
    """Return how many level bits a source of ``n_levels`` levels gives, for a lookup layer."""
    assert n_levels is not None, "a rule: what feeds a lookup layer gives levels"
    return math.prod(shape) * level_width(n_levels)


def layer_shape(layer: Layer, source: Shape) -> Shape:
    """Return the shape of what ``layer`` gives if its (first) source has the shape ``source``."""
    _, *sizes = source
    if isinstance(layer, (Dense, Lookup)):
        return layer.n_channels, 1, 1
    if isinstance(layer, Add):
        return source
    if isinstance(layer, MaxPool2d):
        height, width = map(_conv_size, sizes, layer.size, layer.stride, layer.padding)
        return source[0], height, width
    kernel = layer.weight_index.shape[2:]
    if isinstance(layer, Conv2d):
        height, width = map(_conv_size, sizes, kernel, layer.stride, layer.padding)
    else:
        assert isinstance(layer, ConvTranspose2d)
        height, width = map(
            _transposed_size, sizes, kernel, layer.stride, layer.padding, layer.output_padding
        )
    return layer.n_channels, height, width


def all_shapes(level_shape: tuple[int, ...], layers: Iterable[Layer]) -> Mapping[str, Shape]:
    """Return the shapes of ``"input"`` and of each of ``"layers.N"``."""
    shapes = {INPUT_NAME: input_shape(level_shape)}
    for number, layer in enumerate(layers):
        shapes[layer_name(number)] = layer_shape(layer, shapes[layer.sources[0]])
    return shapes


def all_level_counts(n_levels_in: int, layers: Iterable[Layer]) -> Mapping[str, int | None]:
    """Return how many levels ``"input"`` and each of ``"layers.N"`` give; None: accumulators."""
    counts: dict[str, int | None] = {INPUT_NAME: n_levels_in}
    for number, layer in enumerate(layers):
        counts[layer_name(number)] = (
            counts[layer.source] if isinstance(layer, MaxPool2d) else layer.n_levels
        )
    return counts
