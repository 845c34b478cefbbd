"""Whole neurons as one table of their inputs' level bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nomul.hw.graph import Builder
from nomul.network import Dense, Lookup

__all__ = ["BITS_MAX", "lookup_neurons", "truth_table", "used_sources"]

BITS_MAX = 12
"""Address bits of the largest table that a neuron is made as."""


def used_sources(layer: Dense, neuron: int) -> NDArray[np.intp]:
    """Return the inputs whose level matters to a neuron's accumulator."""
    varies = (layer.product_table != layer.product_table[:1]).any(axis=0)
    return np.flatnonzero(varies[layer.weight_index[neuron]])


def truth_table(
    builder: Builder, layer: Dense, neuron: int, levels: Sequence[int], bits_max: int, name: str
) -> int | None:
    """Return the node of a neuron's level as one table; None if that takes over ``bits_max``."""
    assert layer.thresholds is not None
    sources = used_sources(layer, neuron).tolist()
    nodes = list(dict.fromkeys(levels[source] for source in sources))
    widths = [builder.width(node) for node in nodes]
    if sum(widths) > bits_max:
        return None
    address = np.arange(1 << sum(widths))
    values, start = {}, 0
    for node, width in zip(nodes, widths, strict=True):
        # What a node cannot be has any entry: here its greatest value's.
        values[node] = np.minimum(address >> start & ((1 << width) - 1), builder.maximum(node))
        start += width
    unused = set(range(layer.n_inputs)) - set(sources)
    constant = int(layer.bias[neuron]) + sum(
        int(layer.product_table[0, layer.weight_index[neuron, source]]) for source in unused
    )
    total = np.full(len(address), constant, np.int64)
    for source in sources:
        column = layer.product_table[:, layer.weight_index[neuron, source]]
        total += column[values[levels[source]]]
    thresholds = layer.neuron_thresholds()[neuron]
    entries = np.searchsorted(thresholds, total, side="right").tolist()
    bits = tuple(
        (node, bit) for node, width in zip(nodes, widths, strict=True) for bit in range(width)
    )
    return builder.table(bits, entries, name)


def lookup_neurons(
    builder: Builder, layer: Lookup, levels: Sequence[int], level_width: int, name: str
) -> list[int]:
    """Return the nodes of a lookup layer's levels.

    Parameters
    ----------
    levels
        The nodes of the layer's inputs, each ``level_width`` bits wide, or less where greater
        levels do not occur.
    """
    nodes = []
    for neuron, (addresses, entries) in enumerate(
        zip(layer.address_bit.tolist(), layer.level_table.tolist(), strict=True)
    ):
        bits = tuple((levels[number // level_width], number % level_width) for number in addresses)
        nodes.append(_unrepeated(builder, bits, entries, f"{name}_neuron_{neuron}"))
    return nodes


def _unrepeated(
    builder: Builder, bits: tuple[tuple[int, int], ...], entries: list[int], name: str
) -> int:
    """Return a table's node; of an address bit that occurs twice, the equal halves are left."""
    distinct = tuple(dict.fromkeys(bits))
    address = np.arange(1 << len(distinct))
    whole = np.zeros(len(address), np.int64)
    for place, bit in enumerate(bits):
        whole |= (address >> distinct.index(bit) & 1) << place
    return builder.table(distinct, [entries[row] for row in whole], name)
