"""The cost of weights in the loss: its value, its slope, and what it does in a training."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nomul.train.cost_term import weight_bits
from nomul.train.experiment import CodebookSettings, Experiment, NetworkSettings
from nomul.train.layer_settings import ClassSumSettings, LookupSettings
from nomul.train.layers import Conv1d, Dense, Weighted, weighted_layers
from nomul.train.run import Run
from nomul.train.trainer import train
from tests.train.short import assert_same_state, digits, experiment

LOOKUPS = NetworkSettings(layers=(LookupSettings(20, 2),), output=ClassSumSettings(), levels=2)


def dense(rows: list[list[float]]) -> Dense:
    layer = Dense(len(rows[0]), len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
    return layer


def bits(*layers: Weighted) -> float:
    return weight_bits(layers).item()


def slope(layer: Dense) -> Tensor:
    (gradient,) = torch.autograd.grad(weight_bits([layer]), layer.weight)
    return gradient


def test_the_unit_is_the_mean_magnitude_of_used_weights() -> None:
    layer = dense([[0.0, 2.0, -6.0], [100.0, -0.0, 8.0]])
    layer.mask[1, 0] = 0.0
    unit = (0 + 2 + 6 + 0 + 8) / 5
    expected = sum(math.log2(1 + magnitude / unit) for magnitude in (2, 6, 8)) / 2
    assert bits(layer) == pytest.approx(expected, rel=1e-6)


def test_all_neurons_of_all_layers_count_alike() -> None:
    first, last = dense([[1.0, 1.0]] * 3), dense([[1.0] * 4])
    convolution = Conv1d(2, 2, 3)
    nn.init.constant_(convolution.weight, 1.0)
    # Of equal weights each is the unit: one bit.
    assert bits(first, last) == (3 * 2 + 4) / (3 + 1)
    assert bits(first, convolution) == pytest.approx(18 / 5, rel=1e-6)


def test_the_slope_draws_to_zero_and_most_strongly_what_is_small() -> None:
    layer = dense([[0.1, -0.1, 1.0, -3.0, 0.0, 5.0]])
    layer.mask[0, 5] = 0.0
    found = slope(layer)[0]
    assert torch.equal(found.sign(), torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0, 0.0]))
    assert found[0] > found[2] > -found[3]


def test_a_layer_scaled_down_counts_as_before() -> None:
    layer = dense([[0.5, -1.5, 3.5, 0.0]])
    before = bits(layer)
    with torch.no_grad():
        layer.weight.mul_(2.0**-8)
    assert bits(layer) == before


@pytest.mark.parametrize("magnitude", [0.0, 1e-30, 1e30])
def test_it_is_finite_for_weights_of_any_magnitude(magnitude: float) -> None:
    layer = dense([[magnitude, -magnitude]])
    assert math.isfinite(bits(layer))
    assert bool(torch.isfinite(slope(layer)).all())
    layer.mask.zero_()
    assert bits(layer) == 0


def test_the_loss_has_the_cost_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    form = experiment(label_smoothing=0.0)
    losses: list[float] = []
    for cost in (0.0, 0.25):
        run = Run(with_training(form, cost=cost), digits(), discretized=True)
        expected = bits(*run.layers)
        monkeypatch.setattr(run, "_check_loss", losses.append)
        run.advance()
    assert losses[1] - losses[0] == pytest.approx(0.25 * expected, rel=1e-5)


def test_no_cost_leaves_a_training_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError

    expected = train(experiment(), digits(), discretized=True)
    monkeypatch.setattr("nomul.train.run.weight_bits", never)
    assert_same_state(train(experiment(cost=0.0), digits(), discretized=True), expected)
    # Nor do costs that nothing has: of a float twin, and of lookups.
    train(experiment(cost=0.5), digits(), discretized=False)
    train(experiment(network=LOOKUPS, cost=0.5), digits(), discretized=True)


def test_a_cost_leaves_fewer_weights_and_bits() -> None:
    form = experiment(
        codebook=CodebookSettings("grid", 5, "layer"),
        steps=200,
        cluster_every=0,
        straight_through_from=0.5,
    )

    def used(cost: float) -> int:
        module = train(with_training(form, cost=cost), digits(), discretized=True)
        return sum(int((layer.weight != 0).sum()) for layer in weighted_layers(module))

    free, little, much = map(used, (0.0, 0.003, 0.01))
    assert free > little > much > 0


def with_training(form: Experiment, **settings: Any) -> Experiment:
    return dataclasses.replace(form, training=dataclasses.replace(form.training, **settings))
