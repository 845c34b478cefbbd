"""The kinds of layers: plain tables and the geometry that says which levels they meet.

Levels in flight have the shape (channels, height, width); a dense layer flattens what it gets in C
order and gives (neurons, 1, 1), and so does a lookup layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nomul.network.described import Described, SingleSource
from nomul.network.tensors import integers

__all__ = [
    "INPUT_NAME",
    "LAYER_KINDS",
    "Add",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Layer",
    "Lookup",
    "MaxPool2d",
    "Weighted",
    "layer_from_entry",
    "layer_name",
]

INPUT_NAME = "input"


def layer_name(number: int) -> str:
    """Name of layer ``number``, counted from 0: what other layers and tensors call it."""
    return f"layers.{number}"


@dataclass(frozen=True, eq=False)
class Weighted(SingleSource):
    """What the layers with weights share.

    Attributes
    ----------
    weight_index
        uint8 or uint16: which column of the product table. Its shape is each kind's own.
    product_table
        int32, shape (levels of the source, centres): ``T[level, weight index]``.
    bias
        int32, shape (channels out,).
    thresholds
        int32, non-decreasing along the last axis: shape (levels - 1,), shared, or
        (channels out, levels - 1). None where the accumulators themselves leave.
    level_value, centre
        int32, shapes (levels of the source,) and (centres,); both or neither:
        ``product_table == outer(level_value, centre)``.
    source
        Name of what feeds the layer: ``"input"`` or ``"layers.N"``.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("weight_index", "product_table", "bias")
    OPTIONAL: ClassVar[tuple[str, ...]] = ("thresholds", "level_value", "centre")

    weight_index: NDArray[np.uint8] | NDArray[np.uint16]
    product_table: NDArray[np.int32]
    bias: NDArray[np.int32]
    thresholds: NDArray[np.int32] | None = None
    level_value: NDArray[np.int32] | None = None
    centre: NDArray[np.int32] | None = None
    source: str = INPUT_NAME

    @property
    def n_channels(self) -> int:
        """Channels that come out: a dense layer's neurons."""
        return int(self.weight_index.shape[0])

    @property
    def n_levels(self) -> int | None:
        """Levels that come out; None where the layer ends in accumulators."""
        return None if self.thresholds is None else self.thresholds.shape[-1] + 1

    @property
    def n_levels_in(self) -> int:
        return int(self.product_table.shape[0])


@dataclass(frozen=True, eq=False)
class Dense(Weighted):
    """A layer in which every neuron sees every input: weight_index is (neurons, inputs)."""

    kind: ClassVar[str] = "dense"

    @property
    def n_inputs(self) -> int:
        return int(self.weight_index.shape[1])

    @property
    def n_outputs(self) -> int:
        return self.n_channels

    def neuron_thresholds(self) -> NDArray[np.int32]:
        """Return the thresholds of every neuron, int32, shape (neurons, levels - 1)."""
        assert self.thresholds is not None, "a layer without thresholds has no levels"
        return np.broadcast_to(self.thresholds, (self.n_outputs, self.thresholds.shape[-1]))

    def fan_in(self) -> NDArray[np.int64]:
        """Return how many inputs each neuron really uses, int64, shape (neurons,)."""
        used_centre: NDArray[np.bool_] = np.any(self.product_table != 0, axis=0)
        counts: NDArray[np.int64] = used_centre[self.weight_index].sum(axis=1, dtype=np.int64)
        return counts


@dataclass(frozen=True, eq=False)
class Conv2d(Weighted):
    """A convolution: one-dimensional with height 1, depthwise with as many groups as channels.

    The weight index is (channels out, channels in / groups, kernel height, kernel width), as
    PyTorch's weight is. Group g of the channels out sees group g of the channels in alone. A
    padded position adds nothing.

    Attributes
    ----------
    stride, padding
        For height and width: steps between windows; positions added on either side.
    groups
        Into which the channels, in order, are split evenly.
    """

    kind: ClassVar[str] = "conv2d"
    GEOMETRY: ClassVar[tuple[str, ...]] = ("stride", "padding", "groups")

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(Weighted):
    """A transposed convolution: each level spreads over a window of the output.

    The weight index is (channels in, channels out / groups, kernel height, kernel width), as
    PyTorch's weight is.

    Attributes
    ----------
    stride, padding, output_padding
        For height and width: steps between the windows of neighbouring levels; positions cut off
        on either side; positions added at the far end, fewer than a stride.
    groups
        Into which the channels, in order, are split evenly.
    """

    kind: ClassVar[str] = "conv_transpose2d"
    GEOMETRY: ClassVar[tuple[str, ...]] = ("stride", "padding", "output_padding", "groups")

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1

    @property
    def n_channels(self) -> int:
        return int(self.weight_index.shape[1]) * self.groups


