"""Residual additions on a folded engine: which branch has the kernel, and which is the shortcut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from nomul.hw.folded_geometry import Axis, loop_steps
from nomul.hw.program import Shortcut
from nomul.network import Add, Conv2d, ConvTranspose2d, Dense, Layer, Network, UserError
from nomul.network.layers import layer_name
from nomul.network.shapes import Shape

__all__ = ["Branches", "branches", "is_straight", "levels_read", "shortcut_taps", "shortcut_walk"]


@dataclass(frozen=True)
class Branches:
    """What a residual adds.

    Attributes
    ----------
    body
        Any layer with weights.
    shortcut_name, shortcut
        One of which each output sees a single position.
    """

    body_name: str
    body: Dense | Conv2d | ConvTranspose2d
    shortcut_name: str
    shortcut: Dense | Conv2d


def levels_read(network: Network, layer: Layer) -> tuple[str, ...]:
    """Return whose levels the pass of a layer reads: that of a residual, what its branches do."""
    if not isinstance(layer, Add):
        return layer.sources
    added = _added(network, layer).values()
    return tuple(source for branch in added for source in levels_read(network, branch))


def branches(network: Network, name: str, layer: Add) -> Branches:
    """Return what ``layer``, which is called ``name``, adds.

    Raises
    ------
    UserError
        If it is more than two layers with weights, or each has a kernel.
    """
    added = _added(network, layer)
    pairs = [(source, added[source]) for source in layer.sources]
    if len(pairs) == 2:
        for (body_name, body), (shortcut_name, shortcut) in (pairs, pairs[::-1]):
            if isinstance(body, Dense | Conv2d | ConvTranspose2d) and _is_pointwise(shortcut):
                assert isinstance(shortcut, Dense | Conv2d)
                return Branches(body_name, body, shortcut_name, shortcut)
    raise UserError(
        f"{name} adds {' and '.join(layer.sources)}, and the folded engine can add two layers with "
        "weights, one of which has a kernel of a single position: what helps is a residual with a "
        "plain shortcut, or none."
    )


def shortcut_taps(
    shortcut: Dense | Conv2d, shape: Shape, n_channels_out: int, n_channels: int
) -> Dense | Conv2d:
    """Return ``shortcut`` with the weight of every level that a block sees, in their order.

    Its weight indices have the shape (channels out, levels). Where groups hide a level from a
    channel, a column of zeros is added to the product table.

    Parameters
    ----------
    shape
        Of its source.
    n_channels_out, n_channels
        Of the passes, and of their blocks.
    """
    index = shortcut.weight_index.astype(np.uint16)
    if isinstance(shortcut, Dense):
        index = index.reshape(-1, *shape).transpose(0, 2, 3, 1)
        return replace(shortcut, weight_index=index.reshape(len(index), -1))
    index = index[:, :, 0, 0]
    if shortcut.groups == 1:
        return replace(shortcut, weight_index=index)
    n_out, n_in = index.shape
    table = shortcut.product_table
    seen = np.arange(n_out)[:, None] // (n_out // shortcut.groups) * n_in + np.arange(n_in)
    n_seen = shape[0]
    if is_straight(shortcut):
        seen, n_seen = seen % n_channels_out % n_channels, n_channels
    taps = np.full((n_out, n_seen), table.shape[1], np.uint16)
    np.put_along_axis(taps, seen, index, axis=1)
    with_zeros = np.pad(table, ((0, 0), (0, 1)))
    return replace(
        shortcut, weight_index=taps, product_table=with_zeros, level_value=None, centre=None
    )


def shortcut_walk(
    shortcut: Dense | Conv2d,
    shape: Shape,
    start: int,
    lines: Axis,
    positions: Axis,
    n_channels: int,
    position_lanes: int,
) -> Shortcut:
    """Return how a pass comes to its shortcut's levels; the product table is still missing.

    Parameters
    ----------
    shape, start
        Of the source's map; the address of its first level, or, where the shortcut is straight, of
        the first channel of the pass.
    lines, positions
        Of the pass.
    n_channels
        Of a block.
    """
    n_in, _, width = shape
    y_stride, x_stride = shortcut.stride if isinstance(shortcut, Conv2d) else (1, 1)
    position, line = x_stride * n_in, y_stride * width * n_in
    if isinstance(shortcut, Dense):  # of which there is one position alone
        n_in, position, line = shortcut.n_inputs, 0, 0
    straight = is_straight(shortcut)
    lane = positions.out_stride * position
    stride = (position_lanes * lane, lines.out_stride * line, n_channels if straight else 0)
    last = (-(-positions.count // position_lanes) - 1, lines.count - 1)
    return Shortcut(
        n_levels=n_channels if straight else n_in,
        fan_in=shortcut.weight_index[0].size,
        page=0,
        start_address=start + lines.out_start * line + positions.out_start * position,
        address_step=loop_steps(last, stride),
        lane_address=lane,
    )


def is_straight(shortcut: Dense | Conv2d) -> bool:
    """Whether each channel sees its own one alone."""
    return isinstance(shortcut, Conv2d) and 1 < shortcut.groups == shortcut.n_channels == (
        shortcut.weight_index.size
    )


def _added(network: Network, layer: Add) -> Mapping[str, Layer]:
    layers = {layer_name(number): found for number, found in enumerate(network.layers)}
    return {name: layers[name] for name in layer.sources}


def _is_pointwise(layer: Layer) -> bool:
    if isinstance(layer, Conv2d):
        return layer.weight_index.shape[2:] == (1, 1) and layer.padding == (0, 0)
    return isinstance(layer, Dense)
