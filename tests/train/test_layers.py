"""The layers of a network in training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from nomul.train.codebook import Codebook
from nomul.train.layers import Dense, InputLevels, Scale

CODEBOOK = Codebook(0.25, np.array([-2, 0, 1]))


def layer_of(weights: list[list[float]]) -> Dense:
    layer = Dense(len(weights[0]), len(weights))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
    return layer


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_input_levels_are_the_nearest_of_uniform_values(levels: int) -> None:
    inputs = InputLevels(-1.0, 3.0, levels)
    features = torch.linspace(-2.0, 4.0, 997, dtype=torch.float64)[:, None]
    scaled = ((features + 1.0) / 4.0).clamp(0.0, 1.0) * (levels - 1)
    expected = torch.floor(scaled + 0.5) / (levels - 1)
    clear = ((scaled + 0.5) - (scaled + 0.5).round()).abs() > 1e-9
    assert clear.double().mean() > 0.9
    assert inputs(features)[clear].tolist() == pytest.approx(expected[clear].tolist())
    assert len(inputs.thresholds) == levels - 1
    assert inputs.thresholds.dtype == torch.float64


def test_two_input_levels_meet_half_way() -> None:
    inputs = InputLevels(0.0, 1.0, 2)
    assert inputs.thresholds.tolist() == [0.5]
    assert inputs(torch.tensor([[-1.0, 0.49, 0.5, 2.0]])).tolist() == [[0.0, 0.0, 1.0, 1.0]]


def test_a_feature_on_a_threshold_reaches_it() -> None:
    inputs = InputLevels(0.0, 3.0, 4)
    below = torch.nextafter(inputs.thresholds, torch.full((3,), -1.0, dtype=torch.float64))
    assert (inputs(inputs.thresholds[None]) * 3).round().tolist() == [[1, 2, 3]]
    assert (inputs(below[None]) * 3).round().tolist() == [[0, 1, 2]]


def test_continuous_inputs_are_scaled_to_one() -> None:
    inputs = InputLevels(-1.0, 3.0, None)
    x = inputs(torch.tensor([[-1.0, 0.0, 3.0]], dtype=torch.float64))
    assert x.tolist() == [[0.0, 0.25, 1.0]]
    assert x.dtype == torch.float32
    assert len(inputs.thresholds) == 0


def test_without_a_codebook_a_layer_is_linear() -> None:
    layer = Dense(3, 2)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))


def test_a_masked_weight_does_not_count() -> None:
    layer = layer_of([[1.0, 2.0], [3.0, 4.0]])
    layer.mask.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    layer.bias.data.zero_()
    assert layer(torch.ones(1, 2)).tolist() == [[1.0, 4.0]]
    assert layer.used_weights().tolist() == [1.0, 4.0]
    assert layer.used_weights().dtype == np.float64


def test_a_fixed_codebook_gives_the_nearest_centres() -> None:
    layer = layer_of([[0.1, 0.2, -0.3, -9.0]])
    layer.fix_codebook(CODEBOOK)
    answers = layer(torch.eye(4)) - layer.bias
    assert answers[:, 0].tolist() == pytest.approx([0.0, 0.25, -0.5, -0.5])
    assert layer.weight.tolist() == [pytest.approx([0.1, 0.2, -0.3, -9.0])]


def test_the_gradient_goes_straight_to_the_weights_beneath() -> None:
    layer = layer_of([[0.1, 0.2, -0.3]])
    layer.mask.copy_(torch.tensor([[1.0, 1.0, 0.0]]))
    layer.fix_codebook(CODEBOOK)
    layer(torch.tensor([[2.0, 3.0, 4.0]])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2.0, 3.0, 0.0]]


def test_clustering_replaces_the_weights_and_leaves_training_free() -> None:
    layer = layer_of([[0.1, 0.2, -0.3, -9.0]])
    layer.mask.copy_(torch.tensor([[1.0, 1.0, 1.0, 0.0]]))
    layer.cluster(CODEBOOK)
    assert layer.weight.tolist() == [[0.0, 0.25, -0.5, 0.0]]
    assert layer.codebook is None


def test_half_way_both_ways_go_to_the_greater_centre() -> None:
    layer = layer_of([[-0.25, 0.125]])
    layer.fix_codebook(CODEBOOK)
    assert (layer(torch.eye(2)) - layer.bias)[:, 0].tolist() == pytest.approx([0.0, 0.25])
    layer.cluster(CODEBOOK)
    assert layer.weight.tolist() == [[0.0, 0.25]]


def test_a_scale_starts_at_one_and_is_positive() -> None:
    scale = Scale()
    x = torch.tensor([[-1.0, 0.0, 2.0]])
    assert torch.equal(scale(x), x)
    torch.nn.init.constant_(scale.logarithm, math.log(3.0))
    assert scale(x).tolist() == [pytest.approx([-3.0, 0.0, 6.0])]
    torch.nn.init.constant_(scale.logarithm, -5.0)
    assert scale(x).argmax().item() == 2


def test_layers_show_what_they_are() -> None:
    layer = Dense(3, 2)
    assert repr(layer) == "Dense(in_features=3, out_features=2, bias=True, weights: free)"
    layer.fix_codebook(CODEBOOK)
    assert repr(layer) == "Dense(in_features=3, out_features=2, bias=True, weights: 3 centres)"
    assert repr(InputLevels(0.0, 16.0, 8)) == "InputLevels(0.0..16.0, levels=8)"
