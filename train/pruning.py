"""Pruning of every neuron to a fan-in: what is zero costs no hardware."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nomul.train.layers import Dense

__all__ = ["prune"]


@torch.no_grad()
def prune(module: nn.Sequential, fan_in: tuple[int, ...], features: Tensor) -> None:
    """Keep the ``fan_in`` most important inputs of every neuron, layer by layer.

    A weight's importance is its magnitude times the standard deviation of its input over
    ``features``: what the neuron's sum would lose of its variance. Pruned weights stay pruned.

    Parameters
    ----------
    fan_in
        Inputs to keep, one number for each dense layer.
    features
        Shape (samples, inputs), as the module takes them.
    """
    remaining = list(fan_in)
    was_training = module.training
    module.eval()
    x = features
    for layer in module:
        if isinstance(layer, Dense):
            importance = (layer.weight * layer.mask).abs() * x.std(dim=0)
            n_kept = min(remaining.pop(0), layer.in_features)
            kept = importance.topk(n_kept, dim=1).indices
            # What was pruned before has importance 0 and may be picked again: it stays pruned.
            layer.mask.copy_(torch.zeros_like(layer.mask).scatter(1, kept, 1.0) * layer.mask)
            layer.weight.mul_(layer.mask)
        x = layer(x)
    module.train(was_training)
