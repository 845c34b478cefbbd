"""The layers of a network in training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nomul.train.codebook import Codebook

__all__ = ["Dense", "InputLevels", "Scale"]


class InputLevels(nn.Module):
    """Real features as level values from 0 to 1; without levels, scaled to that range.

    Level k = 0..L-1 stands for k / (L - 1), and thresholds lie half-way between, uniform from
    ``least`` to ``greatest``.

    Shape
    -----
    (samples, features) to the same, float32.
    """

    thresholds: Tensor

    def __init__(self, least: float, greatest: float, levels: int | None) -> None:
        super().__init__()
        assert least < greatest, "features need a range"
        self.least = least
        self.greatest = greatest
        self.levels = levels
        count = 0 if levels is None else levels - 1
        places = (torch.arange(count, dtype=torch.float64) + 0.5) / max(count, 1)
        self.register_buffer("thresholds", least + places * (greatest - least))

    def forward(self, features: Tensor) -> Tensor:
        if self.levels is None:
            return ((features - self.least) / (self.greatest - self.least)).float()
        level = torch.bucketize(features.double(), self.thresholds, right=True)
        return level.float() / (self.levels - 1)

    def extra_repr(self) -> str:
        return f"{self.least}..{self.greatest}, levels={self.levels}"


class Dense(nn.Linear):
    """A linear layer whose weights can be limited in number and tied to a codebook.

    Attributes
    ----------
    mask
        float32, the weights' shape: 1 where an input is used, 0 where it was pruned.
    codebook
        What the forward pass takes its weights from; None before it is fixed. The gradient goes
        straight through to the weights beneath.
    """

    mask: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.register_buffer("mask", torch.ones_like(self.weight))
        self.codebook: Codebook | None = None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.codebook is not None:
            weight = self._nearest_centres() + (weight - weight.detach())
        return functional.linear(x, weight * self.mask, self.bias)

    def fix_codebook(self, codebook: Codebook) -> None:
        """Use ``codebook`` in the forward pass from now on."""
        self.codebook = codebook
        centres = torch.from_numpy(codebook.centres)
        self._centres = centres.float()
        self._middles = ((centres[1:] + centres[:-1]) / 2).float()

    @torch.no_grad()
    def cluster(self, codebook: Codebook) -> None:
        """Replace every used weight by its nearest centre, every pruned one by 0."""
        centres = codebook.centres[codebook.nearest(self.weight.double().numpy())]
        self.weight.copy_(torch.from_numpy(centres).float() * self.mask)

    def used_weights(self) -> NDArray[np.float64]:
        """Return the weights that were not pruned, float64, one-dimensional."""
        weights: NDArray[np.float64] = self.weight.detach()[self.mask > 0].double().numpy()
        return weights

    def _nearest_centres(self) -> Tensor:
        return self._centres[torch.bucketize(self.weight.detach(), self._middles, right=True)]

    def extra_repr(self) -> str:
        size = "free" if self.codebook is None else f"{len(self.codebook.integers)} centres"
        return f"{super().extra_repr()}, weights: {size}"


class Scale(nn.Module):
    """One positive factor for a whole layer: it leaves an arg-max as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.logarithm.exp()
