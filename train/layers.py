"""The layers of a network in training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nomul.network.model import Encoding
from nomul.train.weighted import Weighted, weighted_layers

__all__ = [
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "InputLevels",
    "Residual",
    "Scale",
    "Weighted",
    "weighted_layers",
]


class InputLevels(nn.Module):
    """Real features as level values from 0 to 1; continuous, scaled to that range.

    Level k = 0..L-1 stands for k / (L - 1). As a thermometer, a feature becomes L - 1 inputs of
    0 and 1 instead, one for each threshold that it may reach; continuous, it is repeated as often.

    Parameters
    ----------
    thresholds
        float64, non-decreasing along the last axis; shape (L - 1,), or with the features' axes
        before it, each equal to theirs or 1.
    least, greatest
        float64, what is scaled to 0 and 1 where nothing is discretized; one number, or shaped as
        the thresholds' axes before the last.
    continuous
        Whether the thresholds are left out, as in a float twin.

    Shape
    -----
    (samples, *features) to the same, float32; as a thermometer the first of the features' axes is
    L - 1 times as long.
    """

    thresholds: Tensor
    least: Tensor
    greatest: Tensor

    def __init__(
        self,
        thresholds: NDArray[np.float64],
        least: NDArray[np.float64] | float,
        greatest: NDArray[np.float64] | float,
        *,
        encoding: Encoding = "level",
        continuous: bool = False,
    ) -> None:
        super().__init__()
        assert np.less(least, greatest).all(), "features need a range"
        self.encoding = encoding
        self.continuous = continuous
        self.register_buffer("thresholds", torch.as_tensor(thresholds, dtype=torch.float64))
        self.register_buffer("least", torch.as_tensor(least, dtype=torch.float64))
        self.register_buffer("greatest", torch.as_tensor(greatest, dtype=torch.float64))

    @classmethod
    def uniform(cls, least: float, greatest: float, levels: int | None) -> InputLevels:
        """Put thresholds half-way between ``levels`` equally distant values; None: continuous."""
        places = (np.arange((levels or 2) - 1, dtype=np.float64) + 0.5) / ((levels or 2) - 1)
        thresholds = least + places * (greatest - least)
        return cls(thresholds, least, greatest, continuous=levels is None)

    @property
    def levels(self) -> int:
        """Levels of a feature."""
        return self.thresholds.shape[-1] + 1

    @property
    def levels_out(self) -> int:
        """Levels of what leaves this layer."""
        return 2 if self.encoding == "thermometer" else self.levels

    def scaled(self, features: Tensor) -> Tensor:
        """Return the features scaled to 0..1, float32: what a network is to reconstruct."""
        return ((features.double() - self.least) / (self.greatest - self.least)).float()

    def forward(self, features: Tensor) -> Tensor:
        if self.encoding == "thermometer":
            bits = (
                self.scaled(features)
                .unsqueeze(2)
                .expand(*features.shape[:2], self.levels - 1, *features.shape[2:])
                if self.continuous
                else torch.movedim(features.double().unsqueeze(-1) >= self.thresholds, -1, 2)
            )
            return bits.flatten(1, 2).float()
        if self.continuous:
            return self.scaled(features)
        return self.level(features).float() / (self.levels - 1)

    def level(self, features: Tensor) -> Tensor:
        """Return the number of thresholds that each feature reaches, int64."""
        x = features.double()
        if self.thresholds.ndim == 1:
            return torch.bucketize(x, self.thresholds, right=True)
        level = torch.zeros(x.shape, dtype=torch.int64, device=x.device)
        for number in range(self.thresholds.shape[-1]):
            level += x >= self.thresholds[..., number]
        return level

    def extra_repr(self) -> str:
        levels = "continuous" if self.continuous else f"levels={self.levels}"
        return f"{levels}, encoding={self.encoding}"


class Dense(Weighted, nn.Linear):
    """A linear layer tied to a codebook.

    Shape
    -----
    (samples, inputs) to (samples, neurons).
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self._prepare()

    def combine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.linear(x, weight, bias)


class Conv1d(Weighted, nn.Conv1d):
    """A convolution over time tied to a codebook; ``groups`` equal to the channels: depthwise.

    Shape
    -----
    (samples, channels in, length) to (samples, channels out, length out).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, padding, 1, groups, bias)
        self._prepare()

    def combine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        sums: Tensor = self._conv_forward(x, weight, bias)
        return sums

    def input_importance(self, spread: Tensor) -> Tensor:
        return _by_group(spread, self.groups, self.out_channels)[..., None]


class Conv2d(Weighted, nn.Conv2d):
    """A convolution over a picture tied to a codebook; ``groups`` as in :class:`Conv1d`.

    Shape
    -----
    (samples, channels in, height, width) to (samples, channels out, height out, width out).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, padding, 1, groups, bias)
        self._prepare()

    def combine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        sums: Tensor = self._conv_forward(x, weight, bias)
        return sums

    def input_importance(self, spread: Tensor) -> Tensor:
        return _by_group(spread, self.groups, self.out_channels)[..., None, None]


class ConvTranspose2d(Weighted, nn.ConvTranspose2d):
    """A transposed convolution over a picture tied to a codebook.

    Shape
    -----
    (samples, channels in, height, width) to (samples, channels out, height out, width out).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride, padding, output_padding, groups, bias
        )
        self._prepare()

    def combine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert not isinstance(self.padding, str), "paddings are numbers here"
        return functional.conv_transpose2d(
            x, weight, bias, self.stride, self.padding, self.output_padding, self.groups
        )

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert output_size is None, "output_padding says what is at the end"
        return super().forward(x)

    def by_neuron(self, tensor: Tensor) -> Tensor:
        # (channels in, channels out / groups, ...): a row for each channel out of each group.
        grouped = tensor.reshape(self.groups, -1, *tensor.shape[1:]).transpose(1, 2)
        return grouped.flatten(0, 1).flatten(1)

    def from_neurons(self, rows: Tensor) -> Tensor:
        per_group = self.out_channels // self.groups
        grouped = rows.view(self.groups, per_group, -1, *self.kernel_size)
        return grouped.transpose(1, 2).flatten(0, 1)

    def input_importance(self, spread: Tensor) -> Tensor:
        return spread[:, None, None, None]


class Residual(nn.Module):
    """The sums of ``body`` plus those of ``shortcut``; batch-norm and activation come after.

    Parameters
    ----------
    body
        Ends in a weighted layer, without activation.
    shortcut
        A 1×1 convolution where the shapes differ, else nn.Identity.
    """

    def __init__(self, body: nn.Sequential, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        sums: Tensor = self.body(x) + self.shortcut(x)
        return sums


class Scale(nn.Module):
    """One positive factor for a whole layer: it leaves an arg-max as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.logarithm.exp()


def _by_group(spread: Tensor, groups: int, n_channels: int) -> Tensor:
    """Return one row of a group's input channels for each output channel."""
    return spread.view(groups, -1).repeat_interleave(n_channels // groups, dim=0)
