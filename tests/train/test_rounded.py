"""Rounding to level values, their integers, and what half precision makes of them."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from nomul.train.activations import ACTIVATIONS, HardTanhD


@pytest.mark.parametrize("name", ["tanhd", "relud", "hardtanhd", "sigmoidd"])
def test_every_level_value_is_the_float_nearest_to_it(name: str) -> None:
    for levels in range(2, 257):
        activation = ACTIVATIONS[name](levels)
        least, span = Fraction(activation.least), Fraction(activation.greatest - activation.least)
        exact = [least + span * k / (levels - 1) for k in range(levels)]
        values = torch.tensor([float(value) for value in exact], dtype=torch.float64).float()
        assert torch.equal(activation.rounded(values.clone()), values), levels


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_input_is_left_as_it_is(name: str) -> None:
    x = torch.randn(100, requires_grad=True)
    before = x.detach().clone()
    ACTIVATIONS[name](2)(x).sum().backward()
    assert torch.equal(x.detach(), before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_half_precision_is_rounded_once(name: str) -> None:
    activation = ACTIVATIONS[name](2 if name == "sign" else 256)
    x = (2 * torch.randn(1000)).bfloat16()
    assert torch.equal(activation(x), activation(x.float()).bfloat16())
    layer = nn.Linear(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = activation(layer(torch.randn(5, 3)))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("least", "greatest", "levels", "integers", "parts"),
    [
        (-1.0, 2.0, 4, [-1, 0, 1, 2], 1),
        (-1.0, 0.5, 3, [-4, -1, 2], 3),
        (-0.25, 1.0, 2, [-1, 4], 5),
        (0.1, 0.6, 2, [1, 6], 5),
    ],
)
def test_a_range_has_the_coarsest_integers_that_hold_it(
    least: float, greatest: float, levels: int, integers: list[int], parts: int
) -> None:
    activation = HardTanhD(levels, least, greatest)
    assert activation.integer_level_values() == integers
    assert activation.integer_unit == pytest.approx(activation.step / parts)


def test_a_range_that_no_integers_hold_is_rounded_to_a_128th_of_a_step() -> None:
    activation = HardTanhD(3, -1.0, math.sqrt(2))
    integers = activation.integer_level_values()
    assert activation.integer_unit == activation.step / 128
    values = [integer * activation.integer_unit for integer in integers]
    expected = [-1.0, (math.sqrt(2) - 1) / 2, math.sqrt(2)]
    assert values == pytest.approx(expected, abs=activation.step / 256)
