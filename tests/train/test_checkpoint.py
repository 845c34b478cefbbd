"""Checkpoints: what was interrupted ends as if it had not been."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nomul.network import UserError
from nomul.train import checkpoint as module
from nomul.train.checkpoint import Checkpoint, identity, load_checkpoint, save_checkpoint
from nomul.train.dataset import Dataset
from nomul.train.experiment import CodebookSettings, Experiment, HardwareSettings, NetworkSettings
from nomul.train.lowering import lower
from nomul.train.trainer import train
from tests.train.short import CONVOLUTIONS, assert_same_state, digits, experiment, pictures

DATA = pictures(n_samples=60)

ALL_AT_ONCE: dict[str, Any] = {
    "steps": 24,
    "learning_rate": 0.05,
    "noise": 3.0,
    "shift": 1,
    "flip": True,
    "weight_decay": 0.01,
    "warm_up": 3,
    "validation": 0.3,
    "validate_every": 2,
    "straight_through_from": 0.4,
    "prune_until": 0.3,
}

FORMS = {
    "all": experiment(
        network=dataclasses.replace(CONVOLUTIONS, fan_in=(9, 9, 20)), patience=40, **ALL_AT_ONCE
    ),
    "stops": experiment(
        network=dataclasses.replace(CONVOLUTIONS, operand_bits=3000),
        patience=2,
        **ALL_AT_ONCE | {"learning_rate": 0.3, "schedule": "constant", "steps": 60},
    ),
    "never fixed": experiment(
        network=CONVOLUTIONS,
        codebook=CodebookSettings(size=5, start_size=60, scope="layer"),
        patience=3,
        **ALL_AT_ONCE | {"straight_through_from": 1.0},
    ),
    "biases": experiment(
        network=NetworkSettings(layers=CONVOLUTIONS.layers, levels=4),
        codebook=CodebookSettings(size=9, biases="clustered"),
        straight_through_from=0.3,
    ),
}


class Interrupted(Exception):
    """Stands for whatever ends a process."""


def interrupted_train(
    form: Experiment, path: Path, stops: list[int], *, discretized: bool
) -> tuple[nn.Sequential, list[int]]:
    """Train, breaking off behind each of the steps ``stops``; return all steps that were taken."""
    taken: list[int] = []
    remaining = list(stops)

    def progress(done: int, _: int) -> None:
        taken.append(done)
        if remaining and done == remaining[0]:
            raise Interrupted

    while True:
        torch.rand(3)  # a new process has another state of PyTorch's generator
        try:
            return train(
                form, DATA, discretized=discretized, progress=progress, checkpoint=path
            ), taken
        except Interrupted:
            remaining.pop(0)


@pytest.mark.parametrize("every", [1, 4, 7])
@pytest.mark.parametrize("name", FORMS)
def test_what_was_interrupted_ends_as_if_it_had_not_been(
    name: str, every: int, tmp_path: Path
) -> None:
    form = FORMS[name]
    training = dataclasses.replace(form.training, checkpoint_every=every)
    form = dataclasses.replace(form, training=training)
    expected = train(form, DATA, discretized=True)
    found, taken = interrupted_train(
        form, tmp_path / "state", [2, 8, 9, 11, 12, 17], discretized=True
    )
    assert len(taken) > len(set(taken)) - (every == 1), "some steps were taken twice"
    assert_same_state(found, expected)
    network, wanted = tmp_path / "found.safetensors", tmp_path / "wanted.safetensors"
    lower(found, (2, 6, 6)).save(network)
    lower(expected, (2, 6, 6)).save(wanted)
    assert network.read_bytes() == wanted.read_bytes()


def test_some_trainings_above_stop_early() -> None:
    steps: list[int] = []
    train(FORMS["stops"], DATA, discretized=True, progress=lambda done, _: steps.append(done))
    assert 18 < len(steps) < 60


@pytest.mark.parametrize("name", ["all", "stops"])
def test_the_float_twin_resumes_as_well(name: str, tmp_path: Path) -> None:
    training = dataclasses.replace(FORMS[name].training, checkpoint_every=5)
    form = dataclasses.replace(FORMS[name], training=training)
    expected = train(form, DATA, discretized=False)
    found, _ = interrupted_train(form, tmp_path / "state", [3, 7, 12], discretized=False)
    assert_same_state(found, expected)


def test_what_has_ended_is_not_trained_again(tmp_path: Path) -> None:
    for name, form in FORMS.items():
        path = tmp_path / name
        expected = train(form, DATA, discretized=True, checkpoint=path)
        steps: list[int] = []
        found = train(
            form,
            DATA,
            discretized=True,
            checkpoint=path,
            progress=lambda done, _, steps=steps: steps.append(done),  # type: ignore[misc]
        )
        assert steps == []
        assert_same_state(found, expected)


N_KILLED = 5

KILLER = """
import os, random, signal, sys
from pathlib import Path
import torch._dynamo  # what an optimizer imports at its first step: once for all processes
from tests.train.test_checkpoint import N_KILLED, killed_train
folder, chance = Path(sys.argv[1]), random.Random(1)
for number in range(N_KILLED + 1):
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        killed_train(folder, lambda done, _: os.write(writer, bytes([done])))
        os._exit(0)
    os.close(writer)
    first = last = 0
    for _ in range(chance.randrange(1, 20) if number < N_KILLED else 1000):
        told = os.read(reader, 1)
        if not told:
            break
        last = told[0]
        first = first or last
    if number < N_KILLED:
        os.kill(process, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(process, 0)
    print(first, last, os.waitstatus_to_exitcode(status), flush=True)
"""


def killed_train(folder: Path, progress: Callable[[int, int], Any]) -> None:
    """Train in one of the processes that are killed."""
    torch.set_num_threads(1)
    form = FORMS["all"]
    training = dataclasses.replace(form.training, checkpoint_every=1, steps=100)
    form = dataclasses.replace(form, training=training)
    module = train(
        form,
        DATA,
        discretized=True,
        checkpoint=folder / "state",
        progress=progress,
    )
    lower(module, (2, 6, 6)).save(folder / "network.safetensors")


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    found, expected = tmp_path / "found", tmp_path / "expected"
    for folder in (found, expected):
        folder.mkdir()
    root = str(Path(__file__).parents[2])
    told = subprocess.run(
        [sys.executable, "-c", KILLER, str(found)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    lives = [tuple(map(int, line.split())) for line in told.splitlines()]
    assert [code for _, _, code in lives] == [-9] * N_KILLED + [0], "SIGKILL, but the last"
    for (_, before, _), (after, _, _) in pairwise(lives):
        # The kill came while the process wrote the checkpoint of its last step, or later.
        assert after >= before
    assert lives[0][0] == 1
    assert lives[-1][0] > 10
    killed_train(expected, lambda *_: None)
    names = [folder / "network.safetensors" for folder in (found, expected)]
    assert names[0].read_bytes() == names[1].read_bytes()


ANY = Checkpoint(3, {"a": torch.ones(2)}, {}, torch.zeros(1), [torch.zeros(2)], {})


def refusal(path: Path, of: str = "this") -> str:
    before = path.read_bytes()
    with pytest.raises(UserError) as error:
        load_checkpoint(path, of)
    assert path.read_bytes() == before
    return str(error.value)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "state"
    save_checkpoint(ANY, path, "this")
    found = load_checkpoint(path, "this")
    assert found.step == 3
    assert found.module["a"].tolist() == [1.0, 1.0]
    assert found.best == {}
    assert [entry.name for entry in path.parent.iterdir()] == ["state"]


def test_a_damaged_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_checkpoint(ANY, path, "this")
    whole = path.read_bytes()
    random_bytes = np.random.default_rng(0).bytes
    damaged = [whole[:length] for length in range(0, len(whole), max(1, len(whole) // 40))]
    damaged += [random_bytes(n) for n in (1, 10, 1000)]
    damaged += [b"PK\x03\x04" + random_bytes(200), b"\x80\x02" + random_bytes(50)]
    damaged += [pickle.dumps(content) for content in ([1, 2], {"version": 1}, os.getcwd)]
    for content in damaged:
        path.write_bytes(content)
        assert refusal(path) == (
            f"{path} cannot be read as a checkpoint: delete it to train from the start."
        )


def test_a_damaged_byte_is_refused_or_of_no_account(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_checkpoint(ANY, path, "this")
    whole = path.read_bytes()
    for place in random.Random(0).sample(range(len(whole)), 150):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            load_checkpoint(path, "this")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        torch.ones(3),
        {"version": 1},
        {"version": "x", "of": "", "state": {}},
        {"version": 1, "of": "this", "state": {"step": 1}},
        {"version": 1, "of": "this", "state": 5},
    ],
)
def test_another_file_of_pytorch_is_no_checkpoint(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "state"
    torch.save(content, path)
    assert refusal(path) == (
        f"{path} cannot be read as a checkpoint: delete it to train from the start."
    )


def test_a_file_that_would_run_code_is_no_checkpoint(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "state"
    torch.save({"version": 1, "of": "this", "state": Runs()}, path)
    assert "cannot be read" in refusal(path)
    assert not (tmp_path / "ran").exists()


def test_a_later_nomul_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state"
    torch.save({"version": 2, "of": "this", "state": {"step": 1, "new": torch.ones(1)}}, path)
    assert refusal(path) == (
        f"{path} is a checkpoint of version 2, and this nomul reads version 1: use the nomul that "
        "wrote it, or delete it to train from the start."
    )


def other_experiments() -> dict[str, tuple[Experiment, Dataset, bool]]:
    form, data = experiment(), digits()
    assert data.train_classes is not None
    training = dataclasses.replace(form.training, steps=13)
    features = data.train_features[:].copy()
    features[0, 0] += 1
    return {
        "experiment": (dataclasses.replace(form, training=training), data, True),
        "twin": (form, data, False),
        "samples": (form, digits(150), True),
        "features": (form, dataclasses.replace(data, train_features=features), True),
        "classes": (
            form,
            dataclasses.replace(data, train_classes=data.train_classes[::-1].copy()),
            True,
        ),
    }


@pytest.mark.parametrize("name", other_experiments())
def test_another_trainings_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    train(experiment(), digits(), discretized=True, checkpoint=path)
    before = path.read_bytes()
    form, data, discretized = other_experiments()[name]
    with pytest.raises(UserError) as error:
        train(form, data, discretized=discretized, checkpoint=path)
    assert str(error.value) == (
        f"{path} is a checkpoint of another network, experiment or data set: give another folder, "
        "or delete it to train from the start."
    )
    assert path.read_bytes() == before


def test_neither_board_nor_checkpoints_make_another_training() -> None:
    form = experiment()
    training = dataclasses.replace(form.training, checkpoint_every=3)
    other = dataclasses.replace(form, training=training, hardware=HardwareSettings("other"))
    one, two = (identity(entry, DATA, discretized=True) for entry in (form, other))
    assert one == two


def test_a_complete_twin_stays_so_whatever_the_codebook(tmp_path: Path) -> None:
    form, path = experiment(), tmp_path / "state"
    expected = train(form, digits(), discretized=False, checkpoint=path)
    other = dataclasses.replace(form, codebook=CodebookSettings(size=5, scope="layer"))
    steps: list[int] = []
    found = train(
        other,
        digits(),
        discretized=False,
        checkpoint=path,
        progress=lambda done, _: steps.append(done),
    )
    assert steps == []
    assert_same_state(found, expected)
    one, two = (identity(entry, digits(), discretized=True) for entry in (form, other))
    assert one != two


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_checkpoint(ANY, path, "this")
    great = dataclasses.replace(ANY, module={"a": torch.ones(300_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk, but for the number of the error; Python ignores the signal.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UserError) as error:
            save_checkpoint(great, path, "this")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(error.value) == f"Cannot write {path}: File too large."
    assert load_checkpoint(path, "this").step == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as error:
        save_checkpoint(ANY, tmp_path / "file" / "state", "this")
    assert str(error.value).startswith(f"Cannot write {tmp_path / 'file' / 'state'}: ")


def test_the_version_is_the_one_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "VERSION", 5)
    save_checkpoint(ANY, tmp_path / "state", "this")
    monkeypatch.undo()
    assert "is a checkpoint of version 5" in refusal(tmp_path / "state")
