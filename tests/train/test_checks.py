"""What is refused before the first step of the float twin, and what when it turns up."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from nomul.network import UserError
from nomul.train.checks import check_not_empty, check_settings
from nomul.train.experiment import CodebookSettings, Experiment, NetworkSettings
from nomul.train.layers import weighted_layers
from nomul.train.modules import build_module
from nomul.train.trainer import train
from tests.train.short import CONVOLUTIONS, digits, experiment, pictures

REFUSED = {
    "codebook": (
        experiment(codebook=CodebookSettings(size=445)),
        "A codebook of 445 centres is larger than the network, which has 444 weights: choose a "
        "size of 444 at most.",
    ),
    "groups": (
        experiment(codebook=CodebookSettings(size=9, scope="groups", groups=((0, 2),))),
        "codebook.groups names the layers [0, 2]: it must name each of the weighted layers 0 to 1 "
        "once.",
    ),
    "operand-bits": (
        experiment(network=NetworkSettings(hidden=(6,), operand_bits=1)),
        "network.operand_bits is 1: a single weight in each of the 2 weighted layers takes 2 at "
        "least, so raise it.",
    ),
}


@pytest.mark.parametrize("discretized", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_before_the_first_step_of_the_twin(
    name: str, discretized: bool
) -> None:
    form, sentence = REFUSED[name]
    steps: list[int] = []
    with pytest.raises(UserError) as error:
        train(form, digits(), discretized=discretized, progress=lambda done, _: steps.append(done))
    assert str(error.value) == sentence
    assert steps == []


def test_fan_in_has_an_entry_for_each_layer_of_the_twin() -> None:
    network = dataclasses.replace(CONVOLUTIONS, fan_in=(3, 4))
    with pytest.raises(UserError) as error:
        train(experiment(network=network), pictures(), discretized=False)
    assert str(error.value) == (
        "network.fan_in has 2 entries: it must have one for each of the 3 weighted layers, or none."
    )


def with_operand_bits(operand_bits: int) -> Experiment:
    return experiment(network=dataclasses.replace(CONVOLUTIONS, operand_bits=operand_bits))


def test_a_weight_of_a_convolution_counts_wherever_it_is_used() -> None:
    """Of 6×6 pictures: 36 positions, 9 behind the pool of 2, and once in the dense layer."""
    data, least = pictures(), 36 + 9 + 1
    module = build_module(with_operand_bits(0), data, discretized=False)
    x = module[0](torch.from_numpy(data.train_features[:1]))
    trunk = nn.Sequential(*list(module)[1:])
    check_settings(trunk, with_operand_bits(0), x)
    check_settings(trunk, with_operand_bits(least), x)
    with pytest.raises(UserError) as error:
        check_settings(trunk, with_operand_bits(least - 1), x)
    assert str(error.value) == (
        "network.operand_bits is 45: a single weight in each of the 3 weighted layers takes 46 at "
        "least, so raise it."
    )


def test_a_layer_keeps_a_weight_at_least() -> None:
    form = with_operand_bits(70)
    module = build_module(form, pictures(), discretized=True)
    check_not_empty(module, form)
    layer = weighted_layers(module)[1]
    with torch.no_grad():
        layer.mask.zero_()
        layer.mask[0, 0, 0, 0] = 1
        check_not_empty(module, form)
        layer.mask.zero_()
    with pytest.raises(UserError) as error:
        check_not_empty(module, form)
    assert str(error.value) == (
        "network.operand_bits is 70: pruning to it leaves weighted layer 1 without any weight, so "
        "raise it."
    )


def test_pruning_that_empties_a_layer_ends_the_training() -> None:
    """Each weight of the first layer meets 16 levels: 4 bits, so that 3 buy none."""
    form = experiment(network=NetworkSettings(hidden=(6,), operand_bits=3))
    steps: list[int] = []
    with pytest.raises(UserError) as error:
        train(form, digits(), discretized=True, progress=lambda done, _: steps.append(done))
    assert str(error.value).startswith("network.operand_bits is 3: pruning to it leaves weighted")
    assert len(steps) <= 3
