"""Activations that take |A| levels, uniform in output space (Baluja et al. 2018, section 2).

Forward, the underlying function's value is rounded to the nearest level value; backward, its own
derivative passes, as if nothing had been rounded. Without levels the same module is the
underlying function.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["Activation", "ReluD", "TanhD"]


class Activation(nn.Module):
    """A bounded, non-decreasing function, rounded to ``levels`` values of its range.

    Parameters
    ----------
    least, greatest
        The range of the function; both are level values.
    levels
        |A|, at least 2; None for the function itself.

    Shape
    -----
    Any; the output has the input's.
    """

    def __init__(self, least: float, greatest: float, levels: int | None) -> None:
        super().__init__()
        assert levels is None or levels >= 2, "an activation takes two levels at least"
        self.least = least
        self.greatest = greatest
        self.levels = levels

    @abstractmethod
    def underlying(self, x: Tensor) -> Tensor:
        """Return the continuous function."""

    @abstractmethod
    def inverse(self, y: float) -> float:
        """Return where the continuous function, on the way up, reaches ``y``."""

    @property
    def step(self) -> float:
        """Distance of two level values."""
        assert self.levels is not None, "a continuous activation has no step"
        return (self.greatest - self.least) / (self.levels - 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.underlying(x)
        if self.levels is None:
            return y
        rounded = torch.floor((y - self.least) / self.step + 0.5) * self.step + self.least
        # Straight through: the rounded value forward, to the bit, and the gradient of y backward.
        return rounded.detach() + (y - y.detach())

    def boundaries(self) -> list[float]:
        """Return the inputs at which the level rises, in increasing order, |A| - 1 of them."""
        assert self.levels is not None, "a continuous activation has no boundaries"
        return [
            self.inverse(self.least + (number - 0.5) * self.step)
            for number in range(1, self.levels)
        ]

    @abstractmethod
    def integer_level_values(self) -> list[int]:
        """Return the level values in units of :attr:`integer_unit`."""

    @property
    @abstractmethod
    def integer_unit(self) -> float:
        """What 1 among the integer level values stands for."""

    def extra_repr(self) -> str:
        return f"levels={self.levels}"


class TanhD(Activation):
    """tanhD(L): tanh, rounded to L values from -1 to 1; TanhD(2) is the sign."""

    def __init__(self, levels: int | None = 32) -> None:
        super().__init__(-1.0, 1.0, levels)

    def underlying(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def inverse(self, y: float) -> float:
        return math.atanh(y)

    def integer_level_values(self) -> list[int]:
        assert self.levels is not None, "a continuous activation has no level values"
        double = [2 * number - (self.levels - 1) for number in range(self.levels)]
        return [value // 2 for value in double] if self.levels % 2 else double

    @property
    def integer_unit(self) -> float:
        return self.step if self.levels and self.levels % 2 else self.step / 2


class ReluD(Activation):
    """reluD(L): ReLU with a ceiling, rounded to L values from 0 to the ceiling."""

    def __init__(self, levels: int | None = 32, ceiling: float = 6.0) -> None:
        super().__init__(0.0, ceiling, levels)
        self.ceiling = ceiling

    def underlying(self, x: Tensor) -> Tensor:
        return torch.clamp(x, 0.0, self.ceiling)

    def inverse(self, y: float) -> float:
        return y

    def integer_level_values(self) -> list[int]:
        assert self.levels is not None, "a continuous activation has no level values"
        return list(range(self.levels))

    @property
    def integer_unit(self) -> float:
        return self.step
