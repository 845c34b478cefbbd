"""The golden model: the NumPy definition of what a network computes.

All hardware is compared with it, and shares no code with it. Integers only, but for the
comparison that turns real features into levels, and for speed where a product table has factors:
there, sums are matrix products in float64. They are exact, in whatever order they are added: each
product is an entry of the table, an integer of 32 bits, and the rules allow an accumulator at most
2**22 of them, so that no partial sum leaves the integers up to 2**53.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Layer,
    Lookup,
    MaxPool2d,
    Network,
    UserError,
    Weighted,
)
from nomul.network.layers import INPUT_NAME, layer_name
from nomul.network.shapes import level_width

__all__ = ["LayerOutcome", "evaluate", "evaluate_levels", "input_levels", "layer_outcomes"]

_BYTES_AT_ONCE = 1 << 27


@dataclass(frozen=True, eq=False)
class LayerOutcome:
    """What a layer makes of samples.

    Attributes
    ----------
    name
        Such as ``"layers.0"``.
    sources
        What it takes: levels; or, where it adds, accumulators. Each of shape (samples, channels,
        height, width), as all arrays here.
    sums
        Its accumulators, int64; None where it has none.
    given
        Its levels, uint8; or its accumulators, where it ends in them.
    """

    name: str
    sources: tuple[NDArray[Any], ...]
    sums: NDArray[np.int64] | None
    given: NDArray[Any]


def evaluate(network: Network, features: ArrayLike) -> NDArray[np.int64]:
    """Return what ``network`` answers to each sample.

    Parameters
    ----------
    features
        Real numbers of any dtype, shape (samples, *network.input.shape).

    Returns
    -------
    NDArray[np.int64]
        Classes, shape (samples,); or accumulators or levels, shape (samples, outputs).

    Raises
    ------
    UserError
        If the features' shape is not the network's, or one of them is not a number.
    """
    values = _numbers(network, features)
    return np.concatenate(
        [
            evaluate_levels(network, _input_levels(network, values[chunk]))
            for chunk in _chunks(network, len(values))
        ]
    )


def input_levels(network: Network, features: ArrayLike) -> NDArray[np.int64]:
    """Return the levels that enter the first layer, int64, shape (samples, inputs).

    Raises
    ------
    UserError
        If the features' shape is not the network's, or one of them is not a number.
    """
    values = _numbers(network, features)
    levels = np.empty((len(values), network.n_inputs), np.int64)
    for chunk in _chunks(network, len(values)):
        levels[chunk] = _input_levels(network, values[chunk])
    return levels


def evaluate_levels(network: Network, levels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return what ``network`` answers to levels, as :func:`input_levels` gives them."""
    return np.concatenate(
        [_answers(network, levels[chunk]) for chunk in _chunks(network, len(levels))]
    )


def _numbers(network: Network, features: ArrayLike) -> NDArray[np.number | np.bool_]:
    try:
        values = np.asarray(features)
        if values.dtype.kind not in "biuf":
            values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"The features are not an array of numbers: {error}.") from error
    if values.shape[1:] != network.input.shape or values.ndim == 0:
        raise UserError(
            f"The features have shape {values.shape}: the network takes "
            f"{('samples', *network.input.shape)}."
        )
    return values


def _input_levels(network: Network, features: NDArray[np.number | np.bool_]) -> NDArray[np.uint8]:
    """``level = number of thresholds <= feature``, or the comparisons' results themselves."""
    values, thresholds = features.astype(np.float64), network.input.thresholds
    if np.isnan(values).any():
        raise UserError("Some features are not numbers (NaN): replace them before evaluation.")
    if network.input.encoding == "thermometer":
        bits = [values >= thresholds[..., j] for j in range(thresholds.shape[-1])]
        # Behind its channel, axis 1: the bits of channel c are channels c * len(bits) and on.
        return np.stack(bits, axis=2).astype(np.uint8).reshape(len(values), network.n_inputs)
    return _count_reached(values, thresholds).reshape(len(values), network.n_inputs)


