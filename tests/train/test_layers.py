"""The layers of a network in training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from nomul.train.layers import Conv1d, Conv2d, ConvTranspose2d, InputLevels, Residual, Scale


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_input_levels_are_the_nearest_of_uniform_values(levels: int) -> None:
    inputs = InputLevels.uniform(-1.0, 3.0, levels)
    features = torch.linspace(-2.0, 4.0, 997, dtype=torch.float64)[:, None]
    scaled = ((features + 1.0) / 4.0).clamp(0.0, 1.0) * (levels - 1)
    expected = torch.floor(scaled + 0.5) / (levels - 1)
    clear = ((scaled + 0.5) - (scaled + 0.5).round()).abs() > 1e-9
    assert clear.double().mean() > 0.9
    assert inputs(features)[clear].tolist() == pytest.approx(expected[clear].tolist())
    assert len(inputs.thresholds) == levels - 1
    assert inputs.thresholds.dtype == torch.float64
    assert (inputs.levels, inputs.levels_out) == (levels, levels)


def test_two_input_levels_meet_half_way() -> None:
    inputs = InputLevels.uniform(0.0, 1.0, 2)
    assert inputs.thresholds.tolist() == [0.5]
    assert inputs(torch.tensor([[-1.0, 0.49, 0.5, 2.0]])).tolist() == [[0.0, 0.0, 1.0, 1.0]]


def test_a_feature_on_a_threshold_reaches_it() -> None:
    inputs = InputLevels.uniform(0.0, 3.0, 4)
    below = torch.nextafter(inputs.thresholds, torch.full((3,), -1.0, dtype=torch.float64))
    assert (inputs(inputs.thresholds[None]) * 3).round().tolist() == [[1, 2, 3]]
    assert (inputs(below[None]) * 3).round().tolist() == [[0, 1, 2]]


def test_continuous_inputs_are_scaled_to_one() -> None:
    inputs = InputLevels.uniform(-1.0, 3.0, None)
    x = inputs(torch.tensor([[-1.0, 0.0, 3.0]], dtype=torch.float64))
    assert x.tolist() == [[0.0, 0.25, 1.0]]
    assert x.dtype == torch.float32
    assert torch.equal(x, inputs.scaled(torch.tensor([[-1.0, 0.0, 3.0]])))
    assert inputs.continuous


def test_thresholds_may_be_each_features_own() -> None:
    thresholds = np.array([[0.0, 1.0], [10.0, 20.0]])
    inputs = InputLevels(thresholds, np.array([-1.0, 0.0]), np.array([1.0, 32.0]))
    x = torch.tensor([[0.5, 0.5], [1.0, 10.0], [-1.0, 25.0]])
    assert inputs(x).tolist() == [[0.5, 0.0], [1.0, 0.5], [0.0, 1.0]]
    assert inputs.scaled(x).tolist() == [[0.75, 0.015625], [1.0, 0.3125], [0.0, 0.78125]]
    assert inputs.levels == 3


def test_thresholds_may_be_each_channels_own() -> None:
    thresholds = np.array([0.0, 5.0]).reshape(2, 1, 1)
    inputs = InputLevels(thresholds, np.zeros((2, 1)), np.ones((2, 1)))
    x = torch.tensor([[[-1.0, 2.0, 6.0], [-1.0, 2.0, 6.0]]])
    assert inputs(x).tolist() == [[[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]]


def test_a_thermometer_has_one_input_for_each_threshold() -> None:
    """Threshold j of channel c is input c * (L - 1) + j."""
    inputs = InputLevels(np.array([1.0, 2.0, 3.0]), 0.0, 4.0, encoding="thermometer")
    assert inputs(torch.tensor([[2.5, 0.0], [9.0, 1.0]])).tolist() == [
        [1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0, 1.0, 0.0, 0.0],
    ]
    assert (inputs.levels, inputs.levels_out) == (4, 2)
    picture = inputs(torch.tensor([[[[0.0, 1.0]], [[2.0, 3.0]]]]))  # two channels, one row
    assert picture.tolist() == [
        [[[0.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]], [[1.0, 1.0]], [[1.0, 1.0]], [[0.0, 1.0]]]
    ]
    assert picture.dtype == torch.float32


def test_a_thermometer_has_each_features_own_thresholds() -> None:
    thresholds = np.array([[1.0, 2.0], [10.0, 20.0]])
    inputs = InputLevels(thresholds, 0.0, 1.0, encoding="thermometer")
    assert inputs(torch.tensor([[1.5, 20.0]])).tolist() == [[1.0, 0.0, 1.0, 1.0]]


def test_a_continuous_thermometer_repeats_the_feature() -> None:
    inputs = InputLevels(np.array([1.0, 2.0]), 0.0, 4.0, encoding="thermometer", continuous=True)
    assert inputs(torch.tensor([[1.0, 3.0]])).tolist() == [[0.25, 0.25, 0.75, 0.75]]


def test_convolutions_have_the_geometry_that_they_are_given() -> None:
    x = torch.zeros(2, 4, 7)
    assert Conv1d(4, 6, 3, stride=2, padding=1, groups=2)(x).shape == (2, 6, 4)
    image = torch.zeros(2, 4, 7, 5)
    assert Conv2d(4, 6, 3, stride=2, padding=1, groups=2)(image).shape == (2, 6, 4, 3)
    wide = ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
    assert wide(image).shape == (2, 6, 14, 10)
    assert wide.weight.shape == (4, 3, 3, 3)
    for layer in (Conv1d(1, 1, 1, bias=False), Conv2d(1, 1, 1, bias=False)):
        assert layer.bias is None


def test_a_residual_adds_its_input() -> None:
    linear = nn.Linear(2, 2, bias=False)
    nn.init.eye_(linear.weight)
    body = nn.Sequential(linear)
    x = torch.tensor([[1.0, -3.0]])
    assert Residual(body, nn.Identity())(x).tolist() == [[2.0, -6.0]]
    projection = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(projection.weight)
    assert Residual(body, projection)(x).tolist() == [[1.0, -3.0]]


def test_a_scale_starts_at_one_and_is_positive() -> None:
    scale = Scale()
    x = torch.tensor([[-1.0, 0.0, 2.0]])
    assert torch.equal(scale(x), x)
    torch.nn.init.constant_(scale.logarithm, math.log(3.0))
    assert scale(x).tolist() == [pytest.approx([-3.0, 0.0, 6.0])]
    torch.nn.init.constant_(scale.logarithm, -5.0)
    assert scale(x).argmax().item() == 2


def test_inputs_show_what_they_are() -> None:
    assert repr(InputLevels.uniform(0.0, 16.0, 8)) == "InputLevels(levels=8, encoding=level)"
    assert repr(InputLevels.uniform(0.0, 16.0, None)) == "InputLevels(continuous, encoding=level)"
