"""Exact mode: a trained module in integers, still in PyTorch.

Centres are a step times integers and level values a unit times integers, so a layer's sums are
sums of integers. They stay below 2**31, where a float64 holds every integer: any order of addition
gives the same. Batch-norm and activation become integer thresholds of those sums. PyTorch, the
golden model and the hardware then agree on every input of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nomul.network import UserError
from nomul.train.activations import Activation, HardTanhD, ReluD, SigmoidD, TanhD
from nomul.train.exact_layers import (
    ExactInput,
    ExactLevels,
    ExactLookup,
    ExactNetwork,
    ExactResidual,
)
from nomul.train.exact_sums import (
    Levels,
    Sums,
    average,
    class_sum,
    float64,
    residual,
    weighted,
)
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
from nomul.train.lookup import ClassSum, Lookup

__all__ = ["exact"]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d)
_AVERAGE_POOLS = (nn.AvgPool1d, nn.AvgPool2d)
_OWN: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Dense,
    nn.Conv1d: Conv1d,
    nn.Conv2d: Conv2d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.ReLU: ReluD,
    nn.ReLU6: ReluD,
    nn.Tanh: TanhD,
    nn.Sigmoid: SigmoidD,
    nn.Hardtanh: HardTanhD,
}


def exact(module: nn.Sequential) -> ExactNetwork:
    """Return ``module`` in integers, on the CPU.

    Parameters
    ----------
    module
        Trained: InputLevels, then weighted layers, residuals and average pools, each followed by a
        batch-norm if wanted and an activation, with lookups, max-pools, flattening and dropout
        between; at the end a weighted layer or a ClassSum, perhaps flattening and perhaps a Scale.
        It is put into evaluation mode.

    Returns
    -------
    ExactNetwork
        Takes features, shape (samples, *feature shape), and gives accumulators, float64 integers,
        shape (samples, outputs).

    Raises
    ------
    UserError
        If the module has another form, a layer has no codebook, a pruned weight no centre that is
        0, something is not discretized, or a sum may leave the integers of 32 bits.
    """
    layers = list(module.eval())
    first = layers.pop(0) if layers else None
    if not isinstance(first, InputLevels) or first.continuous:
        raise UserError("A network to be lowered must begin with InputLevels that have levels.")
    factor = 1.0
    if layers and isinstance(last := layers[-1], Scale):
        factor = float(last.logarithm.detach().exp())  # positive: it leaves the arg-max as it is
        layers.pop()
    if layers and isinstance(layers[-1], nn.Flatten):
        layers.pop()  # an ExactNetwork flattens its outputs
    inputs = ExactInput(first.thresholds.detach().cpu().clone(), first.encoding)
    source = Levels(list(range(first.levels_out)), 1 / (first.levels_out - 1))
    converted, end = _converted(layers, source)
    if not isinstance(end, Sums) or not isinstance(layers[-1], Weighted | ClassSum):
        raise UserError(
            "A network to be lowered must end with a weighted layer, and perhaps a Scale after it: "
            "a batch-norm with a scale for each class would not leave the arg-max as it is."
        )
    return ExactNetwork([inputs, *converted], end.unit * factor).eval()


def _pools_last(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Return ``layers`` with each max-pool behind the activation that follows it.

    The greatest sum has the greatest level, so both orders give the same levels.
    """
    ordered = list(layers)
    for number in reversed(range(len(ordered) - 1)):
        layer, following = ordered[number : number + 2]
        if isinstance(layer, _MAX_POOLS) and isinstance(following, Activation):
            ordered[number : number + 2] = [following, layer]
    return ordered


def _converted(
    layers: Iterable[nn.Module], source: Levels
) -> tuple[list[nn.Module], Levels | Sums]:
    """Return ``layers`` in integers, and what leaves them."""
    result: list[nn.Module] = []
    state: Levels | Sums = source
    remaining = _pools_last(layers)
    while remaining:
        layer = remaining.pop(0)
        if isinstance(layer, nn.Flatten):
            if (layer.start_dim, layer.end_dim) != (1, -1):
                raise UserError(
                    "Flattening to be lowered must flatten all but the samples: write nn.Flatten()."
                )
            result.append(nn.Flatten())
        elif isinstance(layer, nn.Dropout):
            continue  # absent when training is over
        elif isinstance(layer, Activation):
            levels, state = _activated(layer, None, _expect(Sums, state, layer))
            result.append(levels)
        elif isinstance(layer, _BATCH_NORMS):
            activation = remaining.pop(0) if remaining else None
            if not isinstance(activation, Activation):
                raise UserError("A batch-norm to be lowered must be followed by an activation.")
            levels, state = _activated(activation, layer, _expect(Sums, state, layer))
            result.append(levels)
        elif isinstance(layer, _MAX_POOLS):
            _expect(Levels, state, layer)
            result.append(_checked_pool(layer))
        elif isinstance(layer, _AVERAGE_POOLS):
            sums, state = average(layer, _expect(Levels, state, layer))
            result.append(sums)
        elif isinstance(layer, Residual):
            both, state = _residual(layer, _expect(Levels, state, layer))
            result.append(both)
        elif isinstance(layer, Lookup):
            tables, state = _lookup(layer, _expect(Levels, state, layer))
            result.append(tables)
        elif isinstance(layer, ClassSum):
            sums, state = class_sum(layer, _expect(Levels, state, layer))
            result.append(sums)
        elif isinstance(layer, Weighted):
            # Behind a batch-norm each neuron has thresholds of its own, which absorb its bias.
            absorbed = bool(remaining) and isinstance(remaining[0], _BATCH_NORMS)
            levels_in = _expect(Levels, state, layer)
            sums, state = weighted(layer, levels_in, keeps_bias=not absorbed)
            result.append(sums)
        else:
            raise _refusal(layer)
    return result, state


