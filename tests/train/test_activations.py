"""Discretized activations against the formula they were published with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from torch import Tensor
from torch.nn import functional

from nomul.network.errors import UserError
from nomul.train.activations import (
    Activation,
    HardTanhD,
    ReluD,
    SigmoidD,
    SignD,
    TanhD,
)

KINDS: list[Callable[[int | None], Activation]] = [TanhD, ReluD]


LEVELS = [2, 3, 4, 5, 16, 31, 32, 255, 256]


def published(name: str, levels: int, x: float) -> float:
    """``floor((f(x) - g_min) / step + 1/2) * step + g_min``, in Python's floats."""
    if name == "TanhD":
        value, least, greatest = math.tanh(x), -1.0, 1.0
    else:
        value, least, greatest = min(max(x, 0.0), 6.0), 0.0, 6.0
    step = (greatest - least) / (levels - 1)
    return math.floor((value - least) / step + 0.5) * step + least


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", LEVELS)
def test_forward_is_the_published_formula(
    kind: Callable[[int | None], Activation], levels: int
) -> None:
    activation = kind(levels)
    x = torch.linspace(-8.0, 8.0, 2003, dtype=torch.float64)
    expected = [published(type(activation).__name__, levels, value) for value in x.tolist()]
    assert torch.allclose(activation(x), torch.tensor(expected).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", LEVELS)
def test_an_activation_takes_as_many_values_as_it_has_levels(
    kind: Callable[[int | None], Activation], levels: int
) -> None:
    activation = kind(levels)
    values = activation(torch.linspace(-8.0, 8.0, 100_001)).unique()
    assert len(values) == levels
    assert values[0] == activation.least
    assert values[-1] == activation.greatest


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", LEVELS)
def test_integer_level_values_times_their_unit_are_the_level_values(
    kind: Callable[[int | None], Activation], levels: int
) -> None:
    activation = kind(levels)
    integers = activation.integer_level_values()
    expected = [activation.least + number * activation.step for number in range(levels)]
    assert [value * activation.integer_unit for value in integers] == pytest.approx(expected)
    assert math.gcd(*integers) == 1, "no smaller integers have the same ratios"


def test_tanhd_of_two_levels_is_the_sign() -> None:
    x = torch.tensor([-9.0, -1e-3, 0.0, 1e-3, 9.0])
    assert TanhD(2)(x).tolist() == [-1.0, -1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("levels", range(3, 257, 2))
def test_tanhd_of_an_odd_number_of_levels_contains_zero(levels: int) -> None:
    assert 0 in TanhD(levels).integer_level_values()
    assert TanhD(levels)(torch.zeros(1)).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("levels", range(2, 257, 2))
def test_tanhd_of_an_even_number_of_levels_is_odd_integers(levels: int) -> None:
    assert TanhD(levels).integer_level_values() == list(range(1 - levels, levels, 2))


@pytest.mark.parametrize("levels", LEVELS)
def test_tanhd_boundaries_are_those_published(levels: int) -> None:
    expected = [math.atanh(-1 + (2 * k - 1) / (levels - 1)) for k in range(1, levels)]
    assert TanhD(levels).boundaries() == pytest.approx(expected)


def test_tanhd_of_32_levels_has_the_published_figures() -> None:
    boundaries = TanhD(32).boundaries()
    assert boundaries[0] == pytest.approx(-2.055, abs=5e-4)
    assert boundaries[-1] == pytest.approx(2.055, abs=5e-4)
    plateaus = [right - left for left, right in itertools.pairwise(boundaries)]
    assert min(plateaus) == pytest.approx(0.065, abs=5e-4)


@pytest.mark.parametrize("levels", LEVELS)
def test_relud_boundaries_lie_half_way(levels: int) -> None:
    step = 6 / (levels - 1)
    assert ReluD(levels).boundaries() == pytest.approx([(k - 0.5) * step for k in range(1, levels)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", [2, 3, 16, 32, 256])
def test_the_level_rises_at_each_boundary(
    kind: Callable[[int | None], Activation], levels: int
) -> None:
    activation = kind(levels)
    boundaries = torch.tensor(activation.boundaries(), dtype=torch.float64)
    rise = activation(boundaries + 1e-9) - activation(boundaries - 1e-9)
    assert rise.tolist() == pytest.approx([activation.step] * (levels - 1))


@pytest.mark.parametrize(
    ("activation", "slope"),
    [
        (TanhD(2), lambda x: 1 - math.tanh(x) ** 2),
        (TanhD(32), lambda x: 1 - math.tanh(x) ** 2),
        (TanhD(None), lambda x: 1 - math.tanh(x) ** 2),
        (ReluD(2), lambda x: float(0 < x < 6)),
        (ReluD(32), lambda x: float(0 < x < 6)),
        (ReluD(None), lambda x: float(0 < x < 6)),
        (ReluD(5, ceiling=1.5), lambda x: float(0 < x < 1.5)),
    ],
    ids=lambda value: repr(value) if isinstance(value, Activation) else "its slope",
)
def test_the_gradient_is_that_of_the_underlying_function(
    activation: Activation, slope: Callable[[float], float]
) -> None:
    x = torch.linspace(-8.0, 8.0, 400, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(activation(x).sum(), x)
    assert gradient.tolist() == pytest.approx([slope(value) for value in x.tolist()])
    upper, lower = activation.underlying(x + 1e-6), activation.underlying(x - 1e-6)
    assert gradient.tolist() == pytest.approx(((upper - lower) / 2e-6).tolist(), abs=1e-6)


@pytest.mark.parametrize(("kind", "function"), [(TanhD, torch.tanh), (ReluD, functional.relu6)])
def test_without_levels_an_activation_is_its_function(
    kind: Callable[[int | None], Activation], function: Callable[[Tensor], Tensor]
) -> None:
    x = torch.linspace(-8.0, 8.0, 999)
    assert torch.equal(kind(None)(x), function(x))


@given(x=st.floats(-9, 9), y=st.floats(-9, 9), levels=st.integers(2, 256))
def test_an_activation_never_falls(x: float, y: float, levels: int) -> None:
    for activation in (TanhD(levels), ReluD(levels)):
        low, high = activation(torch.tensor(sorted((x, y)), dtype=torch.float64)).tolist()
        assert low <= high + 1e-12


def test_a_relud_of_another_ceiling_reaches_it() -> None:
    assert ReluD(3, ceiling=1.0)(torch.tensor([-1.0, 0.3, 0.8, 7.0])).tolist() == [0, 0.5, 1, 1]


def test_the_levels_are_shown() -> None:
    assert repr(TanhD(5)) == "TanhD(levels=5)"


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        pytest.param(TanhD(7), torch.tanh, id="tanhd"),
        pytest.param(SigmoidD(7), torch.sigmoid, id="sigmoidd"),
        pytest.param(ReluD(7), functional.relu6, id="relud"),
        pytest.param(HardTanhD(7), functional.hardtanh, id="hardtanhd"),
        pytest.param(SignD(), functional.hardtanh, id="sign"),
        pytest.param(SignD(None), functional.hardtanh, id="continuous-sign"),
        pytest.param(
            HardTanhD(7, -2.0, 0.5), lambda x: functional.hardtanh(x, -2.0, 0.5), id="bounds"
        ),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_pytorchs_own_function(
    activation: Activation, function: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    x = (3 * torch.randn(5, 40, dtype=dtype)).requires_grad_()
    gradient = torch.randn(5, 40, dtype=dtype)
    (found,) = torch.autograd.grad(activation(x), x, gradient)
    (expected,) = torch.autograd.grad(function(x), x, gradient)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_sign_knows_the_smallest_floats() -> None:
    x = torch.tensor([-1e-30, -0.0, 0.0, 1e-30, -7.0, 7.0])
    assert SignD()(x).tolist() == [-1.0, 1.0, 1.0, 1.0, -1.0, 1.0]
    assert SignD().boundaries() == [0.0]
    assert (SignD().integer_level_values(), SignD().integer_unit) == ([-1, 1], 1.0)


def test_boundaries_of_hard_tanh_lie_half_way() -> None:
    assert HardTanhD(5).boundaries() == [-0.75, -0.25, 0.25, 0.75]


@pytest.mark.parametrize("levels", LEVELS)
def test_boundaries_of_the_logistic_function_are_its_inverse(levels: int) -> None:
    expected = logit((np.arange(1, levels) - 0.5) / (levels - 1)).tolist()
    assert SigmoidD(levels).boundaries() == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert SigmoidD(levels).integer_level_values() == list(range(levels))


def _refusal(make: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        make()
    return str(caught.value)


def test_wrong_levels_and_ceilings_are_refused() -> None:
    assert _refusal(lambda: SignD(5)) == (
        "sign takes 2 levels, not 5: give it 2, or choose hardtanhd, which takes any number."
    )
    for levels in (1, 257):
        assert _refusal(lambda levels=levels: TanhD(levels)) == (  # type: ignore[misc]
            f"An activation takes 2 to 256 levels, not {levels}: give it a number between, or None "
            "for the continuous function."
        )
    assert _refusal(lambda: ReluD(4, ceiling=math.inf)) == (
        "A ReLU that is to have levels needs a finite ceiling above 0, not inf: 6 is usual."
    )
