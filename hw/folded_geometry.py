"""Geometry of folded layers: which taps of a source each output sees, and how weights lie then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.program import COORDINATE_BITS, Pass, field_widths
from nomul.network import Conv2d, ConvTranspose2d, Dense, UserError
from nomul.network.shapes import Shape

__all__ = ["Axis", "axes", "check_counts", "check_reach", "kernel_of", "loop_steps", "map_order"]


@dataclass(frozen=True)
class Axis:
    """The outputs of a pass along one axis, and where their taps lie in the source.

    Output n, for each n below ``count``, is at ``out_start + n * out_stride``, and its tap j at
    ``start + n * stride + j``; ``taps`` says which of the kernel's each one is.
    """

    count: int
    start: int
    stride: int
    taps: tuple[int, ...]
    out_start: int = 0
    out_stride: int = 1


def kernel_of(
    layer: Dense | Conv2d | ConvTranspose2d, weights: NDArray[np.uint8], shape: Shape
) -> tuple[NDArray[np.uint8], Shape]:
    """Return the weights, shape (out, height, width, in of a group), and the source's shape."""
    if isinstance(layer, Dense):
        # Its levels lie position by position, and it sees them all as channels of one position.
        weights = weights.reshape(-1, *shape).transpose(0, 2, 3, 1)
        return weights.reshape(layer.n_outputs, 1, 1, -1), (layer.n_inputs, 1, 1)
    if isinstance(layer, Conv2d):
        return weights.transpose(0, 2, 3, 1), shape
    n_in, n_out, *size = weights.shape
    grouped = weights.reshape(layer.groups, n_in // layer.groups, n_out, *size)
    kernel = grouped.transpose(0, 2, 3, 4, 1).reshape(layer.groups * n_out, *size, -1)
    return kernel, shape


def axes(layer: Dense | Conv2d | ConvTranspose2d, shape: Shape) -> Iterator[tuple[Axis, Axis]]:
    """Yield lines and positions: once, or for each phase of a transposed convolution."""
    if isinstance(layer, Dense):
        one = Axis(1, 0, 1, (0,))
        yield one, one
    elif isinstance(layer, Conv2d):
        lines, positions = (
            Axis(shape[1 + a], -layer.padding[a], layer.stride[a], tuple(range(size)))
            for a, size in enumerate(layer.weight_index.shape[2:])
        )
        yield lines, positions
    else:
        vertical, horizontal = (list(_phases(layer, axis, shape[1 + axis])) for axis in (0, 1))
        for lines in vertical:
            for positions in horizontal:
                yield lines, positions


def _phases(layer: ConvTranspose2d, axis: int, n_outputs: int) -> Iterator[Axis]:
    """Yield the outputs that see the same taps of the kernel, a stride apart.

    Input i reaches output i * stride - padding + tap. So output o sees the taps that are
    o + padding modulo the stride, the greatest first where the source is read forwards.
    """
    stride, padding = layer.stride[axis], layer.padding[axis]
    for first in range(min(stride, n_outputs)):
        phase = (first + padding) % stride
        taps = tuple(reversed(range(phase, layer.weight_index.shape[2 + axis], stride)))
        start = (first + padding - phase) // stride - (len(taps) - 1)
        count = -(-(n_outputs - first) // stride)
        yield Axis(count, start, 1, taps, first, stride)


def check_counts(name: str, made: Pass, settings: EngineSettings) -> None:
    """See that loops and coordinates fit their fields."""
    widths = field_widths(settings)
    fields = made.fields(settings)
    for field, width in widths.items():
        is_count = field.startswith("last_") or field in ("idle", "width", "height", "taps")
        if is_count and fields[field] >= 1 << width:
            raise UserError(
                f"{name} needs {fields[field]} for {field}, and the engine's programs have "
                f"{width} bits for it: what helps is a smaller map or kernel."
            )


def check_reach(name: str, axis: Axis, size: int) -> None:
    """See that no tap outside the source, of ``size`` along the axis, wraps round into it."""
    greatest = axis.start + (axis.count - 1) * axis.stride + len(axis.taps) - 1
    reach = max(greatest, size - 1 - min(axis.start, 0))
    if reach >= 1 << COORDINATE_BITS:
        raise UserError(
            f"{name} sees positions up to {reach}, and the engine counts to "
            f"{(1 << COORDINATE_BITS) - 1}: what helps is a smaller map."
        )


def map_order(shape: Shape) -> NDArray[np.int64]:
    """Return which level of a sample, channel by channel, lies where in a map."""
    channels, height, width = shape
    order = np.arange(channels * height * width).reshape(shape).transpose(1, 2, 0)
    return order.ravel()


def loop_steps(last: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Return what to add when each loop advances and all inner ones, at their ends, begin again.

    The outermost loop may have a stride alone, and no count.
    """
    back = [
        sum(n * s for n, s in zip(last[:k], strides[:k], strict=True)) for k in range(len(strides))
    ]
    return tuple(stride - b for stride, b in zip(strides, back, strict=True))
