"""The layers of exact mode: integers in float64, the same that the network file holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nomul.network import UserError
from nomul.network.model import Encoding
from nomul.train.layers import Conv1d, Conv2d, ConvTranspose2d, Dense, Weighted
from nomul.train.lookup import level_bits

__all__ = [
    "ExactInput",
    "ExactLevels",
    "ExactLookup",
    "ExactNetwork",
    "ExactResidual",
    "ExactSums",
    "Geometry",
    "geometry_of",
]


@dataclass(frozen=True)
class Geometry:
    """Which inputs belong to which output of a layer.

    Attributes
    ----------
    stride, padding, output_padding
        One number for each axis of a convolution.
    groups
        None: as many as there are channels, one weight for each, the same in all.
    """

    kind: Literal["dense", "conv", "conv_transpose"]
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()
    groups: int | None = 1


def geometry_of(layer: Weighted) -> Geometry:
    """Return the geometry of a layer in training."""
    match layer:
        case Dense():
            return Geometry("dense")
        case Conv1d() | Conv2d():
            assert not isinstance(layer.padding, str), "paddings are numbers here"
            return Geometry("conv", layer.stride, layer.padding, groups=layer.groups)
        case ConvTranspose2d():
            assert not isinstance(layer.padding, str), "paddings are numbers here"
            return Geometry(
                "conv_transpose", layer.stride, layer.padding, layer.output_padding, layer.groups
            )
    raise AssertionError(f"{type(layer).__name__} has no geometry")


class ExactInput(nn.Module):
    """Real features as integer level values 0..L-1; thresholds compare in float64.

    As a thermometer, as 0 or 1 for each threshold.

    Raises
    ------
    UserError
        If a feature is not a number (NaN), as the golden model does.
    """

    thresholds: Tensor

    def __init__(self, thresholds: Tensor, encoding: Encoding = "level") -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)
        self.encoding = encoding

    def forward(self, features: Tensor) -> Tensor:
        x = features.double()
        if x.isnan().any():
            raise UserError("Some features are not numbers (NaN): replace them before evaluation.")
        if self.encoding == "thermometer":
            reached = x.unsqueeze(-1) >= self.thresholds
            return torch.movedim(reached, -1, 2).flatten(1, 2).double()
        if self.thresholds.ndim == 1:
            return torch.bucketize(x, self.thresholds, right=True).double()
        level = torch.zeros_like(x)
        for number in range(self.thresholds.shape[-1]):
            level += x >= self.thresholds[..., number]
        return level


class ExactSums(nn.Module):
    """A layer of integer weights and biases.

    Attributes
    ----------
    weight_index
        int32, shaped as the weights in training.
    centre
        float64 integers, shape (centres,).
    bias
        float64 integers, shape (neurons,) or (channels,).
    rescale
        What level values are multiplied by and then rounded; 1 but in a residual's shortcut.
    """

    weight_index: Tensor
    centre: Tensor
    bias: Tensor

    def __init__(
        self,
        geometry: Geometry,
        weight_index: Tensor,
        centre: Tensor,
        bias: Tensor,
        rescale: float = 1.0,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.rescale = rescale
        self.register_buffer("weight_index", weight_index.int())
        self.register_buffer("centre", centre)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, geometry = self.centre[self.weight_index], self.bias, self.geometry
        if self.rescale != 1.0:
            x = torch.round(x * self.rescale)
        if geometry.kind == "dense":
            return functional.linear(x, weight, bias)
        groups = geometry.groups
        if groups is None:
            if not geometry.stride:  # neurons: every weight is 1
                return x * weight.flatten() + bias
            groups = x.shape[1]
            weight = weight.expand(groups, *weight.shape[1:])
            bias = bias.expand(groups)
        if geometry.kind == "conv_transpose":
            return functional.conv_transpose2d(
                x, weight, bias, geometry.stride, geometry.padding, geometry.output_padding, groups
            )
        convolve = functional.conv1d if len(geometry.stride) == 1 else functional.conv2d
        return convolve(x, weight, bias, geometry.stride, geometry.padding, 1, groups)


class ExactResidual(nn.Module):
    """The sums of two branches, in one unit."""

    def __init__(self, body: nn.Sequential, shortcut: ExactSums) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        sums: Tensor = self.body(x) + self.shortcut(x)
        return sums


class ExactLevels(nn.Module):
    """Accumulators as integer level values, by integer thresholds.

    Attributes
    ----------
    thresholds
        float64 integers, shape (1, levels - 1), shared, or (channels, levels - 1).
    level_value
        float64 integers, shape (levels,).
    """

    thresholds: Tensor
    level_value: Tensor

    def __init__(self, thresholds: Tensor, level_value: Tensor) -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)
        self.register_buffer("level_value", level_value)

    def forward(self, accumulators: Tensor) -> Tensor:
        if len(self.thresholds) == 1:
            level = torch.bucketize(accumulators.contiguous(), self.thresholds[0], right=True)
        else:
            by_channel = accumulators.transpose(0, 1)
            rows = by_channel.flatten(1).contiguous()
            found = torch.searchsorted(self.thresholds, rows, right=True)
            level = found.view(by_channel.shape).transpose(0, 1)
        return self.level_value[level]


class ExactLookup(nn.Module):
    """Truth tables of level bits; the level values that come are the levels themselves.

    Attributes
    ----------
    levels_in, levels_out
        How many levels come and leave.
    address_bit
        int64, shape (neurons, address bits).
    level_table
        float64 integers, shape (neurons, 2 ** address bits).
    """

    address_bit: Tensor
    level_table: Tensor

    def __init__(
        self, levels_in: int, levels_out: int, address_bit: Tensor, level_table: Tensor
    ) -> None:
        super().__init__()
        self.levels_in = levels_in
        self.levels_out = levels_out
        self.register_buffer("address_bit", address_bit)
        self.register_buffer("level_table", level_table)

    def forward(self, levels: Tensor) -> Tensor:
        bits = level_bits(levels.flatten(1), self.levels_in).long()
        address = torch.zeros(len(bits), len(self.address_bit), dtype=torch.int64)
        for place in range(self.address_bit.shape[1]):
            address += bits[:, self.address_bit[:, place]] << place
        return self.level_table.gather(1, address.t()).t()


class ExactNetwork(nn.Sequential):
    """A whole network in integers: features to accumulators, shape (samples, outputs).

    Attributes
    ----------
    unit
        What 1 among the accumulators stands for.
    """

    def __init__(self, modules: Iterable[nn.Module], unit: float) -> None:
        super().__init__(*modules)
        self.unit = unit

    def forward(self, features: Tensor) -> Tensor:
        accumulators = features
        for layer in self:
            accumulators = layer(accumulators)
        return accumulators.flatten(1)
