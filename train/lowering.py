"""From a PyTorch module to a :class:`nomul.network.Network`."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    InvalidNetwork,
    Lookup,
    MaxPool2d,
    Network,
    Output,
    UserError,
)
from nomul.network.layers import INPUT_NAME, Layer, layer_name
from nomul.train.exact_layers import (
    ExactInput,
    ExactLevels,
    ExactLookup,
    ExactNetwork,
    ExactResidual,
    ExactSums,
)
from nomul.train.exact_mode import exact

__all__ = ["lower"]


def lower(
    module: nn.Sequential,
    input_shape: tuple[int, ...],
    output: Literal["class", "accumulators"] = "class",
) -> Network:
    """Return the integer tables of a trained module.

    Parameters
    ----------
    module
        What :func:`nomul.train.exact_mode.exact` takes or returns. The network answers exactly as
        ``exact(module)`` does, on every input.
    input_shape
        Shape of one sample's features.
    output
        ``"class"``: the arg-max of the module's outputs. ``"accumulators"``: they themselves.

    Raises
    ------
    UserError
        If the module has no exact form, or takes samples of another shape.
    """
    whole = module if isinstance(module, ExactNetwork) else exact(module)
    if np.size(input_shape) == 0 or np.ndim(input_shape) == 0:
        raise UserError(
            f"input_shape is {input_shape}: it must be the shape of one sample's features, such as "
            "(1, 28, 28)."
        )
    try:
        return _network(whole, input_shape, output)
    except InvalidNetwork as error:
        if _takes(whole, input_shape):
            raise
        raise UserError(
            f"input_shape {input_shape} does not fit the module: give the shape of one sample's "
            "features as the module takes them."
        ) from error


def _takes(module: ExactNetwork, input_shape: tuple[int, ...]) -> bool:
    try:
        with torch.no_grad():
            module(torch.zeros(1, *input_shape))
    except (RuntimeError, TypeError, IndexError):
        return False
    return True


def _network(
    whole: ExactNetwork, input_shape: tuple[int, ...], output: Literal["class", "accumulators"]
) -> Network:
    first, *rest = whole
    assert isinstance(first, ExactInput), "an exact module begins with its input"
    inputs = Input(input_shape, first.thresholds.numpy(), encoding=first.encoding)
    lowering = _Lowering(inputs)
    for layer in rest:
        lowering.add(layer)
    end = Output("class") if output == "class" else Output("accumulators", scale=whole.unit)
    return Network(inputs, tuple(lowering.layers), end)


class _Lowering:
    """Appends layers, and knows what leaves the last of them.

    Attributes
    ----------
    source
        Its name.
    channels
        How many there are.
    level_value
        What its levels stand for, int32, shape (levels,).
    """

    def __init__(self, inputs: Input) -> None:
        self.layers: list[Layer] = []
        self.source = INPUT_NAME
        self.channels = inputs.level_shape[0]
        self.level_value = np.arange(inputs.n_levels, dtype=np.int32)

    def add(self, layer: nn.Module) -> None:
        match layer:
            case ExactSums():
                self._append(self._sums(layer, self.source, self.level_value))
            case ExactLevels():
                self._add_thresholds(layer)
            case ExactResidual():
                self._add_residual(layer)
            case ExactLookup():
                self._add_lookup(layer)
            case nn.MaxPool1d() | nn.MaxPool2d():
                size, stride, padding = (
                    _pair(value) for value in (layer.kernel_size, layer.stride, layer.padding)
                )
                if isinstance(layer, nn.MaxPool1d):
                    size, stride, padding = (1, size[1]), (1, stride[1]), (0, padding[1])
                self._append(MaxPool2d(size, stride, padding=padding, source=self.source))
            case nn.Flatten():
                pass  # a dense layer flattens what it gets
            case _:
                raise AssertionError(f"exact() gave a {type(layer).__name__}")

    def _append(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.source = layer_name(len(self.layers) - 1)

    def _add_thresholds(self, layer: ExactLevels) -> None:
        thresholds = _integers(layer.thresholds)
        shared = thresholds[0] if len(thresholds) == 1 else thresholds
        last = self.layers.pop()
        assert not isinstance(last, MaxPool2d | Lookup), "thresholds follow sums"
        self._append(dataclasses.replace(last, thresholds=shared))
        self.level_value = _integers(layer.level_value)

    def _add_lookup(self, layer: ExactLookup) -> None:
        self._append(
            Lookup(
                _integers(layer.address_bit),
                layer.level_table.numpy().astype(np.uint8),
                levels=layer.levels_out,
                source=self.source,
            )
        )
        self.channels = len(layer.address_bit)
        self.level_value = np.arange(layer.levels_out, dtype=np.int32)

    def _add_residual(self, layer: ExactResidual) -> None:
        source, channels, level_value = self.source, self.channels, self.level_value
        for inner in layer.body:
            self.add(inner)
        body = self.source
        self.channels, last_channels = channels, self.channels
        self._append(self._sums(layer.shortcut, source, level_value))
        self.channels = last_channels
        bias = np.zeros(self.channels, np.int32)
        self._append(Add(bias, sources=(body, self.source)))

    def _sums(self, sums: ExactSums, source: str, level_value: NDArray[np.int32]) -> Layer:
        geometry = sums.geometry
        index: NDArray[Any] = _smallest_index(sums.weight_index)
        bias = _integers(sums.bias)
        groups = geometry.groups
        if groups is None:
            groups = self.channels
            index = np.broadcast_to(index, (groups, *index.shape[1:]))
            bias = np.broadcast_to(bias, groups)
        level_value = np.rint(level_value * sums.rescale).astype(np.int32)
        centre = _integers(sums.centre)
        tables: dict[str, Any] = {
            "product_table": np.outer(level_value, centre).astype(np.int32),
            "bias": bias,
            "level_value": level_value,
            "centre": centre,
            "source": source,
        }
        if geometry.kind == "dense":
            self.channels = len(index)
            return Dense(index, **tables)
        missing = 4 - index.ndim  # a signal is a picture of height 1
        index = index.reshape(*index.shape[:2], *(1,) * missing, *index.shape[2:])
        tables |= {
            "stride": (*(1,) * missing, *geometry.stride),
            "padding": (*(0,) * missing, *geometry.padding),
            "groups": groups,
        }
        if geometry.kind == "conv":
            self.channels = len(index)
            return Conv2d(index, **tables)
        self.channels = index.shape[1] * groups
        return ConvTranspose2d(index, output_padding=_pair(geometry.output_padding), **tables)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, second = value if len(value) == 2 else (value[0], value[0])
    return int(first), int(second)


def _integers(values: Tensor) -> NDArray[np.int32]:
    return values.numpy().astype(np.int32)


def _smallest_index(index: Tensor) -> NDArray[np.uint8] | NDArray[np.uint16]:
    indices = index.numpy()
    return indices.astype(np.uint8) if indices.max() < 256 else indices.astype(np.uint16)
