from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.typing import NDArray

from nomul.network import UserError
from nomul.network.archive import read_archive, write_archive
from nomul.train.data import load_dataset
from nomul.train.exact_mode import exact
from nomul.train.experiment import Experiment, NetworkSettings, TrainingSettings
from nomul.train.layer_settings import ClassSumSettings, LookupSettings
from nomul.train.lowering import lower
from nomul.train.module_file import FORMAT, load_module, save_module
from nomul.train.trainer import train
from tests.train.architectures import Case, cases, exact_of, random_dataset, samples, trained


@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_a_module_of_any_layers_comes_back_as_it_was(case: Case) -> None:
    module = trained(case)
    expected = exact_of(module)(samples(case))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "module.safetensors"
        save_module(module, path)
        again = load_module(path, case.experiment, random_dataset(case.shape, seed=5))
    assert torch.equal(exact(again)(samples(case)), expected)
    assert lower(again, case.shape) == lower(module, case.shape)


def test_a_trained_module_of_lookups_comes_back_as_it_was(tmp_path: Path) -> None:
    experiment = Experiment(
        network=NetworkSettings(
            layers=(LookupSettings(40, 3),), output=ClassSumSettings(), levels=2
        ),
        training=TrainingSettings(steps=5),
    )
    digits = load_dataset("digits")
    module = train(experiment, digits, discretized=True)
    save_module(module, tmp_path / "module.safetensors")
    again = load_module(tmp_path / "module.safetensors", experiment, digits)
    assert lower(again, (64,)) == lower(module, (64,))
    assert not again.training


def test_the_state_of_another_experiment_is_refused(tmp_path: Path) -> None:
    digits = load_dataset("digits")
    experiment = Experiment(training=TrainingSettings(steps=2))
    path = tmp_path / "module.safetensors"
    save_module(train(experiment, digits, discretized=True), path)
    other = dataclasses.replace(experiment, network=NetworkSettings(hidden=(5,)))
    with pytest.raises(UserError) as caught:
        load_module(path, other, digits)
    assert str(caught.value) == (
        f"{path} is the state of another experiment's module: train this one again."
    )


@pytest.mark.parametrize(
    "state", [np.array([1.0, np.nan]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, np.inf])]
)
def test_a_damaged_codebook_is_refused(state: NDArray[Any], tmp_path: Path) -> None:
    digits = load_dataset("digits")
    experiment = Experiment(training=TrainingSettings(steps=2))
    path = tmp_path / "module.safetensors"
    save_module(train(experiment, digits, discretized=True), path)
    arrays = read_archive(path, FORMAT)
    (name, *_) = (name for name in arrays if name.endswith("_extra_state"))
    write_archive(path, FORMAT, arrays | {name: state})
    with pytest.raises(UserError, match="is the state of another experiment's module"):
        load_module(path, experiment, digits)
