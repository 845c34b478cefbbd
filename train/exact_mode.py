"""Exact mode: a trained module in integers, still in PyTorch.

Centres are a step times integers and level values a unit times integers, so a layer's float32
sums are sums of integers below 2**24, which float32 holds: any order of addition gives the same.
Batch-norm and activation become integer thresholds of those sums. PyTorch, the golden model and
the hardware then agree on every input of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nomul.network import UserError
from nomul.train.activations import Activation
from nomul.train.layers import Dense, InputLevels, Scale

__all__ = ["ExactDense", "ExactInput", "ExactLevels", "exact"]

EXACT_LIMIT = 1 << 24
"""Integers up to here are exact in float32."""


class ExactInput(nn.Module):
    """Real features as integer level values 0..L-1, float32; thresholds compare in float64."""

    thresholds: Tensor

    def __init__(self, thresholds: Tensor) -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)

    def forward(self, features: Tensor) -> Tensor:
        return torch.bucketize(features.double(), self.thresholds, right=True).float()


class ExactDense(nn.Module):
    """A dense layer of integer weights and biases, in float32.

    Attributes
    ----------
    weight_index
        int64, shape (neurons, inputs).
    centre
        float32 integers, shape (centres,).
    bias
        float32 integers, shape (neurons,).
    """

    weight_index: Tensor
    centre: Tensor
    bias: Tensor

    def __init__(self, weight_index: Tensor, centre: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight_index", weight_index)
        self.register_buffer("centre", centre)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.centre[self.weight_index], self.bias)


class ExactLevels(nn.Module):
    """Accumulators as integer level values, by integer thresholds.

    Attributes
    ----------
    thresholds
        float32 integers, shape (1, levels - 1), shared, or (neurons, levels - 1).
    level_value
        float32 integers, shape (levels,).
    """

    thresholds: Tensor
    level_value: Tensor

    def __init__(self, thresholds: Tensor, level_value: Tensor) -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)
        self.register_buffer("level_value", level_value)

    def forward(self, accumulators: Tensor) -> Tensor:
        level = (accumulators.unsqueeze(-1) >= self.thresholds).sum(dim=-1)
        return self.level_value[level]


@dataclass(frozen=True)
class _Levels:
    """What feeds the next layer: integer level values and what 1 among them stands for."""

    level_value: list[int]
    unit: float


def exact(module: nn.Sequential) -> nn.Sequential:
    """Return ``module`` in integers: ExactInput, then ExactDense and ExactLevels in turn.

    Parameters
    ----------
    module
        Trained: InputLevels, then Dense, perhaps BatchNorm1d, and an activation in turn, and at
        the end Dense and perhaps Scale. It is put into evaluation mode.

    Returns
    -------
    nn.Sequential
        Takes features, shape (samples, inputs), and gives accumulators, float32 integers, shape
        (samples, classes).

    Raises
    ------
    UserError
        If the module has another form, a layer has no codebook, something is not discretized, or
        a sum may leave the integers that float32 holds.
    """
    layers = list(module.eval())
    first = layers.pop(0) if layers else None
    if not isinstance(first, InputLevels) or first.levels is None:
        raise UserError("A network to be lowered must begin with InputLevels that have levels.")
    result: list[nn.Module] = [ExactInput(first.thresholds.clone())]
    source = _Levels(list(range(first.levels)), 1 / (first.levels - 1))
    while layers:
        dense = layers.pop(0)
        if not isinstance(dense, Dense) or dense.codebook is None:
            raise UserError(
                f"{type(dense).__name__} cannot be lowered here: after levels there must be a "
                "Dense layer with a fixed codebook."
            )
        norm = _pop_if(nn.BatchNorm1d, layers)
        activation = _pop_if(Activation, layers)  # type: ignore[type-abstract]
        # Behind a batch-norm each neuron has thresholds of its own, which absorb its bias.
        sums = _exact_dense(dense, source, with_bias=norm is None)
        result.append(sums)
        if activation is None:
            _pop_if(Scale, layers)  # a positive factor leaves the arg-max as it is
            if norm is not None or layers:
                raise UserError(
                    "The last Dense layer may be followed by a Scale and nothing else: a scale "
                    "for each class would not leave the arg-max as it is."
                )
            return nn.Sequential(*result).eval()
        if activation.levels is None:
            raise UserError("A continuous activation cannot be lowered: give it levels.")
        boundaries = np.array([activation.boundaries()])
        if norm is not None:
            boundaries = _before_batch_norm(boundaries, norm) - _bias(dense)[:, None]
        reach = _reach(sums, source) + 1
        thresholds = np.clip(np.ceil(boundaries / _unit(dense, source)), -reach, reach)
        source = _Levels(activation.integer_level_values(), activation.integer_unit)
        result.append(ExactLevels(_float32(thresholds), _float32(source.level_value)))
    raise UserError(
        "A network to be lowered must end with a Dense layer, and perhaps a Scale after it."
    )


def _exact_dense(dense: Dense, source: _Levels, *, with_bias: bool) -> ExactDense:
    """Return ``dense`` in integers, its bias rounded to whole units.

    Raises
    ------
    UserError
        If a sum may leave the integers that float32 holds.
    """
    assert dense.codebook is not None, "checked by the caller"
    weights = dense.weight.detach().double().numpy() * dense.mask.numpy()
    bias = np.rint(_bias(dense) / _unit(dense, source)) * with_bias
    sums = ExactDense(
        torch.from_numpy(dense.codebook.nearest(weights)),
        _float32(dense.codebook.integers),
        _float32(bias),
    )
    reach = _reach(sums, source)
    if reach >= EXACT_LIMIT:
        raise UserError(
            f"A sum may reach {reach:.0f}, beyond the {EXACT_LIMIT} that float32 adds exactly: "
            "use fewer levels, a smaller codebook or a smaller fan-in."
        )
    return sums


def _unit(dense: Dense, source: _Levels) -> float:
    """Return what 1 in an accumulator stands for."""
    assert dense.codebook is not None, "checked by the caller"
    return dense.codebook.step * source.unit


def _reach(sums: ExactDense, source: _Levels) -> float:
    """Return how far from 0 any partial sum of any neuron can get."""
    largest = max(abs(value) for value in source.level_value)
    weights = sums.centre.double()[sums.weight_index]
    return float((weights.abs().sum(dim=1) * largest + sums.bias.double().abs()).max())


M = TypeVar("M", bound=nn.Module)


def _pop_if(kind: type[M], layers: list[nn.Module]) -> M | None:
    """Remove and return the first of ``layers`` if it is of ``kind``."""
    if layers and isinstance(layers[0], kind):
        first = layers.pop(0)
        assert isinstance(first, kind)
        return first
    return None


def _bias(dense: Dense) -> NDArray[np.float64]:
    if dense.bias is None:
        return np.zeros(dense.out_features)
    bias: NDArray[np.float64] = dense.bias.detach().double().numpy()
    return bias


def _before_batch_norm(
    boundaries: NDArray[np.float64], norm: nn.BatchNorm1d
) -> NDArray[np.float64]:
    """Return where, for each neuron, the batch-norm's input meets ``boundaries`` of its output."""
    if norm.running_mean is None or norm.running_var is None or not norm.affine:
        raise UserError("A batch-norm to be lowered must be affine and track running statistics.")
    mean, variance, scale, shift = (
        tensor.detach().double().numpy()[:, None]
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    if (scale <= 0).any():
        raise UserError("A batch-norm has a scale that is not positive: keep it so in training.")
    before: NDArray[np.float64] = (boundaries - shift) / scale * np.sqrt(variance + norm.eps) + mean
    return before


def _float32(values: NDArray[np.float64] | NDArray[np.int64] | list[int]) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)
