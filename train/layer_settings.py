"""The layers that an experiment may list between input and output.

Weighted layers and residuals are followed by batch-norm, if the network has it, and the
activation, average pooling by the activation, lookups by neither; in a residual's list the last
one is not. Kernels,
strides and paddings are square, or over time where the data are signals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "LAYER_KINDS",
    "AveragePoolSettings",
    "ClassSumSettings",
    "ConvSettings",
    "ConvTransposeSettings",
    "DenseSettings",
    "DropoutSettings",
    "LayerSettings",
    "LookupSettings",
    "MaxPoolSettings",
    "ResidualSettings",
]

_COUNT: dict[str, Any] = {"least": 1, "greatest": 65_536}
_SIZE: dict[str, Any] = {"least": 1, "greatest": 1_024}
_PADDING: dict[str, Any] = {"least": 0, "greatest": 1_024}


@dataclass(frozen=True)
class DenseSettings:
    """Every neuron sees every input."""

    neurons: int = field(metadata=_COUNT)


@dataclass(frozen=True)
class ConvSettings:
    """A convolution over a picture or a signal; depthwise if ``groups`` equals the channels in."""

    channels: int = field(metadata=_COUNT)
    kernel: int = field(metadata=_SIZE)
    stride: int = field(default=1, metadata=_SIZE)
    padding: int = field(default=0, metadata=_PADDING)
    groups: int = field(default=1, metadata=_COUNT)


@dataclass(frozen=True)
class ConvTransposeSettings:
    """A transposed convolution, which enlarges a picture."""

    channels: int = field(metadata=_COUNT)
    kernel: int = field(metadata=_SIZE)
    stride: int = field(default=1, metadata=_SIZE)
    padding: int = field(default=0, metadata=_PADDING)
    output_padding: int = field(default=0, metadata=_PADDING)
    groups: int = field(default=1, metadata=_COUNT)


@dataclass(frozen=True)
class MaxPoolSettings:
    """The greatest of ``size`` × ``size`` levels; ``stride`` 0: as large as ``size``."""

    size: int = field(metadata=_SIZE)
    stride: int = field(default=0, metadata=_PADDING)


@dataclass(frozen=True)
class AveragePoolSettings:
    """The mean of ``size`` × ``size`` level values, and the activation after it."""

    size: int = field(metadata=_SIZE)
    stride: int = field(default=0, metadata=_PADDING)


@dataclass(frozen=True)
class DropoutSettings:
    """Sets a share of the levels to zero in training."""

    rate: float = field(default=0.5, metadata={"least": 0.0, "greatest": 0.99})


@dataclass(frozen=True)
class LookupSettings:
    """Every neuron is a learned truth table of ``fan_in`` level bits, which are learned too.

    It needs no activation: its levels are 0 and 1.
    """

    neurons: int = field(metadata=_COUNT)
    fan_in: int = field(default=4, metadata={"least": 1, "greatest": 12})


@dataclass(frozen=True)
class ClassSumSettings:
    """For each class the sum of its share of the levels, the last layer of lookup networks.

    ``temperature`` divides the sums where the loss is taken; 0: half the square root of how many
    levels each adds.
    """

    temperature: float = field(default=0.0, metadata={"least": 0.0, "greatest": 1e6})


@dataclass(frozen=True)
class ResidualSettings:
    """Layers whose sums are added to their input, or to a 1×1 convolution of it."""

    layers: tuple[LayerSettings, ...]


LayerSettings = (
    DenseSettings
    | ConvSettings
    | ConvTransposeSettings
    | MaxPoolSettings
    | AveragePoolSettings
    | DropoutSettings
    | LookupSettings
    | ClassSumSettings
    | ResidualSettings
)

LAYER_KINDS: dict[str, type[LayerSettings]] = {
    "dense": DenseSettings,
    "conv": ConvSettings,
    "conv_transpose": ConvTransposeSettings,
    "max_pool": MaxPoolSettings,
    "average_pool": AveragePoolSettings,
    "dropout": DropoutSettings,
    "lookup": LookupSettings,
    "class_sum": ClassSumSettings,
    "residual": ResidualSettings,
}
