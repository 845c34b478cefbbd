"""Pruning by magnitude, to a fan-in or to a total cost: what is zero costs no hardware."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nomul.train.layers import ConvTranspose2d, Weighted, weighted_layers

__all__ = ["least_operand_bits", "operand_bits", "prune", "prune_to_cost"]


@torch.no_grad()
def prune(module: nn.Sequential, fan_in: tuple[int, ...], features: Tensor) -> None:
    """Keep the ``fan_in`` most important inputs of every neuron, layer by layer.

    A weight's importance is its magnitude times the standard deviation of its input over
    ``features``: what the neuron's sum would lose of its variance. Pruned weights stay pruned. A
    convolution's channel is one neuron, whose inputs are the weights of its kernel.

    Parameters
    ----------
    fan_in
        Inputs to keep, one number for each weighted layer.
    features
        Shape (samples, *feature shape), as the module takes them.
    """
    layers = weighted_layers(module)
    wanted = dict(zip(layers, fan_in, strict=True))

    def keep_most_important(layer: Weighted, x: Tensor, _: Tensor) -> None:
        importance = layer.by_neuron(_importance(layer, x))
        n_kept = min(wanted[layer], importance.shape[1])
        kept = importance.topk(n_kept, dim=1).indices
        rows = torch.zeros_like(importance).scatter(1, kept, 1.0)
        _apply_mask(layer, layer.from_neurons(rows))

    for layer in layers:  # one after the other: each sees what the pruned ones before it give
        with _watched(module, [layer], keep_most_important):
            module(features)


@torch.no_grad()
def prune_to_cost(module: nn.Sequential, operand_bits_max: int, features: Tensor) -> None:
    """Keep the weights of most importance for their cost, of all layers together.

    A weight's importance is here its share of the variance of its neuron's sum, over
    ``features``; its cost as in :func:`operand_bits`. Pruned weights stay pruned.

    Parameters
    ----------
    operand_bits_max
        The sum of the kept weights' costs, at most.
    features
        Shape (samples, *feature shape), as the module takes them.
    """
    found: list[tuple[Weighted, Tensor, int]] = []

    def look(layer: Weighted, x: Tensor, y: Tensor) -> None:
        variance = layer.by_neuron(_importance(layer, x).square())
        share = variance / variance.sum(dim=1, keepdim=True).clamp_min(1e-30)
        found.append((layer, layer.from_neurons(share), _cost(layer, x, y)))

    with _watched(module, weighted_layers(module), look):
        module(features)
    worth = torch.cat([(share / cost).flatten() for _, share, cost in found])
    costs = torch.cat(
        [torch.full_like(share, cost, dtype=torch.int64).flatten() for _, share, cost in found]
    )
    order = worth.argsort(descending=True, stable=True)
    affordable = costs[order].cumsum(0) <= operand_bits_max
    kept = torch.zeros_like(worth)
    kept[order[affordable]] = 1.0
    for layer, share, _ in found:
        _apply_mask(layer, kept[: share.numel()].view_as(share))
        kept = kept[share.numel() :]


@torch.no_grad()
def operand_bits(module: nn.Sequential, features: Tensor) -> int:
    """Return the bits of all operands that all sums of one sample add.

    A weight that was not pruned is an operand as wide as the levels it meets, and as often as
    there are positions where a convolution uses it. In unrolled hardware that is what adders cost.
    """
    total = 0

    def count(layer: Weighted, x: Tensor, y: Tensor) -> None:
        nonlocal total
        total += int(layer.mask.sum()) * _cost(layer, x, y)

    with _watched(module, weighted_layers(module), count):
        module(features)
    return total


@torch.no_grad()
def least_operand_bits(module: nn.Sequential, features: Tensor) -> int:
    """Return what :func:`operand_bits` is at least while every layer has a weight.

    That is one weight in each layer, an operand of one bit wherever it is used.
    """
    total = 0

    def count(layer: Weighted, x: Tensor, y: Tensor) -> None:
        nonlocal total
        total += _uses(layer, x, y)

    with _watched(module, weighted_layers(module), count):
        module(features)
    return total


def _importance(layer: Weighted, x: Tensor) -> Tensor:
    axes = [0, *range(2, x.ndim)]
    spread = x.std(dim=axes)
    return (layer.weight * layer.mask).abs() * layer.input_importance(spread)


def _cost(layer: Weighted, x: Tensor, y: Tensor) -> int:
    n_levels = max(2, len(torch.unique(x)))
    return (n_levels - 1).bit_length() * _uses(layer, x, y)


def _uses(layer: Weighted, x: Tensor, y: Tensor) -> int:
    """Return at how many positions of one sample each of the layer's weights is used."""
    positions = x if isinstance(layer, ConvTranspose2d) else y
    return math.prod(positions.shape[2:])


def _apply_mask(layer: Weighted, mask: Tensor) -> None:
    # What was pruned before has importance 0 and may be picked again: it stays pruned.
    layer.mask.copy_(mask * layer.mask)
    layer.weight.mul_(layer.mask)


@contextmanager
def _watched(
    module: nn.Module, layers: list[Weighted], look: Callable[[Weighted, Tensor, Tensor], None]
) -> Iterator[None]:
    """Call ``look`` with each of ``layers``, its input and its output when the module runs.

    The module is in evaluation mode meanwhile.
    """

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, Weighted)
        look(layer, inputs[0], output)

    was_training = module.training
    module.eval()
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        module.train(was_training)
