"""What all layers with weights have in common: a mask of used weights and a codebook."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nomul.train.codebook import Codebook

__all__ = ["Weighted", "weighted_layers"]


class Weighted(nn.Module):
    """A layer whose weights can be limited in number and tied to a codebook.

    Attributes
    ----------
    mask
        float32, the weights' shape: 1 where an input is used, 0 where it was pruned.
    codebook
        What the forward pass takes its weights from; None before it is fixed. The gradient goes
        straight through to the weights beneath.
    clusters_bias
        Whether the biases are tied to the codebook too.
    """

    weight: Tensor
    bias: Any  # Tensor | None, which PyTorch's classes declare each in its own way
    mask: Tensor
    codebook: Codebook | None
    clusters_bias: bool
    _centres: Tensor  # of the fixed codebook; buffers, so that they go where the weights go
    _middles: Tensor

    def _prepare(self) -> None:
        self.register_buffer("mask", torch.ones_like(self.weight))
        self.register_buffer("_centres", None, persistent=False)
        self.register_buffer("_middles", None, persistent=False)
        self.codebook = None
        self.clusters_bias = False

    def combine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the sums of the inputs times ``weight``, plus ``bias``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if self.codebook is not None:
            weight = self._straight_through(weight)
            if bias is not None and self.clusters_bias:
                bias = self._straight_through(bias)
        return self.combine(x, weight * self.mask, bias)

    def fix_codebook(self, codebook: Codebook) -> None:
        """Use ``codebook`` in the forward pass from now on."""
        self.codebook = codebook
        self._centres, self._middles = self._tensors(codebook)

    @torch.no_grad()
    def cluster(self, codebook: Codebook) -> None:
        """Replace every used weight by its nearest centre, every pruned one by 0."""
        centres, middles = self._tensors(codebook)
        self.weight.copy_(centres[_nearest(self.weight, middles)] * self.mask)
        if self.bias is not None and self.clusters_bias:
            self.bias.copy_(centres[_nearest(self.bias, middles)])

    @torch.no_grad()
    def centre_numbers(self, values: Tensor) -> Tensor:
        """Return which centre of the fixed codebook the forward pass has for each of ``values``.

        int64, in their shape. Half-way between two centres it is the greater.
        """
        return _nearest(values, self._middles)

    def used_weights(self) -> NDArray[np.float32]:
        """Return what the codebook is made for, float32, one-dimensional.

        The weights that were not pruned, and after them the biases if they are tied to it.
        """
        used = [self.weight.detach()[self.mask > 0]]
        if self.bias is not None and self.clusters_bias:
            used.append(self.bias.detach())
        weights: NDArray[np.float32] = torch.cat(used).cpu().numpy()
        return weights

    def by_neuron(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the weights' shape as one row for each neuron or channel out."""
        return tensor.flatten(1)

    def from_neurons(self, rows: Tensor) -> Tensor:
        """Undo :meth:`by_neuron`."""
        return rows.view_as(self.weight)

    def input_importance(self, spread: Tensor) -> Tensor:
        """Return ``spread``, one number for each input or channel, in a shape like the weights'."""
        return spread

    def get_extra_state(self) -> Tensor:
        """Return the fixed codebook, step first, for the state dict; empty if there is none."""
        if self.codebook is None:
            return torch.zeros(0, dtype=torch.float64)
        step = torch.tensor([self.codebook.step], dtype=torch.float64)
        return torch.cat([step, torch.from_numpy(self.codebook.integers).double()])

    def set_extra_state(self, state: Tensor) -> None:
        """Fix the codebook that :meth:`get_extra_state` gave, or none."""
        self.codebook = None
        if len(state):
            self.fix_codebook(Codebook(float(state[0]), state[1:].cpu().numpy().astype(np.int64)))

    def _straight_through(self, values: Tensor) -> Tensor:
        nearest = self._centres[self.centre_numbers(values)]
        return nearest + (values - values.detach())

    def _tensors(self, codebook: Codebook) -> tuple[Tensor, Tensor]:
        """Return centres and the middles between them, where the weights are."""
        centres = torch.from_numpy(codebook.centres)
        middles = (centres[1:] + centres[:-1]) / 2
        device = self.weight.device
        return centres.float().to(device), middles.float().to(device)

    def extra_repr(self) -> str:
        size = "free" if self.codebook is None else f"{len(self.codebook.integers)} centres"
        return f"{super().extra_repr()}, weights: {size}"


def weighted_layers(module: nn.Module) -> list[Weighted]:
    """Return the layers of ``module`` that have weights, in order."""
    return [layer for layer in module.modules() if isinstance(layer, Weighted)]


def _nearest(values: Tensor, middles: Tensor) -> Tensor:
    # Convolutions' weights may lie in another order, which bucketize would warn about.
    return torch.bucketize(values.contiguous(), middles, right=True)
