"""What samples exercise of a network: levels, entries of tables, thresholds, classes.

A comparison says nothing about what no sample reaches. All counts are measured, with the golden
model, layer by layer.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network import Add, Conv2d, ConvTranspose2d, Lookup, MaxPool2d, Network, Weighted
from nomul.network.layers import layer_name
from nomul.network.shapes import Shape, level_width
from nomul.sim.golden import LayerOutcome, evaluate_levels, layer_outcomes

__all__ = ["Coverage", "LayerCoverage", "Tally", "coverage"]


@dataclass(frozen=True)
class Tally:
    """So many of so many."""

    seen: int
    exist: int

    def __str__(self) -> str:
        share = f" ({100 * self.seen / self.exist:.1f} %)" if self.exist else ""
        return f"{self.seen:,} of {self.exist:,}{share}"


@dataclass(frozen=True)
class LayerCoverage:
    """What samples exercise of a layer.

    Attributes
    ----------
    name
        Such as ``"layers.0"``.
    levels
        Pairs of an input of the layer and a level that it has in some sample. Inputs that nothing
        reads but weights without products are left out, channel by channel. None where
        accumulators are added.
    entries
        Of a product table: pairs of a level and a weight value that occurs in the layer, where
        some sample has that level at an input with that weight. Of a lookup layer: addresses, over
        all neurons. None where there is no table.
    thresholds
        Those of every channel that some sum is less than and some other reaches. None where there
        are none.
    n_unreachable
        Thresholds, not counted among these, that all sums reach or none, by the network's bounds.
    """

    name: str
    levels: Tally | None
    entries: Tally | None
    thresholds: Tally | None
    n_unreachable: int = 0


@dataclass(frozen=True)
class Coverage:
    """What samples exercise of a network.

    Attributes
    ----------
    n_samples
        How many they are.
    layers
        In their order.
    classes
        Those that are answered; None where the answer is no class.
    """

    n_samples: int
    layers: tuple[LayerCoverage, ...]
    classes: Tally | None

    def lines(self) -> list[str]:
        """Return the counts in words, a line for each layer and one for the classes."""
        lines = []
        for layer in self.layers:
            parts = []
            if layer.levels is not None:
                parts.append(f"levels at inputs {layer.levels}")
            if layer.entries is not None:
                parts.append(f"table entries {layer.entries}")
            if layer.thresholds is not None:
                parts.append(f"thresholds crossed {layer.thresholds}")
            if layer.n_unreachable:
                parts.append(f"{layer.n_unreachable:,} more are out of reach")
            lines.append(f"{layer.name}: {', '.join(parts)}")
        if self.classes is not None:
            lines.append(f"classes: {self.classes}")
        return lines


def coverage(network: Network, levels: NDArray[np.integer]) -> Coverage:
    """Return what samples of levels, shape (samples, inputs), exercise of ``network``."""
    layers = [_Layer(network, number) for number in range(len(network.layers))]
    for number, outcome in zip(
        itertools.cycle(range(len(layers))), layer_outcomes(network, levels), strict=False
    ):
        layers[number].see(outcome)
    classes = None
    if network.output.kind == "class":
        classes = Tally(len(np.unique(evaluate_levels(network, levels))), network.n_outputs)
    return Coverage(len(levels), tuple(layer.result() for layer in layers), classes)


class _Layer:
    """A layer's tables and sums, and what was seen of them so far."""

    def __init__(self, network: Network, number: int) -> None:
        self.name, self.layer = layer_name(number), network.layers[number]
        self.bounds = network.bounds.get(self.name)
        self.shape = network.shapes[self.name]
        self.source_shape = network.shapes[self.layer.sources[0]]
        self.n_levels_in = network.level_counts[self.layer.sources[0]] or 0
        # Before any sum is seen, none is less than or reaches anything.
        limits = np.iinfo(np.int64)
        self.least = np.full(self.shape[0], limits.max)
        self.greatest = np.full(self.shape[0], limits.min)
        self.seen = np.zeros((*self.source_shape, self.n_levels_in), np.bool_)
        if isinstance(self.layer, Lookup):
            self.addresses = np.zeros(self.layer.level_table.shape, np.bool_)

    def see(self, outcome: LayerOutcome) -> None:
        """Take in what the golden model makes of further samples."""
        if not isinstance(self.layer, Add):
            channel, row, column = np.ogrid[tuple(map(slice, self.source_shape))]
            self.seen[channel, row, column, outcome.sources[0]] = True
        if isinstance(self.layer, Lookup):
            address = _addresses(self.layer, outcome.sources[0], self.n_levels_in)
            self.addresses[np.arange(self.layer.n_outputs), address] = True
        if outcome.sums is not None and len(outcome.sums):
            self.least = np.minimum(self.least, outcome.sums.min(axis=(0, 2, 3)))
            self.greatest = np.maximum(self.greatest, outcome.sums.max(axis=(0, 2, 3)))

    def result(self) -> LayerCoverage:
        entries = None
        if isinstance(self.layer, Lookup):
            entries = Tally(int(self.addresses.sum()), self.addresses.size)
        elif isinstance(self.layer, Weighted):
            entries = self._entries(self.layer)
        thresholds, n_unreachable = self._thresholds()
        return LayerCoverage(self.name, self._levels(), entries, thresholds, n_unreachable)

    def _levels(self) -> Tally | None:
        layer = self.layer
        if isinstance(layer, Add):
            return None
        read = self.seen
        if isinstance(layer, Lookup):
            width = level_width(self.n_levels_in)
            read = self.seen.reshape(-1, self.n_levels_in)[np.unique(layer.address_bit // width)]
        elif isinstance(layer, Weighted):
            taps = _levels_at_taps(layer, self.seen, self.shape).shape[:-1]
            has_products = (layer.product_table != 0).any(axis=0)
            is_read = has_products[_weights_at_taps(layer, taps)].any(axis=(0, 2, 3))
            read = self.seen.reshape(len(is_read), -1)[is_read]
        return Tally(int(read.sum()), read.size)

    def _entries(self, layer: Weighted) -> Tally:
        taps = _levels_at_taps(layer, self.seen, self.shape)
        index = _weights_at_taps(layer, taps.shape[:-1])
        values = np.unique(layer.weight_index)
        seen = sum(int(taps[(index == value).any(axis=0)].any(axis=0).sum()) for value in values)
        return Tally(seen, len(values) * self.n_levels_in)

    def _thresholds(self) -> tuple[Tally | None, int]:
        layer = self.layer
        if isinstance(layer, (Lookup, MaxPool2d)) or layer.thresholds is None:
            return None, 0
        assert self.bounds is not None, "what has thresholds has accumulators"
        thresholds = np.broadcast_to(layer.thresholds, (self.shape[0], layer.thresholds.shape[-1]))
        least, greatest = (end[:, None] for end in self.bounds)
        possible = (least < thresholds) & (thresholds <= greatest)
        crossed = (self.least[:, None] < thresholds) & (thresholds <= self.greatest[:, None])
        n_possible = int(possible.sum())
        return Tally(int(crossed.sum()), n_possible), thresholds.size - n_possible


def _addresses(layer: Lookup, levels: NDArray[Any], n_levels_in: int) -> NDArray[np.int64]:
    """Return what each sample makes each neuron look up, shape (samples, neurons)."""
    places = np.arange(level_width(n_levels_in))
    bits = (levels.reshape(len(levels), -1, 1) >> places & 1).reshape(len(levels), -1)
    powers = 1 << np.arange(layer.n_address_bits)
    addresses: NDArray[np.int64] = bits[:, layer.address_bit] @ powers
    return addresses


def _levels_at_taps(layer: Weighted, seen: NDArray[np.bool_], out: Shape) -> NDArray[np.bool_]:
    """Return which levels were met at each tap: (channels in, kernel height, width, levels)."""
    if not isinstance(layer, (Conv2d, ConvTranspose2d)):
        return seen.reshape(-1, 1, 1, seen.shape[-1])
    met = []
    for axis in (0, 1):
        tap = np.arange(layer.weight_index.shape[2 + axis])[:, None]
        stride, padding = layer.stride[axis], layer.padding[axis]
        if isinstance(layer, Conv2d):
            at = np.arange(out[1 + axis]) * stride - padding + tap
            place = np.arange(seen.shape[1 + axis])
            met.append((at[:, :, None] == place).any(axis=1))
        else:
            at = np.arange(seen.shape[1 + axis]) * stride - padding + tap
            met.append((at >= 0) & (at < out[1 + axis]))
    rows = np.einsum("iy,cyxl->cixl", met[0], seen)
    levels: NDArray[np.bool_] = np.einsum("jx,cixl->cijl", met[1], rows)
    return levels


def _weights_at_taps(layer: Weighted, taps: tuple[int, ...]) -> NDArray[Any]:
    """Return the weight of each tap: (channels out of a group, *taps)."""
    index = layer.weight_index
    if isinstance(layer, ConvTranspose2d):
        return index.swapaxes(0, 1)
    if isinstance(layer, Conv2d):
        # Those out of group g see those in of group g alone.
        grouped = index.reshape(layer.groups, -1, *index.shape[1:])
        return grouped.swapaxes(0, 1).reshape(-1, *taps)
    return index.reshape(-1, *taps)
