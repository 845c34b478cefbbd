from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nomul.cli import training
from nomul.cli.evaluation import evaluate_network
from nomul.cli.training import (
    experiment_data,
    say_notes,
    train_discretized,
    train_into,
    train_twin,
)
from nomul.network import CheckFailed, Network, UserError, memory_account
from nomul.sim.golden import evaluate
from nomul.train.data import load_dataset
from nomul.train.experiment import CodebookSettings, DataSettings, Experiment
from nomul.train.experiment_file import load_experiment
from tests.cli.helpers import RECONSTRUCT, TINY, run, run_without, write_experiment
from tests.networks import dense_layers

Capsys = pytest.CaptureFixture[str]


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
    for layer, most in zip(dense_layers(network), (3, 4), strict=True):
        assert layer.fan_in().max() <= most


def test_the_encoded_bits_are_those_of_the_encoded_file(tmp_path: Path, capsys: Capsys) -> None:
    train_into(load_experiment(write_experiment(tmp_path)), tmp_path)
    result = json.loads((tmp_path / "training.json").read_text())
    run(capsys, "encode", tmp_path / "network.safetensors", "-o", tmp_path / "encoded")
    assert result["encoded_bits"] == 8 * (tmp_path / "encoded").stat().st_size


@pytest.mark.parametrize("sharing", ["shared", "per_feature"])
def test_a_reconstruction_is_judged_by_its_squared_error(sharing: str, tmp_path: Path) -> None:
    text = RECONSTRUCT.replace("levels = 4", f'levels = 4\nsharing = "{sharing}"')
    result = train_into(load_experiment(write_experiment(tmp_path, text)), tmp_path)
    assert list(result) == [
        *("squared_error_float", "squared_error", "memory_bits_float", "memory_bits"),
        *("encoded_bits", "mismatches_torch_golden", "samples", "seconds"),
    ]
    network, dataset = Network.load(tmp_path / "network.safetensors"), load_dataset("digits")
    train, test = dataset.train_features[:], dataset.test_features[:]
    axis = None if sharing == "shared" else 0
    low, high = train.min(axis), train.max(axis)
    scaled = (test - low) / np.where(high > low, high - low, 1)
    given = network.output.scale * evaluate(network, test) + network.output.offset
    # PyTorch scales features in float32.
    assert result["squared_error"] == pytest.approx(np.mean((given - scaled) ** 2), rel=1e-6)
    assert evaluate_network(network, dataset) == {
        "squared_error": pytest.approx(result["squared_error"], rel=1e-6),
        "samples": 360,
    }


def test_a_mismatch_of_pytorch_is_a_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_two_are_wrong(network: Network, features: NDArray[np.float64]) -> NDArray[np.int64]:
        classes = evaluate(network, features)
        classes[:2] = (classes[:2] + 1) % 10
        return classes

    monkeypatch.setattr(training, "evaluate", first_two_are_wrong)
    with pytest.raises(CheckFailed) as caught:
        train_into(load_experiment(write_experiment(tmp_path)), tmp_path / "out")
    assert str(caught.value) == ("PyTorch and the golden model differ on 2 of 360 test samples.")
    assert not (tmp_path / "out").exists()


def test_one_wrong_accumulator_makes_a_sample_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_is_wrong(network: Network, features: NDArray[np.float64]) -> NDArray[np.int64]:
        accumulators = evaluate(network, features)
        accumulators[7, 63] += 1
        return accumulators

    monkeypatch.setattr(training, "evaluate", one_is_wrong)
    experiment = load_experiment(write_experiment(tmp_path, RECONSTRUCT))
    with pytest.raises(CheckFailed) as caught:
        train_discretized(experiment, load_dataset("digits"))
    assert str(caught.value) == "PyTorch and the golden model differ on 1 of 360 test samples."


def test_training_again_gives_the_same_network(tmp_path: Path) -> None:
    experiment = load_experiment(write_experiment(tmp_path))
    networks = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        train_into(experiment, tmp_path / name)
        networks.append(Network.load(tmp_path / name / "network.safetensors"))
    assert networks[0] == networks[1]


