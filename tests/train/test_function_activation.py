"""Functions of the user's own: erf, whose inverse SciPy knows, and functions that are none."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.special import erfinv
from torch import Tensor

from nomul.network.errors import UserError
from nomul.train.function_activation import FunctionD


def erf_slope(x: Tensor) -> Tensor:
    return 2 / math.sqrt(math.pi) * torch.exp(-x * x)


@pytest.mark.parametrize("levels", [2, 3, 32, 256])
def test_boundaries_of_any_function_are_found_to_the_last_float(levels: int) -> None:
    activation = FunctionD(torch.erf, erf_slope, -1.0, 1.0, levels)
    heights = [activation.least + (k - 0.5) * activation.step for k in range(1, levels)]
    boundaries = activation.boundaries()
    assert boundaries == pytest.approx(erfinv(heights).tolist(), rel=1e-12, abs=1e-15)
    for x, height in zip(boundaries, heights, strict=True):
        below = math.nextafter(x, -math.inf)
        assert torch.erf(torch.tensor(x, dtype=torch.float64)) >= height
        assert torch.erf(torch.tensor(below, dtype=torch.float64)) < height


def test_a_level_that_a_function_never_reaches_has_an_infinite_boundary() -> None:
    activation = FunctionD(
        lambda x: 0.5 + 0.25 * torch.tanh(x), lambda x: 0.25 / torch.cosh(x) ** 2, 0.0, 1.0, 6
    )
    low, second, third, high, top = activation.boundaries()
    assert (low, top) == (-math.inf, math.inf)
    assert [second, third, high] == pytest.approx([math.atanh(y) for y in (-0.8, 0.0, 0.8)])


def _refusal(make: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    ("function", "slope", "sentence"),
    [
        (torch.cos, torch.ones_like, "at -62.8125 it falls"),
        (torch.exp, torch.exp, "at 0.015625 it leaves its range"),
        (torch.sigmoid, lambda x: -torch.sigmoid(x), "at -64.0 it falls"),
        (
            torch.sigmoid,
            lambda x: torch.full_like(x, math.nan),
            "at -64.0 it or its derivative is not a finite number",
        ),
    ],
)
def test_a_function_that_is_no_activation_is_refused(
    function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor], sentence: str
) -> None:
    least = -1.0 if function is torch.cos else 0.0
    assert _refusal(lambda: FunctionD(function, slope, least, 1.0)) == (
        "An activation must be a function that never falls and stays between "
        f"{least} and 1.0, but {sentence}."
    )


def test_a_wrong_range_is_refused() -> None:
    assert _refusal(lambda: FunctionD(torch.tanh, torch.ones_like, 1.0, -1.0)) == (
        "An activation's range must be finite and rise, not from 1.0 to -1.0."
    )


@pytest.mark.parametrize("levels", [2, 7, 256, None])
def test_forward_and_gradient_are_the_functions(levels: int | None) -> None:
    activation = FunctionD(torch.erf, erf_slope, -1.0, 1.0, levels)
    x = torch.linspace(-4.0, 4.0, 2999, dtype=torch.float64, requires_grad=True)
    y = activation(x)
    expected = torch.erf(x)
    half_step = activation.step / 2 if levels else 0.0
    assert ((y - expected).abs() <= half_step + 1e-12).all()
    if levels:
        assert len(y.unique()) == levels
    (found,) = torch.autograd.grad(y.sum(), x)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    assert torch.allclose(found, slope)
