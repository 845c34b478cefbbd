from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.cli import steps
from nomul.cli.steps import evaluate_network, simulate_network, train_into, write_verilog
from nomul.network import CheckFailed, Network, UserError, memory_account
from nomul.network.model import OutputKind
from nomul.sim import runner
from nomul.sim.golden import evaluate
from nomul.train.data import Dataset, load_dataset
from nomul.train.experiment import load_experiment
from tests.cli.helpers import write_experiment
from tests.networks import random_network


def samples(n_samples: int, network: Network) -> Dataset:
    """Return samples whose classes are the network's own answers, but for the first."""
    numbers = np.arange(n_samples * network.n_inputs, dtype=np.float64)
    features = (numbers % 3).reshape(n_samples, -1)
    classes = evaluate(network, features)
    classes[0] = (classes[0] + 1) % network.n_outputs
    return Dataset("own", features, classes, features, classes)


def test_accuracy_is_the_share_of_right_answers() -> None:
    network = random_network((3, 4), (3,))
    result = evaluate_network(network, samples(8, network))
    assert result == {"accuracy": 7 / 8, "samples": 8, "correct": 7}


@pytest.mark.parametrize("kind", ["accumulators", "levels"])
def test_accuracy_needs_classes(kind: OutputKind) -> None:
    network = random_network((3, 4), (3, 2) if kind == "levels" else (3,), output=kind)
    with pytest.raises(UserError) as caught:
        evaluate_network(network, load_dataset("digits"))
    assert str(caught.value) == (
        f"The network's output is {kind}: accuracy needs one that is a class."
    )


def test_training_leaves_files_that_tell_the_same(tmp_path: Path) -> None:
    experiment = load_experiment(write_experiment(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    result = train_into(experiment, out)
    network = Network.load(out / "network.safetensors")
    dataset = load_dataset("digits")
    assert result == json.loads((out / "training.json").read_text())
    assert result["accuracy"] == evaluate_network(network, dataset)["accuracy"]
    assert 0 <= result["accuracy_float"] <= 1
    assert result["mismatches_torch_golden"] == 0
    assert result["samples"] == 360
    assert result["memory_bits"] == memory_account(network).total
    assert result["memory_bits_float"] == 32 * (64 * 4 + 4 + 4 * 10 + 10)
    assert result["seconds"] > 0
    assert load_experiment(out / "experiment.toml") == experiment
    assert [layer.fan_in().max() for layer in network.layers] <= [3, 4]


def test_a_mismatch_of_pytorch_is_a_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_two_are_wrong(network: Network, features: NDArray[np.float64]) -> NDArray[np.int64]:
        classes = evaluate(network, features)
        classes[:2] = (classes[:2] + 1) % 10
        return classes

    monkeypatch.setattr("nomul.cli.steps.evaluate", first_two_are_wrong)
    with pytest.raises(CheckFailed) as caught:
        train_into(load_experiment(write_experiment(tmp_path)), tmp_path / "out")
    assert str(caught.value) == ("PyTorch and the golden model differ on 2 of 360 test samples.")
    assert not (tmp_path / "out").exists()


def test_training_again_gives_the_same_network(tmp_path: Path) -> None:
    experiment = load_experiment(write_experiment(tmp_path))
    networks = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        train_into(experiment, tmp_path / name)
        networks.append(Network.load(tmp_path / name / "network.safetensors"))
    assert networks[0] == networks[1]


def test_verilog_comes_with_its_timing(tmp_path: Path) -> None:
    path = tmp_path / "core.v"
    result = write_verilog(random_network((2, 2, 2), (2, 2)), path, "core")
    assert result == {
        "verilog": str(path),
        "bytes": path.stat().st_size,
        "top": "core",
        # One tree stage, the subtraction and the comparison; then without a comparison; and one
        # round of the arg-max.
        "latency_cycles": 3 + 2 + 1,
        "initiation_interval": 1,
    }


@pytest.mark.parametrize("n_samples", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_a_simulation_takes_the_first_samples_and_cleans_up(
    n_samples: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network((3, 4), (3,))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result, first = simulate_network(network, samples(9, network), n_samples, "verilator")
    assert first is None
    assert result == {
        "samples": n_samples or 9,
        "mismatches": 0,
        "latency_cycles": 4,
        "initiation_interval": 1,
        "simulator": "verilator",
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_samples", [-1, 0, 10])
def test_there_are_so_many_samples(n_samples: int) -> None:
    network = random_network((3, 4), (3,))
    with pytest.raises(UserError) as caught:
        simulate_network(network, samples(9, network), n_samples, "verilator")
    assert str(caught.value) == f"--samples is {n_samples}: own has 1 to 9 to test."


def test_the_first_mismatch_is_passed_on_and_its_folder_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network = random_network((3, 4), (3,))
    found = runner.Simulation(9, 2, 4, 1, "verilator", 1.0, 1.0, "sample 3")
    monkeypatch.setattr(runner, "simulate", lambda *_, **__: found)
    result, first = simulate_network(network, samples(9, network), None, "verilator")
    (kept,) = tmp_path.iterdir()
    assert (result["mismatches"], first) == (2, f"sample 3 ({kept} has the simulation)")


def test_progress_is_told_at_every_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    for total in (1, 3, 10):
        progress = steps._Progress("loop")
        for done in range(1, total + 1):
            progress(done, total)
    told = [(1, 1), (1, 3), (2, 3), (3, 3), (3, 10), (5, 10), (8, 10), (10, 10)]
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines() == [f"  loop: {done} of {total} steps" for done, total in told]
