"""What a trained module means: intervals in float64 that its exact form must not leave.

Exact mode rounds biases, and in residuals shortcuts, to integers. Each layer's output is given
here as the least and the greatest value that it may have for that, by PyTorch's own layers and the
definition of the activations; no integer of exact mode is used but for the size of its unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nomul.train.activations import Activation
from nomul.train.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    InputLevels,
    Residual,
    Scale,
    Weighted,
)

__all__ = ["Interval", "meaning"]


@dataclass(frozen=True)
class Interval:
    """Least and greatest values, float64, and the unit that their integers come in."""

    least: Tensor
    greatest: Tensor
    unit: float = 0.0

    def through(self, rising: nn.Module) -> Interval:
        """Return the interval behind a function that never falls."""
        return Interval(rising(self.least).double(), rising(self.greatest).double(), self.unit)


@torch.no_grad()
def meaning(module: nn.Sequential, features: Tensor, blur: float = 1e-9) -> Interval:
    """Return between what values each output of ``module`` lies.

    Parameters
    ----------
    blur
        By how much what an activation gets may be off; for float32 more than for float64.
    """
    inputs, *layers = module
    assert isinstance(inputs, InputLevels)
    return _through(layers, _inputs(inputs, features.double()), blur)


def _inputs(inputs: InputLevels, x: Tensor) -> Interval:
    reached = (x[..., None] >= inputs.thresholds).double()
    if inputs.encoding == "thermometer":
        by_channel = [
            reached[:, channel, ..., number]
            for channel in range(x.shape[1])
            for number in range(reached.shape[-1])
        ]
        bits = torch.stack(by_channel, dim=1)
        return Interval(bits, bits, 1.0)
    n_steps = reached.shape[-1]
    value = reached.sum(-1) / n_steps
    return Interval(value, value, 1 / n_steps)


def _through(layers: Iterable[nn.Module], x: Interval, blur: float) -> Interval:
    for layer in layers:
        if isinstance(layer, Weighted):
            x = _weighted(layer, x)
        elif isinstance(layer, Activation):
            x = _activated(layer, x, blur)
        elif isinstance(layer, Residual):
            x = _residual(layer, x, blur)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            x = x.through(_double_norm(layer))
        else:
            pools = nn.MaxPool1d | nn.MaxPool2d | nn.AvgPool1d | nn.AvgPool2d
            assert isinstance(layer, pools | nn.Flatten | nn.Dropout | Scale), layer
            x = x.through(layer)
    return x


def _double_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    copy = type(norm)(norm.num_features, eps=norm.eps).double().eval()
    copy.load_state_dict(norm.state_dict())
    return copy


def _activated(activation: Activation, x: Interval, blur: float) -> Interval:
    """Apply ``floor((f(x) - least) / step + 1/2) * step + least``."""

    def rounded(value: Tensor) -> Tensor:
        f = activation.underlying(value.clone())
        level = torch.floor((f - activation.least) / activation.step + 0.5)
        return level * activation.step + activation.least

    least, greatest = rounded(x.least - blur), rounded(x.greatest + blur)
    return Interval(least, greatest, activation.integer_unit)


def _residual(layer: Residual, x: Interval, blur: float) -> Interval:
    """Add both branches; what the shortcut has is rounded to the unit that is common to them."""
    body, shortcut = _through(layer.body, x, blur), x
    finest = body.unit * _largest_integer(layer.body[-1]) / 2**14
    error = max(x.unit / 256, finest) / 2 * torch.ones_like(body.least)
    if isinstance(layer.shortcut, Weighted):
        shortcut = _weighted(layer.shortcut, x)
        steps = max(4, 256 // _largest_integer(layer.shortcut))
        of_a_centre = max(shortcut.unit / steps, finest) / 2 / x.unit
        magnitude = torch.maximum(x.least.abs(), x.greatest.abs())
        error = of_a_centre * _sums(layer.shortcut, magnitude, layer.shortcut.mask, None)
    return Interval(body.least + shortcut.least - error, body.greatest + shortcut.greatest + error)


def _largest_integer(layer: nn.Module) -> int:
    assert isinstance(layer, Weighted)
    assert layer.codebook is not None
    return max(1, int(np.abs(layer.codebook.integers).max()))


def _weighted(layer: Weighted, x: Interval) -> Interval:
    assert layer.codebook is not None
    centres = layer.codebook.centres
    # The nearest by enumeration.
    weights = layer.weight.detach().double().numpy()
    nearest = centres[np.abs(weights[..., None] - centres).argmin(-1)]
    weight = torch.from_numpy(nearest) * layer.mask.double()
    bias = None if layer.bias is None else layer.bias.detach().double()
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    least = _sums(layer, x.least, up, bias) + _sums(layer, x.greatest, down, None)
    greatest = _sums(layer, x.greatest, up, bias) + _sums(layer, x.least, down, None)
    unit = layer.codebook.step * x.unit
    slack = 0.0 if bias is None else unit / 2
    return Interval(least - slack, greatest + slack, unit)


def _sums(layer: Weighted, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    weight = weight.double()
    match layer:
        case Dense():
            return functional.linear(x, weight, bias)
        case Conv1d():
            return functional.conv1d(
                x, weight, bias, layer.stride, layer.padding, groups=layer.groups
            )
        case Conv2d():
            return functional.conv2d(
                x, weight, bias, layer.stride, layer.padding, groups=layer.groups
            )
        case ConvTranspose2d():
            assert not isinstance(layer.padding, str)
            return functional.conv_transpose2d(
                x, weight, bias, layer.stride, layer.padding, layer.output_padding, layer.groups
            )
    raise AssertionError(layer)