def _refusal(layer: nn.Module) -> UserError:
    name = type(layer).__name__
    if own := _OWN.get(type(layer)):
        return UserError(
            f"PyTorch's {name} cannot be lowered: replace it by {own.__name__} of nomul.train."
        )
    return UserError(
        f"{name} cannot be lowered between InputLevels and a last Scale: use the layers and "
        "activations of nomul.train there."
    )


S = TypeVar("S", Levels, Sums)


def _expect(kind: type[S], state: Levels | Sums, layer: nn.Module) -> S:
    if not isinstance(state, kind):
        needed = "levels, so an activation" if kind is Levels else "sums, so a weighted layer"
        raise UserError(f"{type(layer).__name__} works on {needed} must come before it.")
    return state


def _checked_pool(layer: nn.MaxPool1d | nn.MaxPool2d) -> nn.Module:
    if layer.ceil_mode or layer.dilation not in (1, (1,), (1, 1)) or layer.return_indices:
        raise UserError(
            "A max-pool to be lowered must have no ceil_mode, no dilation and no return_indices."
        )
    return layer


def _lookup(layer: Lookup, source: Levels) -> tuple[ExactLookup, Levels]:
    greatest = layer.levels_in - 1
    is_known = source.level_value == list(range(layer.levels_in))
    if not is_known or not math.isclose(source.unit * greatest, 1.0):
        raise UserError(
            f"A Lookup of levels_in = {layer.levels_in} to be lowered must meet levels k = 0 to "
            f"{greatest} that stand for k / {greatest}: put it behind InputLevels or another "
            "Lookup, and give it their levels_out."
        )
    address_bit, tables = layer.address_bits().cpu(), layer.tables().cpu().double()
    exact_lookup = ExactLookup(layer.levels_in, layer.levels_out, address_bit, tables)
    return exact_lookup, Levels([0, 1], 1.0)


def _residual(layer: Residual, source: Levels) -> tuple[ExactResidual, Sums]:
    modules = list(layer.body)
    last = modules.pop() if modules else None
    if not isinstance(last, Weighted):
        raise UserError(
            "A residual's body to be lowered must end with a weighted layer, without activation."
        )
    hidden, state = _converted(modules, source)
    levels = _expect(Levels, state, last)
    last_sums, shortcut, sums = residual(last, levels, layer.shortcut, source)
    return ExactResidual(nn.Sequential(*hidden, last_sums), shortcut), sums


def _activated(
    activation: Activation, norm: nn.Module | None, sums: Sums
) -> tuple[ExactLevels, Levels]:
    """Return the integer thresholds of an activation, perhaps behind a batch-norm."""
    if activation.levels is None:
        raise UserError("A continuous activation cannot be lowered: give it levels.")
    boundaries = np.array([activation.boundaries()])
    if norm is not None:
        boundaries = _before_batch_norm(boundaries, norm) - sums.bias
    reach = sums.reach + 1
    thresholds = np.clip(np.ceil(boundaries / sums.unit), -reach, reach)
    source = Levels(activation.integer_level_values(), activation.integer_unit)
    return ExactLevels(float64(thresholds), float64(source.level_value)), source


def _before_batch_norm(boundaries: NDArray[np.float64], norm: nn.Module) -> NDArray[np.float64]:
    """Return where, for each neuron, the batch-norm's input meets ``boundaries`` of its output."""
    assert isinstance(norm, _BATCH_NORMS)
    if norm.running_mean is None or norm.running_var is None or not norm.affine:
        raise UserError("A batch-norm to be lowered must be affine and track running statistics.")
    mean, variance, scale, shift = (
        tensor.detach().cpu().double().numpy()[:, None]
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    if (scale <= 0).any():
        raise UserError("A batch-norm has a scale that is not positive: keep it so in training.")
    before: NDArray[np.float64] = (boundaries - shift) / scale * np.sqrt(variance + norm.eps) + mean
    return before