def _chunks(network: Network, n_samples: int) -> Iterator[slice]:
    """Yield slices of samples, at least one, that keep memory in bounds."""
    numbers = [math.prod(network.shapes[INPUT_NAME])]
    for number, layer in enumerate(network.layers):
        shape = network.shapes[layer_name(number)]
        windows = 1
        if isinstance(layer, (Conv2d, ConvTranspose2d)):
            # What a window holds, for each position of all channels in.
            kernel = math.prod(layer.weight_index.shape[2:])
            windows = math.ceil(kernel * network.shapes[layer.source][0] / shape[0])
        if isinstance(layer, Lookup):
            windows = 2  # a bit at its place, and the shifted one, beside each neuron's address
        numbers.append(math.prod(shape) * (windows + 1))
    step = max(1, _BYTES_AT_ONCE // (8 * max(numbers)))
    for start in range(0, max(n_samples, 1), step):
        yield slice(start, start + step)


def layer_outcomes(network: Network, levels: NDArray[np.integer]) -> Iterator[LayerOutcome]:
    """Yield what each layer makes of levels, as :func:`input_levels` gives them.

    As many samples at a time as memory allows, and of these all layers in their order.
    """
    for chunk in _chunks(network, len(levels)):
        yield from _outcomes(network, levels[chunk])


def _outcomes(network: Network, levels: NDArray[np.integer]) -> Iterator[LayerOutcome]:
    """Walk the layers; keep what each gives until its last reader has had it."""
    kept = {INPUT_NAME: levels.reshape(len(levels), *network.shapes[INPUT_NAME]).astype(np.uint8)}
    readers = Counter(source for layer in network.layers for source in layer.sources)
    for number, layer in enumerate(network.layers):
        sources = tuple(kept[source] for source in layer.sources)
        outcome = LayerOutcome(layer_name(number), sources, *_outcome(network, layer, sources))
        kept[outcome.name] = outcome.given
        yield outcome
        del outcome, sources  # the sums take more memory than all else
        readers.subtract(layer.sources)
        for source in set(layer.sources):
            if not readers[source]:
                del kept[source]


def _answers(network: Network, levels: NDArray[np.integer]) -> NDArray[np.int64]:
    for outcome in _outcomes(network, levels):
        result = outcome.given
        del outcome
    result = result.reshape(len(levels), network.n_outputs)
    if network.output.kind == "class":
        classes: NDArray[np.int64] = result.argmax(axis=1)  # the first of equals
        return classes
    numbers: NDArray[np.int64] = result.astype(np.int64)
    return numbers


def _outcome(
    network: Network, layer: Layer, sources: tuple[NDArray[Any], ...]
) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    """Return the accumulators of ``layer``, if it has any, and what it gives."""
    if isinstance(layer, MaxPool2d):
        return None, _greatest(layer, sources[0])
    if isinstance(layer, Lookup):
        n_levels_in = network.level_counts[layer.source]
        assert n_levels_in is not None, "a lookup layer takes levels, by a rule"
        return None, _looked_up(layer, sources[0], n_levels_in)
    sums = np.sum(sources, axis=0) if isinstance(layer, Add) else _sums(layer, sources[0])
    sums += layer.bias[:, None, None]
    if layer.thresholds is None:
        return sums, sums
    shared = layer.thresholds.ndim == 1
    given = _count_reached(sums, layer.thresholds if shared else layer.thresholds[:, None, None])
    return sums, given


def _count_reached(values: NDArray[Any], thresholds: NDArray[Any]) -> NDArray[np.uint8]:
    """Count the thresholds, along their last axis, that each value reaches."""
    levels = np.zeros(values.shape, np.uint8)
    values = values.astype(thresholds.dtype, copy=False)  # accumulators fit 32 bits, by a rule
    for number in range(thresholds.shape[-1]):
        levels += values >= thresholds[..., number]
    return levels


def _greatest(layer: MaxPool2d, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad with level 0, which no level of a window is less than, and take the greatest."""
    windows = _windows(_padded(levels, layer.padding, 0), layer.size, layer.stride)
    greatest: NDArray[np.uint8] = windows.max(axis=(4, 5))
    return greatest


def _looked_up(layer: Lookup, levels: NDArray[np.uint8], n_levels_in: int) -> NDArray[np.uint8]:
    """Put each neuron's address together, bit by bit, and take what its table has there."""
    width = level_width(n_levels_in)
    flat = levels.reshape(len(levels), -1)
    # All tables lie in one row: that of neuron o begins at o * 2**n_address_bits.
    start = np.arange(layer.n_outputs) << layer.n_address_bits
    address = np.tile(start, (len(levels), 1))
    for j in range(layer.n_address_bits):
        source, place = np.divmod(layer.address_bit[:, j], width)
        bit = flat[:, source] >> place.astype(np.uint8) & 1
        address += bit.astype(np.int64) << j
    found: NDArray[np.uint8] = layer.level_table.reshape(-1)[address]
    return found[:, :, None, None]


def _sums(layer: Weighted, levels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Sum ``product_table[level, weight_index]`` over the taps of every accumulator.

    Each group of channels has a matrix of levels, one column for each position and one row for
    each tap, and a matrix of weight indices, one row for each channel out.
    """
    kernels = _kernels(layer)
    if layer.level_value is not None and layer.centre is not None:
        # The table is their product: so the sums are products of the matrices of level values and
        # of centres. A padded position stands for 0 and adds nothing.
        centre = layer.centre.astype(np.float64)
        windows = _layer_windows(layer, layer.level_value.astype(np.float64)[levels], 0)
        columns = _columns(windows, len(kernels))
        sums = _matrix_sums(centre, kernels, columns)
    else:
        # A padded position has a level of its own, all of whose products are 0.
        table = np.vstack([layer.product_table, np.zeros_like(layer.product_table[:1])])
        windows = _layer_windows(layer, levels.astype(np.int16), layer.n_levels_in)
        columns = _columns(windows, len(kernels))
        sums = _table_sums(table, kernels, columns)
    n_samples, _, height, width = windows.shape[:4]
    by_channel = sums.reshape(layer.n_channels, n_samples, height, width)
    return np.ascontiguousarray(by_channel.swapaxes(0, 1))


def _matrix_sums(
    centre: NDArray[np.float64], kernels: NDArray[Any], columns: NDArray[np.float64]
) -> NDArray[np.int64]:
    n_groups, n_channels, n_taps = kernels.shape
    sums = np.empty((n_groups, n_channels, columns.shape[2]), np.int64)
    step = max(1, _BYTES_AT_ONCE // (8 * n_taps))
    for group in range(n_groups):
        for start in range(0, n_channels, step):
            channels = slice(start, start + step)
            sums[group, channels] = centre[kernels[group, channels]] @ columns[group]
    return sums


def _table_sums(
    table: NDArray[np.int32], kernels: NDArray[Any], columns: NDArray[np.int16]
) -> NDArray[np.int64]:
    n_groups, n_channels, n_taps = kernels.shape
    sums = np.zeros((n_groups, columns.shape[2], n_channels), np.int64)
    for group in range(n_groups):
        for tap in range(n_taps):
            products = table[:, kernels[group, :, tap]]  # (levels, channels out)
            sums[group] += products[columns[group, tap]]
    return sums.swapaxes(1, 2)


def _kernels(layer: Weighted) -> NDArray[Any]:
    """Return the weight indices, shape (groups, channels out / groups, taps)."""
    index = layer.weight_index
    if isinstance(layer, ConvTranspose2d):
        n_in, n_out, *kernel = index.shape
        # Its taps are turned round: see _layer_windows.
        grouped = index[:, :, ::-1, ::-1].reshape(
            layer.groups, n_in // layer.groups, n_out, *kernel
        )
        return grouped.swapaxes(1, 2).reshape(layer.groups, n_out, -1)
    n_groups = layer.groups if isinstance(layer, Conv2d) else 1
    return index.reshape(n_groups, len(index) // n_groups, -1)


def _layer_windows(layer: Weighted, values: NDArray[Any], nothing: int) -> NDArray[Any]:
    """Return what each position sees: (samples, channels, height, width, kernel sizes).

    ``nothing`` stands where there is no level.
    """
    if isinstance(layer, Conv2d):
        padded = _padded(values, layer.padding, nothing)
        return _windows(padded, layer.weight_index.shape[2:], layer.stride)
    if isinstance(layer, ConvTranspose2d):
        spread = _spread(layer, values, nothing)
        return _windows(spread, layer.weight_index.shape[2:], (1, 1))
    return values.reshape(len(values), math.prod(values.shape[1:]), 1, 1, 1, 1)


def _spread(layer: ConvTranspose2d, values: NDArray[Any], nothing: int) -> NDArray[Any]:
    """Put the values a stride apart, so that windows of stride 1 see those that reach them.

    Input i reaches the outputs i * stride - padding + tap. With a margin of kernel - 1 before it,
    it is at i * stride + kernel - 1, the window from the output's place + padding on sees it
    there, and its place in the window is kernel - 1 - tap.
    """
    shape, inner, outer = list(values.shape), [], []
    for axis in (0, 1):
        margin, stride = layer.weight_index.shape[2 + axis] - 1, layer.stride[axis]
        end = margin + (values.shape[2 + axis] - 1) * stride + 1
        shape[2 + axis] = end + margin + layer.output_padding[axis]
        inner.append(slice(margin, end, stride))
        outer.append(slice(layer.padding[axis], shape[2 + axis] - layer.padding[axis]))
    spread = np.full(shape, nothing, values.dtype)
    spread[:, :, *inner] = values
    return spread[:, :, *outer]


def _padded(values: NDArray[Any], padding: tuple[int, int], nothing: int) -> NDArray[Any]:
    rows, columns = padding
    margins = ((0, 0), (0, 0), (rows, rows), (columns, columns))
    return np.pad(values, margins, constant_values=nothing)


def _windows(values: NDArray[Any], size: tuple[int, ...], stride: tuple[int, int]) -> NDArray[Any]:
    """Return all windows: (samples, channels, height, width, *size)."""
    return sliding_window_view(values, size, (2, 3))[:, :, :: stride[0], :: stride[1]]


def _columns(windows: NDArray[Any], n_groups: int) -> NDArray[Any]:
    """Return the windows as (groups, taps, positions of all samples)."""
    n_samples, n_channels, height, width, *kernel = windows.shape
    grouped = windows.reshape(n_samples, n_groups, n_channels // n_groups, height, width, *kernel)
    n_taps = n_channels // n_groups * math.prod(kernel)
    return grouped.transpose(1, 2, 5, 6, 0, 3, 4).reshape(
        n_groups, n_taps, n_samples * height * width
    )
