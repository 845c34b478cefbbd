"""The activations that an experiment can name; :class:`FunctionD` takes any other function."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nomul.network.errors import UserError
from nomul.train.function_activation import FunctionD
from nomul.train.rounded import Activation

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "FunctionD",
    "HardTanhD",
    "ReluD",
    "SigmoidD",
    "SignD",
    "TanhD",
]


class TanhD(Activation):
    """tanhD(L): tanh, rounded to L values from -1 to 1; TanhD(2) is the sign."""

    slope_is_of_output = True

    def __init__(self, levels: int | None = 32) -> None:
        super().__init__(-1.0, 1.0, levels)

    def underlying(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def backward_of_underlying(self, gradient: Tensor, saved: Tensor) -> Tensor:
        passed: Tensor = torch.ops.aten.tanh_backward(gradient, saved)
        return passed

    def inverse(self, y: float) -> float:
        return math.atanh(y)


class SigmoidD(Activation):
    """sigmoidD(L): the logistic function, rounded to L values from 0 to 1."""

    slope_is_of_output = True

    def __init__(self, levels: int | None = 32) -> None:
        super().__init__(0.0, 1.0, levels)

    def underlying(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def backward_of_underlying(self, gradient: Tensor, saved: Tensor) -> Tensor:
        passed: Tensor = torch.ops.aten.sigmoid_backward(gradient, saved)
        return passed

    def inverse(self, y: float) -> float:
        return math.log(y) - math.log1p(-y)


class HardTanhD(Activation):
    """hard-tanhD(L): its input between -1 and 1, rounded to L values; slope 1 in between.

    Parameters
    ----------
    levels
        |A|, 2 to 256; None for the function itself.
    least, greatest
        Another range than from -1 to 1.
    """

    def __init__(self, levels: int | None = 32, least: float = -1.0, greatest: float = 1.0) -> None:
        super().__init__(least, greatest, levels)

    def underlying(self, x: Tensor) -> Tensor:
        return torch.clamp(x, self.least, self.greatest)

    def backward_of_underlying(self, gradient: Tensor, saved: Tensor) -> Tensor:
        passed: Tensor = torch.ops.aten.hardtanh_backward(
            gradient, saved, self.least, self.greatest
        )
        return passed

    def inverse(self, y: float) -> float:
        return y


class ReluD(HardTanhD):
    """reluD(L): ReLU with a ceiling, rounded to L values from 0 to the ceiling (ReLU6D)."""

    def __init__(self, levels: int | None = 32, ceiling: float = 6.0) -> None:
        if not 0.0 < ceiling < math.inf:
            raise UserError(
                f"A ReLU that is to have levels needs a finite ceiling above 0, not {ceiling}: "
                "6 is usual."
            )
        super().__init__(levels, 0.0, ceiling)
        self.ceiling = ceiling


class SignD(HardTanhD):
    """sign: -1 below 0 and +1 from 0 on; backward, the slope of hard-tanh.

    Courbariaux et al. 2016, "Binarized Neural Networks", section 1.3.

    Parameters
    ----------
    levels
        2; None for hard-tanh itself.
    """

    def __init__(self, levels: int | None = 2) -> None:
        if levels not in (2, None):
            raise UserError(
                f"sign takes 2 levels, not {levels}: give it 2, or choose hardtanhd, which takes "
                "any number."
            )
        super().__init__(levels)

    def rounded(self, y: Tensor) -> Tensor:
        return y.ge_(0.0).mul_(2.0).sub_(1.0)  # exact also where 1 + y would be 1


ACTIVATIONS: dict[str, Callable[[int | None], Activation]] = {
    "tanhd": TanhD,
    "relud": ReluD,
    "sign": SignD,
    "hardtanhd": HardTanhD,
    "sigmoidd": SigmoidD,
}
"""Activations by the name that an experiment gives them; each takes |A|, or None."""
