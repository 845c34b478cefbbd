"""The layers of exact mode, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nomul.network import UserError
from nomul.train.exact_layers import (
    ExactInput,
    ExactLevels,
    ExactNetwork,
    ExactResidual,
    ExactSums,
    Geometry,
    geometry_of,
)
from nomul.train.layers import Conv1d, Conv2d, ConvTranspose2d, Dense
from nomul.train.weighted import Weighted


def float64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("layer", "geometry"),
    [
        (Dense(2, 3), Geometry("dense")),
        (Conv1d(2, 4, 3, stride=2, padding=1, groups=2), Geometry("conv", (2,), (1,), (), 2)),
        (Conv2d(1, 1, 2, padding=1), Geometry("conv", (1, 1), (1, 1), (), 1)),
        (
            ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1, groups=2),
            Geometry("conv_transpose", (2, 2), (1, 1), (1, 1), 2),
        ),
    ],
    ids=["dense", "conv1d", "conv2d", "conv_transpose"],
)
def test_a_layer_has_its_geometry(layer: Weighted, geometry: Geometry) -> None:
    assert geometry_of(layer) == geometry


def test_a_feature_is_the_number_of_thresholds_that_it_reaches() -> None:
    inputs = ExactInput(float64([0.0, 1.0, 1.0]))
    x = float64([[-0.1, 0.0, 0.9, 1.0, torch.inf, -torch.inf]])
    assert inputs(x).tolist() == [[0, 1, 1, 3, 3, 0]]
    assert inputs(x).dtype == torch.float64


def test_thresholds_may_be_each_features_own() -> None:
    inputs = ExactInput(float64([[0.0, 1.0], [10.0, 20.0]]))
    assert inputs(float64([[1.0, 1.0], [0.5, 20.0]])).tolist() == [[2, 0], [1, 2]]


def test_a_thermometer_is_a_bit_for_each_threshold() -> None:
    inputs = ExactInput(float64([1.0, 2.0, 3.0]), "thermometer")
    assert inputs(float64([[2.0, 0.0]])).tolist() == [[1, 1, 0, 0, 0, 0]]
    signal = float64([[[2.0, 0.0], [3.0, 1.0]]])  # two channels, two places
    assert inputs(signal).tolist() == [[[1, 0], [1, 0], [0, 0], [1, 1], [1, 0], [1, 0]]]
    own = ExactInput(float64([[[1.0, 2.0]], [[3.0, 4.0]]]), "thermometer")
    assert own(signal).tolist() == [[[1, 0], [1, 0], [1, 0], [0, 0]]]


@pytest.mark.parametrize("encoding", ["level", "thermometer"])
@pytest.mark.parametrize("thresholds", [[0.0], [[0.0], [0.0]]], ids=["shared", "own"])
def test_a_feature_that_is_no_number_is_refused_as_by_the_golden_model(
    thresholds: Any, encoding: Any
) -> None:
    inputs = ExactInput(float64(thresholds), encoding)
    with pytest.raises(UserError) as refused:
        inputs(float64([[0.0, torch.nan]]))
    assert str(refused.value) == (
        "Some features are not numbers (NaN): replace them before evaluation."
    )


def sums_of(geometry: Geometry, index: Any, centre: Any, bias: Any, **more: float) -> ExactSums:
    return ExactSums(geometry, torch.tensor(index), float64(centre), float64(bias), **more)


def test_sums_are_centres_times_level_values_plus_bias() -> None:
    dense = sums_of(Geometry("dense"), [[0, 1], [2, 2]], [-3, 0, 5], [1, -1])
    assert dense(float64([[2, 7], [1, 1]])).tolist() == [[-5, 44], [-2, 9]]
    conv = sums_of(Geometry("conv", (1,), (1,)), [[[0, 1]]], [1, 10], [0])
    assert conv(float64([[[1, 2, 3]]])).tolist() == [[[10, 21, 32, 3]]]
    wide = sums_of(Geometry("conv_transpose", (2, 2), (0, 0), (1, 1)), [[[[0]]]], [3], [1])
    assert wide(float64([[[[5]]]])).tolist() == [[[[16, 1], [1, 1]]]]


def test_one_weight_may_stand_for_all_channels() -> None:
    geometry = Geometry("conv", (2,), (0,), groups=None)
    pool = sums_of(geometry, [[[0, 0]]], [1], [0])
    assert pool(float64([[[1, 2, 3, 4], [5, 6, 7, 8]]])).tolist() == [[[3, 7], [11, 15]]]


@pytest.mark.parametrize(
    ("x", "stride"),
    [([[1, -2, 3]], ()), ([[[1, -2, 3]]], (1,)), ([[[[1, -2, 3]]]], (1, 1))],
    ids=["table", "signal", "picture"],
)
def test_a_shortcut_rounds_level_values_in_its_own_unit(x: Any, stride: tuple[int, ...]) -> None:
    """Half-way goes to the even one, as NumPy has it too."""
    geometry = Geometry("conv", stride, (0,) * len(stride), groups=None)
    shape = (1, 1, *(1,) * len(stride))
    index = torch.zeros(shape, dtype=torch.int64).tolist()
    shortcut = sums_of(geometry, index, [1], [0], rescale=2.5)
    assert shortcut(float64(x)).flatten().tolist() == [2, -5, 8]


def test_a_residual_adds_both_branches() -> None:
    body = nn.Sequential(sums_of(Geometry("dense"), [[0]], [10], [1]))
    shortcut = sums_of(Geometry("dense"), [[0]], [100], [0])
    assert ExactResidual(body, shortcut)(float64([[2]])).tolist() == [[221]]


def test_thresholds_give_level_values() -> None:
    shared = ExactLevels(float64([[-1, 4]]), float64([-7, 0, 7]))
    assert shared(float64([[-2, -1, 3], [4, 5, 0]])).tolist() == [[-7, 0, 0], [7, 7, 0]]
    own = ExactLevels(float64([[0, 1], [10, 20]]), float64([0, 1, 2]))
    assert own(float64([[1, 10], [0, 9]])).tolist() == [[2, 1], [1, 0]]
    signal = float64([[[1, 0, -1], [20, 10, 0]]])
    assert own(signal).tolist() == [[[2, 1, 0], [2, 1, 0]]]
    assert own(signal[..., None]).shape == (1, 2, 3, 1)


def test_a_network_gives_one_row_for_each_sample() -> None:
    network = ExactNetwork(
        [
            ExactInput(float64([0.5])),
            sums_of(Geometry("conv", (1,), (0,)), [[[0]], [[0]]], [2], [0, 1]),
        ],
        unit=0.25,
    )
    assert network(float64([[[0.0, 1.0]]])).tolist() == [[0, 2, 1, 3]]
    assert network.unit == 0.25
