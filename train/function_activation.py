"""Activations that a user gives by their function and its derivative."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nomul.network.errors import UserError
from nomul.train.rounded import Activation

__all__ = ["FunctionD"]


class FunctionD(Activation):
    """Any bounded, non-decreasing function, rounded to ``levels`` values of its range.

    Parameters
    ----------
    function, derivative
        Elementwise, on tensors of float32 and float64.
    least, greatest
        The range of the function: what it never leaves, and should come near to.
    levels
        |A|, 2 to 256; None for the function itself.

    Raises
    ------
    UserError
        If the function falls, leaves its range or is not a number, as tried from -64 to 64 in
        steps of 1/64.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        derivative: Callable[[Tensor], Tensor],
        least: float,
        greatest: float,
        levels: int | None = 32,
    ) -> None:
        if not -math.inf < least < greatest < math.inf:
            raise UserError(
                f"An activation's range must be finite and rise, not from {least} to {greatest}."
            )
        super().__init__(least, greatest, levels)
        self.function = function
        self.derivative = derivative
        self._check()

    def underlying(self, x: Tensor) -> Tensor:
        # In the last bit a function may leave its range. The result has memory of its own.
        return torch.clamp(self.function(x), self.least, self.greatest)

    def backward_of_underlying(self, gradient: Tensor, saved: Tensor) -> Tensor:
        return gradient * self.derivative(saved)

    def inverse(self, y: float) -> float:
        """Return the least float64 at which the function is ``y`` or more, by bisection.

        Infinite where the function, tried up to 2**64, never is, or always is.
        """

        def reached(x: float) -> bool:
            return float(self.function(torch.tensor(x, dtype=torch.float64))) >= y

        below, above = -1.0, 1.0
        while reached(below):
            below *= 2
            if below < -(2.0**64):
                return -math.inf
        while not reached(above):
            above *= 2
            if above > 2.0**64:
                return math.inf
        while below < (middle := (below + above) / 2) < above:
            if reached(middle):
                above = middle
            else:
                below = middle
        return above

    def _check(self) -> None:
        x = torch.arange(-64 * 64, 64 * 64 + 1, dtype=torch.float64) / 64
        y, slope = self.function(x), self.derivative(x)
        slack = 1e-9 * (self.greatest - self.least)
        refusals = (
            (~(y.isfinite() & slope.isfinite()), "it or its derivative is not a finite number"),
            ((y < self.least - slack) | (y > self.greatest + slack), "it leaves its range"),
            ((y - y.cummax(0).values < -slack) | (slope < 0), "it falls"),
        )
        for wrong, what in refusals:
            if wrong.any():
                raise UserError(
                    "An activation must be a function that never falls and stays between "
                    f"{self.least} and {self.greatest}, but at {x[wrong][0]} {what}."
                )
