"""From settings to a module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nomul.train.activations import Activation, ReluD, TanhD
from nomul.train.data import Dataset
from nomul.train.experiment import Experiment, InputSettings, NetworkSettings, TrainingSettings
from nomul.train.layers import Dense, InputLevels, Scale
from nomul.train.modules import build_module, dense_layers
from tests.train.small import few_digits


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return few_digits()


def kinds(module: nn.Module) -> list[type[nn.Module]]:
    return [type(layer) for layer in module.children()]


@pytest.mark.parametrize("discretized", [True, False])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (NetworkSettings(hidden=()), [InputLevels, Dense]),
        (NetworkSettings(hidden=(), batch_norm=True), [InputLevels, Dense, Scale]),
        (NetworkSettings(), [InputLevels, Dense, TanhD, Dense]),
        (
            NetworkSettings(hidden=(5, 4), activation="relud"),
            [InputLevels, Dense, ReluD, Dense, ReluD, Dense],
        ),
        (
            NetworkSettings(hidden=(5,), batch_norm=True),
            [InputLevels, Dense, nn.BatchNorm1d, TanhD, Dense, Scale],
        ),
    ],
)
def test_layers_follow_the_settings(
    digits: Dataset, settings: NetworkSettings, expected: list[type[nn.Module]], discretized: bool
) -> None:
    module = build_module(Experiment(network=settings), digits, discretized=discretized)
    assert kinds(module) == expected
    sizes = [64, *settings.hidden, 10]
    assert [layer.in_features for layer in dense_layers(module)] == sizes[:-1]
    assert [layer.out_features for layer in dense_layers(module)] == sizes[1:]
    assert module(torch.from_numpy(digits.test_features)).shape == (360, 10)


def test_a_batch_norm_takes_the_place_of_a_hidden_bias(digits: Dataset) -> None:
    settings = NetworkSettings(hidden=(5, 4), batch_norm=True)
    module = build_module(Experiment(network=settings), digits, discretized=True)
    has_bias = [layer.bias is not None for layer in dense_layers(module)]
    assert has_bias == [False, False, True]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_float_twin_has_no_levels_and_the_same_start(digits: Dataset, batch_norm: bool) -> None:
    experiment = Experiment(
        input=InputSettings(levels=8), network=NetworkSettings(levels=4, batch_norm=batch_norm)
    )
    module = build_module(experiment, digits, discretized=True)
    twin = build_module(experiment, digits, discretized=False)
    for layer in module.children():
        if isinstance(layer, InputLevels | Activation):
            assert layer.levels == (8 if isinstance(layer, InputLevels) else 4)
    for layer in twin.children():
        if isinstance(layer, InputLevels | Activation):
            assert layer.levels is None
    theirs = dict(twin.named_parameters())
    assert theirs
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, theirs[name]), name


def test_another_seed_gives_another_start(digits: Dataset) -> None:
    first, second = (
        dense_layers(
            build_module(Experiment(training=TrainingSettings(seed=seed)), digits, discretized=True)
        )
        for seed in (0, 1)
    )
    assert not torch.equal(first[0].weight, second[0].weight)


def test_building_leaves_the_callers_random_numbers_alone(digits: Dataset) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        build_module(Experiment(), digits, discretized=True)
        assert torch.equal(torch.rand(3), expected)


def test_inputs_span_the_range_of_the_training_features(digits: Dataset) -> None:
    inputs = build_module(Experiment(), digits, discretized=True)[0]
    assert isinstance(inputs, InputLevels)
    assert (inputs.least, inputs.greatest) == (0.0, 16.0)