@dataclass(frozen=True, eq=False)
class MaxPool2d(SingleSource):
    """The greatest level of each window, channel by channel; a padded position never is.

    Attributes
    ----------
    size, stride, padding
        For height and width: of a window; steps between windows; positions added on either side,
        at most half a window.
    source
        Name of what feeds the layer: ``"input"`` or ``"layers.N"``.
    """

    kind: ClassVar[str] = "max_pool2d"
    GEOMETRY: ClassVar[tuple[str, ...]] = ("size", "stride", "padding")

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    source: str = INPUT_NAME


@dataclass(frozen=True, eq=False)
class Lookup(SingleSource):
    """Neurons that are truth tables over a few bits of their source's levels.

    The levels, flattened in C order, are bits of one long row: level s takes the bits
    ``s * width`` to ``s * width + width - 1``, the least significant first, where ``width`` is
    what the greatest of the source's levels takes. So, for each neuron o::

        address[o] = sum over j of bit[address_bit[o, j]] << j
        level[o]   = level_table[o, address[o]]

    as in LogicNets (Umuroglu et al. 2020), NeuraLUT (Andronic and Constantinides 2024) and DWN
    (Bacellar et al. 2024).

    Attributes
    ----------
    address_bit
        int32, shape (neurons, address bits): number of the level bit that is bit j of the address.
        One may occur twice.
    level_table
        uint8, shape (neurons, 2 ** address bits): the level for each address.
    levels
        How many levels come out: 2 to 256, of which not all need occur.
    source
        Name of what feeds the layer: ``"input"`` or ``"layers.N"``.
    """

    kind: ClassVar[str] = "lookup"
    REQUIRED: ClassVar[tuple[str, ...]] = ("address_bit", "level_table")
    GEOMETRY: ClassVar[tuple[str, ...]] = ("levels",)

    address_bit: NDArray[np.int32]
    level_table: NDArray[np.uint8]
    levels: int
    source: str = INPUT_NAME

    @property
    def n_channels(self) -> int:
        """Channels that come out: neurons."""
        return int(self.address_bit.shape[0])

    @property
    def n_outputs(self) -> int:
        return self.n_channels

    @property
    def n_levels(self) -> int:
        """Levels that come out."""
        return self.levels

    @property
    def n_address_bits(self) -> int:
        """Bits of each neuron's address."""
        return int(self.address_bit.shape[1])


@dataclass(frozen=True, eq=False)
class Add(Described):
    """The sum of other layers' accumulators, position by position: a residual connection.

    Attributes
    ----------
    bias
        int32, shape (channels,).
    thresholds
        int32, as those of a layer with weights. None where the accumulators themselves leave.
    sources
        Names of at least two layers without thresholds and of one shape; one may occur twice.
    """

    kind: ClassVar[str] = "add"
    REQUIRED: ClassVar[tuple[str, ...]] = ("bias",)
    OPTIONAL: ClassVar[tuple[str, ...]] = ("thresholds",)

    bias: NDArray[np.int32]
    thresholds: NDArray[np.int32] | None = None
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sources", integers(self.sources))

    @property
    def n_channels(self) -> int:
        return int(self.bias.shape[0])

    @property
    def n_levels(self) -> int | None:
        """Levels that come out; None where the layer ends in accumulators."""
        return None if self.thresholds is None else self.thresholds.shape[-1] + 1

    def _source_entry(self) -> dict[str, Any]:
        return {"inputs": list(self.sources)}


Layer = Dense | Conv2d | ConvTranspose2d | MaxPool2d | Lookup | Add

LAYER_KINDS: dict[str, type[Dense | Conv2d | ConvTranspose2d | MaxPool2d | Lookup | Add]] = {
    kind.kind: kind for kind in (Dense, Conv2d, ConvTranspose2d, MaxPool2d, Lookup, Add)
}


def layer_from_entry(entry: Mapping[str, Any], tensors: Mapping[str, Any]) -> Layer:
    """Return the layer that an entry of a network's description and its tensors make."""
    kind = LAYER_KINDS[entry["kind"]]
    fields: dict[str, Any] = {name: entry[name] for name in kind.GEOMETRY}
    fields |= {"sources": entry["inputs"]} if kind is Add else {"source": entry["input"]}
    return kind(**fields, **tensors)
