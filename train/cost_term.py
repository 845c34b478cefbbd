"""What the weights will cost as hardware, in a form that training can lower."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nomul.train.weighted import Weighted

__all__ = ["weight_bits"]


def weight_bits(layers: Sequence[Weighted]) -> Tensor:
    """Return the bits of the weights that a neuron adds, in the mean over all neurons.

    A weight w of a layer counts for log2(1 + |w| / s), where s is the mean magnitude of the layer's
    used weights, taken as given: nothing at 0, and as many bits as the integer w / s where it is
    large. In a sum an operand is about as much wider than the level it comes from, and a weight of
    0 is no operand at all. The slope falls with the magnitude: small weights are drawn to 0 more
    strongly than large ones. As s falls with the weights, a layer gains nothing by scaling all of
    them down.

    Parameters
    ----------
    layers
        At least one. A convolution's channel is one neuron.

    Returns
    -------
    Tensor
        One number, 0 or greater, with a gradient for the weights that were not pruned.
    """
    n_neurons = sum(len(layer.by_neuron(layer.weight)) for layer in layers)
    return torch.stack([_bits(layer) for layer in layers]).sum() / n_neurons


def _bits(layer: Weighted) -> Tensor:
    magnitude = (layer.weight * layer.mask).abs()
    n_used = layer.mask.sum().clamp_min(1.0)
    unit = (magnitude.detach().sum() / n_used).clamp_min(torch.finfo(magnitude.dtype).tiny)
    return torch.log2(1 + magnitude / unit).sum()
