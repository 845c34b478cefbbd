"""What all activations that take |A| levels share: rounding, its gradient and its integers.

Levels are uniform in output space (Baluja et al. 2018, section 2). Forward, the underlying
function's value is rounded to the nearest level value; backward, its own derivative passes, as if
nothing had been rounded. Without levels the same module is the underlying function.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nomul.network.errors import UserError

__all__ = ["LEVELS_MAX", "Activation"]

LEVELS_MAX = 256
"""A level is a byte in the network file's tables and in hardware."""

UNIT_PARTS_MAX = 128
"""The finest unit of integer level values, as a part of their step."""


class _Rounded(torch.autograd.Function):
    """A rounded activation, straight through.

    Forward: ``least + k * step`` with ``k = floor((f(x) - least) / step + 1/2)``, f the underlying
    function. Backward: the gradient times f'(x), as if f(x) had not been rounded.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Activation) -> Tensor:
        ctx.activation = activation
        # Half precision cannot tell 256 levels apart while it rounds to them.
        full = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        y = activation.underlying(full)
        ctx.save_for_backward(y if activation.slope_is_of_output else x)
        if activation.levels is not None:
            y = activation.rounded(y)
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (saved,) = ctx.saved_tensors
        passed = ctx.activation.backward_of_underlying(gradient.to(saved.dtype), saved)
        return passed.to(gradient.dtype), None


class Activation(nn.Module):
    """A bounded, non-decreasing function, rounded to ``levels`` values of its range.

    Parameters
    ----------
    least, greatest
        The range of the function; both are level values.
    levels
        |A|, 2 to 256; None for the function itself.

    Shape
    -----
    Any; the output has the input's shape and dtype. Half precision is computed in float32 and
    rounded at the end.

    Raises
    ------
    UserError
        If there are other numbers of levels.
    """

    slope_is_of_output: ClassVar[bool] = False
    """Whether the derivative is computed from the function's value rather than from its input."""

    def __init__(self, least: float, greatest: float, levels: int | None) -> None:
        super().__init__()
        if levels is not None and not 2 <= levels <= LEVELS_MAX:
            raise UserError(
                f"An activation takes 2 to {LEVELS_MAX} levels, not {levels}: give it a number "
                "between, or None for the continuous function."
            )
        self.least = least
        self.greatest = greatest
        self.levels = levels

    @abstractmethod
    def underlying(self, x: Tensor) -> Tensor:
        """Return the continuous function, in memory of its own."""

    @abstractmethod
    def backward_of_underlying(self, gradient: Tensor, saved: Tensor) -> Tensor:
        """Return the gradient times the function's derivative.

        Parameters
        ----------
        saved
            The function's value if :attr:`slope_is_of_output`, otherwise its input.
        """

    @abstractmethod
    def inverse(self, y: float) -> float:
        """Return where the continuous function, on the way up, reaches ``y``."""

    @property
    def step(self) -> float:
        """Distance of two level values."""
        return (self.greatest - self.least) / self._n_steps

    @property
    def _n_steps(self) -> int:
        assert self.levels is not None, "a continuous activation has no step"
        return self.levels - 1

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Rounded.apply(x, self)  # type: ignore[no-untyped-call]
        return result

    def rounded(self, y: Tensor) -> Tensor:
        """Return the level value nearest to each of ``y``, half-way the greater.

        In float32 on a CPU a level value is the float nearest to ``least + k * step`` wherever
        float32 holds ``k * (greatest - least) + (levels - 1) * least``, as it does for all
        activations of :data:`nomul.train.activations.ACTIVATIONS`; elsewhere the last bit may be
        off.

        Parameters
        ----------
        y
            From least to greatest; overwritten unless :attr:`slope_is_of_output`.
        """
        # k = floor(a y + b), then least + k step as one quotient, which is rounded only once.
        a = self._n_steps / (self.greatest - self.least)
        b = 0.5 - self.least * a
        if self.slope_is_of_output:
            k = torch.rsub(y, b, alpha=-a)
        else:
            k = torch.add(torch.tensor(b, dtype=y.dtype), y, alpha=a, out=y)
        k.floor_().mul_(self.greatest - self.least)
        if self.least != 0.0:
            k.add_(self.least * self._n_steps)
        return k.div_(self._n_steps)

    def boundaries(self) -> list[float]:
        """Return the inputs at which the level rises, in increasing order, |A| - 1 of them."""
        return [
            self.inverse(self.least + (number - 0.5) * self.step)
            for number in range(1, self._n_steps + 1)
        ]

    def integer_level_values(self) -> list[int]:
        """Return the level values in units of :attr:`integer_unit`.

        Where no unit down to a 128th of a step divides both the step and ``least``, the integers
        are rounded: all level values move together, by a 256th of a step at most.
        """
        parts = self._parts_of_step()
        first = round(self.least / self.step * parts)
        return [first + number * parts for number in range(self._n_steps + 1)]

    @property
    def integer_unit(self) -> float:
        """What 1 among the integer level values stands for."""
        return self.step / self._parts_of_step()

    def _parts_of_step(self) -> int:
        """Return the least q for which ``least`` is an integer number of ``step / q``."""
        ratio = self.least / self.step
        for parts in range(1, UNIT_PARTS_MAX):
            if abs(ratio * parts - round(ratio * parts)) <= 1e-9:
                return parts
        return UNIT_PARTS_MAX

    def extra_repr(self) -> str:
        return f"levels={self.levels}"