def test_the_number_of_threads_is_that_of_before(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train_twin(load_experiment(write_experiment(tmp_path)), load_dataset("digits"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def pictures(tmp_path: Path, *, with_classes: bool) -> DataSettings:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = rng.integers(0, 256, (6, 3, 2, 2), np.uint8)
        if with_classes:
            arrays[f"y_{part}"] = np.arange(6) % 3
    np.savez(tmp_path / "own.npz", **arrays)
    return DataSettings(str(tmp_path / "own.npz"))


@pytest.mark.parametrize("with_classes", [True, False])
def test_the_first_test_samples_count_alone(with_classes: bool, tmp_path: Path) -> None:
    settings = pictures(tmp_path, with_classes=with_classes)
    whole = experiment_data(Experiment(settings))
    part = experiment_data(Experiment(dataclasses.replace(settings, test_samples=2)))
    assert (whole.test_features[:2] == part.test_features[:]).all()
    assert len(part.test_features) == 2
    assert (whole.train_features[:] == part.train_features[:]).all()
    if with_classes:
        assert part.classes[1].tolist() == [0, 1]
        assert part.classes[0].tolist() == [0, 1, 2, 0, 1, 2]
    else:
        assert part.test_classes is None


def test_pictures_are_enlarged_to_the_size_that_is_asked_for(tmp_path: Path) -> None:
    settings = pictures(tmp_path, with_classes=True)
    large = experiment_data(Experiment(dataclasses.replace(settings, image_size=6, test_samples=4)))
    assert large.train_features.shape == (6, 3, 6, 6)
    assert large.test_features.shape == (4, 3, 6, 6)
    corners = np.ix_(range(4), range(3), [0, 5], [0, 5])
    assert (large.test_features[:][corners] == np.load(settings.name)["x_test"][:4]).all()


def test_features_that_are_no_pictures_cannot_be_enlarged() -> None:
    with pytest.raises(UserError) as caught:
        experiment_data(Experiment(DataSettings("digits", image_size=16)))
    assert str(caught.value) == (
        "The data set 'digits' has samples of shape (64,) and type float64: only pictures, "
        "(channels, height, width) of uint8, can be enlarged."
    )


def test_notes_are_told_once(tmp_path: Path, capsys: Capsys) -> None:
    grid = Experiment(codebook=CodebookSettings("grid", 10))
    say_notes([grid, Experiment(), grid])
    sentence = "codebook.size is 10: grid is symmetric around a centre, so 9 centres are used."
    assert capsys.readouterr() == ("", f"note: {sentence}\n")
    path = write_experiment(tmp_path, TINY.replace("size = 3", "size = 4"))
    answer = run(capsys, "train", path, "--out", tmp_path / "out")
    first, second, *_ = answer.errors.splitlines()
    assert first == (
        "note: codebook.size is 4: grid is symmetric around a centre, so 3 centres are used."
    )
    assert second == "  float twin: 2 of 8 steps"


def test_progress_is_told_at_every_quarter(capsys: Capsys) -> None:
    for total in (1, 3, 10):
        progress = training._progress("loop")
        for done in range(1, total + 1):
            progress(done, total)
    told = [(1, 1), (1, 3), (2, 3), (3, 3), (3, 10), (5, 10), (8, 10), (10, 10)]
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines() == [f"  loop: {done} of {total} steps" for done, total in told]


def test_where_a_loop_goes_on_is_told_once(capsys: Capsys) -> None:
    progress = training._progress("loop")
    for done in range(6, 11):
        progress(done, 10)
    assert capsys.readouterr().err.splitlines() == [
        "  loop: goes on from step 5",
        "  loop: 8 of 10 steps",
        "  loop: 10 of 10 steps",
    ]


LONGER = TINY.replace("steps = 8", "steps = 200\ncheckpoint_every = 20")


def test_a_training_that_was_killed_goes_on_and_leaves_the_same_network(
    tmp_path: Path, capsys: Capsys
) -> None:
    path = write_experiment(tmp_path, LONGER)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "nomul.cli.main", "train", str(path), "--out", str(killed)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == "  discretized: 100 of 200 steps\n":
                process.send_signal(signal.SIGKILL)
                break
    assert {entry.name for entry in killed.iterdir()} == {
        *("float.checkpoint", "discretized.checkpoint"),
    }
    answer = run(capsys, "train", path, "--out", killed)
    assert answer.exit_code == 0
    assert "float twin" not in answer.errors, "it was complete"
    assert "discretized: 50 of" not in answer.errors, "it went on"
    assert answer.errors.startswith("  discretized: goes on from step ")
    assert answer.errors.count("goes on") == 1
    assert run(capsys, "train", path, "--out", whole).exit_code == 0
    network = "network.safetensors"
    assert (killed / network).read_bytes() == (whole / network).read_bytes()
    assert {entry.name for entry in killed.iterdir()} == {
        *(network, "module.safetensors", "experiment.toml", "training.json"),
    }
    results = [json.loads((out / "training.json").read_text()) for out in (killed, whole)]
    assert results[0] | {"seconds": 0} == results[1] | {"seconds": 0}


def test_a_checkpoint_of_another_experiment_is_refused(tmp_path: Path, capsys: Capsys) -> None:
    out = tmp_path / "out"
    out.mkdir()
    train_twin(load_experiment(write_experiment(tmp_path)), load_dataset("digits"), out)
    other = write_experiment(tmp_path, TINY.replace("hidden = [4]", "hidden = [5]"))
    answer = run(capsys, "train", other, "--out", out)
    checkpoint = out / "float.checkpoint"
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        f"{checkpoint} is a checkpoint of another network, experiment or data set: give another "
        "folder, or delete it to train from the start."
    )
    assert list(out.iterdir()) == [checkpoint]


def test_a_damaged_checkpoint_is_found_before_the_twin_is_trained(
    tmp_path: Path, capsys: Capsys
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    damaged = out / "discretized.checkpoint"
    damaged.write_bytes(b"PK")
    answer = run(capsys, "train", write_experiment(tmp_path), "--out", out)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        f"{damaged} cannot be read as a checkpoint: delete it to train from the start."
    )
    assert list(out.iterdir()) == [damaged]


def test_data_that_are_not_there_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    empty = tmp_path / "data"
    empty.mkdir()
    monkeypatch.setenv("NOMUL_DATA", str(empty))
    path = write_experiment(tmp_path, f'{TINY}\n[data]\nname = "mnist"\n')
    answer = run(capsys, "train", path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "The data set 'mnist' needs 'mnist/train-images-idx3-ubyte.gz' in the folder "
        f"'{empty}', and it is not there: set the environment variable NOMUL_DATA to the folder "
        "that has it (docs/data.md lists the files; the data are from "
        "http://yann.lecun.com/exdb/mnist)."
    )
    assert not (tmp_path / "out").exists()


def test_a_loss_that_explodes_leaves_the_last_good_state(tmp_path: Path, capsys: Capsys) -> None:
    """A weight decay of 10 at a learning rate of 1 makes weights -9 times as large at each step."""
    settings = (
        'steps = 400\nlearning_rate = 1.0\nweight_decay = 10.0\nschedule = "constant"\n'
        "noise = 100.0\ncheckpoint_every = 10"
    )
    path = write_experiment(tmp_path, TINY.replace("steps = 8", settings))
    answer = run(capsys, "train", path, "--out", tmp_path / "out")
    checkpoint = tmp_path / "out" / "float.checkpoint"
    assert (answer.exit_code, answer.output) == (2, "")
    before, _, after = answer.sentence.partition(" at step ")
    step, _, rest = after.partition(": ")
    assert before in ("The loss is inf", "The loss is nan")
    assert rest == (
        "lower training.learning_rate, or look for features far from all others. The last good "
        f"state is in {checkpoint}."
    )
    assert list((tmp_path / "out").iterdir()) == [checkpoint]
    assert torch.load(checkpoint)["state"]["step"] == int(step) // 10 * 10


@pytest.mark.parametrize(
    ("package", "extra"), [("constriction", "encode"), ("kmeans1d", "train"), ("torch", "train")]
)
def test_what_is_not_installed_is_said_before_the_training(
    package: str, extra: str, tmp_path: Path
) -> None:
    path = write_experiment(tmp_path)
    answer = run_without((package,), "train", path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (f'{package} is not installed: run `pip install "nomul[{extra}]"`.')
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_of_several_processes_the_first_alone_writes_and_tells(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, TINY.replace("size = 3", "size = 4"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = ["-m", "nomul.cli.main", "train", str(path), "--out", str(tmp_path / "out"), "--json"]
    result = subprocess.run([*torchrun, *command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    content: dict[str, Any] = json.loads(result.stdout)
    assert content["mismatches_torch_golden"] == 0
    assert result.stderr.count("note: ") == 1
    assert result.stderr.count("discretized: 8 of 8 steps") == 1
    assert {entry.name for entry in tmp_path.iterdir()} == {"out", path.name}
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {
        *("network.safetensors", "module.safetensors", "experiment.toml", "training.json"),
    }
