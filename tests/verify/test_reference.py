from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from nomul.network import Layer, Lookup, Network, UserError, Weighted
from nomul.train.dataset import Dataset
from nomul.train.experiment import (
    CodebookSettings,
    Experiment,
    InputSettings,
    NetworkSettings,
    TrainingSettings,
)
from nomul.train.layer_settings import ClassSumSettings, ConvSettings, LookupSettings
from nomul.train.lowering import lower
from nomul.train.module_file import save_module
from nomul.train.trainer import train
from nomul.verify.reference import torch_step
from nomul.verify.samples import samples_of
from tests.train.architectures import random_dataset

DENSE = Experiment(
    input=InputSettings(levels=4),
    network=NetworkSettings(hidden=(6, 5), levels=3, batch_norm=True),
    codebook=CodebookSettings(kind="grid", size=5),
    training=TrainingSettings(steps=4),
)
LOOKUPS = dataclasses.replace(
    DENSE,
    network=NetworkSettings(layers=(LookupSettings(12, 3),), output=ClassSumSettings(), levels=2),
)
CONVOLUTION = dataclasses.replace(
    DENSE, network=NetworkSettings(layers=(ConvSettings(4, 2),), levels=3)
)
RECONSTRUCTION = dataclasses.replace(
    DENSE, network=NetworkSettings(task="reconstruct", hidden=(6,), levels=3)
)
FORMS = [
    (DENSE, (5,), "class"),
    (LOOKUPS, (5,), "class"),
    (CONVOLUTION, (2, 4, 3), "class"),
    (RECONSTRUCTION, (5,), "accumulators"),
]
IDS = ["dense", "lookups", "convolution", "reconstruction"]


def trained(
    experiment: Experiment, shape: tuple[int, ...], kind: str, folder: Path
) -> tuple[Network, Dataset]:
    dataset = random_dataset(shape)
    with torch.random.fork_rng(devices=[]):
        module = train(experiment, dataset, discretized=True)
    save_module(module, folder / "module.safetensors")
    return lower(module, shape, kind), dataset  # type: ignore[arg-type]


@pytest.mark.parametrize(("experiment", "shape", "kind"), FORMS, ids=IDS)
def test_a_module_answers_as_its_network(
    experiment: Experiment, shape: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    network, dataset = trained(experiment, shape, kind, tmp_path)
    samples = samples_of(network, dataset.test_features[:])
    step = torch_step(network, samples, experiment, dataset, tmp_path / "module.safetensors")
    assert (step.compared, step.differences, step.status) == (24, 0, "equal")


@pytest.mark.parametrize(("experiment", "shape", "kind"), FORMS, ids=IDS)
def test_a_changed_network_differs_where_it_was_changed(
    experiment: Experiment, shape: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    network, dataset = trained(experiment, shape, kind, tmp_path)
    first = network.layers[0]
    if experiment is LOOKUPS:
        assert isinstance(first, Lookup)
        table = first.level_table.copy()
        table[2] = 1 - table[2]
        changed: Layer = dataclasses.replace(first, level_table=table)
    else:
        assert isinstance(first, Weighted)
        bias = first.bias.copy()
        bias[2] += 1 << 20
        changed = dataclasses.replace(first, bias=bias)
    other = dataclasses.replace(network, layers=(changed, *network.layers[1:]))
    samples = samples_of(other, dataset.test_features[:])
    step = torch_step(other, samples, experiment, dataset, tmp_path / "module.safetensors")
    assert step.status == "different"
    assert step.differences > 0
    neuron = 2 * 6 if experiment is CONVOLUTION else 2  # 6 positions of each channel
    last = len(network.layers) - 1
    assert str(step.first_difference).split(", ")[1] == f"layers.{last}"
    assert "first at layers.0, neuron " in str(step.first_difference)
    found = int(str(step.first_difference).split("layers.0, neuron ")[1].split()[0])
    assert neuron <= found < neuron + (6 if experiment is CONVOLUTION else 1)


def test_a_changed_threshold_of_the_input_is_named(tmp_path: Path) -> None:
    network, dataset = trained(DENSE, (5,), "class", tmp_path)
    thresholds = network.input.thresholds + 0.5
    other = dataclasses.replace(
        network, input=dataclasses.replace(network.input, thresholds=thresholds)
    )
    samples = samples_of(other, dataset.test_features[:])
    step = torch_step(other, samples, DENSE, dataset, tmp_path / "module.safetensors")
    assert step.status == "different"
    assert ", first at input " in str(step.first_difference)


def test_a_network_of_other_answers_is_not_of_this_training(tmp_path: Path) -> None:
    _, dataset = trained(DENSE, (5,), "class", tmp_path)
    wider = dataclasses.replace(
        random_dataset((5,)), train_classes=np.arange(24) % 4, test_classes=np.arange(24) % 4
    )
    module = train(DENSE, wider, discretized=True)
    network = lower(module, (5,))
    samples = samples_of(network, dataset.test_features[:])
    path = tmp_path / "module.safetensors"
    with pytest.raises(UserError) as caught:
        torch_step(network, samples, DENSE, dataset, path)
    assert str(caught.value) == (
        f"{path} gives 3 accumulators, and the network 4 class: they are not of one training."
    )
