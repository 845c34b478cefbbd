"""Training on two processes, against one process with the same batches."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn

from nomul.network import Network, UserError
from nomul.train import parallel
from nomul.train.batches import Batch
from nomul.train.experiment import CodebookSettings, Experiment, NetworkSettings
from nomul.train.experiment_file import format_experiment
from nomul.train.layer_settings import (
    ClassSumSettings,
    ConvSettings,
    LookupSettings,
    MaxPoolSettings,
)
from nomul.train.lowering import lower
from nomul.train.parallel import (
    data_parallel,
    mean_of_all_ranks,
    own_part,
    process_group,
    rank,
    same_on_all_ranks,
    share_buffers,
)
from nomul.train.run import Run
from nomul.train.trainer import train
from tests.train.short import CONVOLUTIONS, experiment, pictures

ROOT = Path(__file__).parents[2]
DATA = pictures(n_samples=60)

PLAIN = NetworkSettings(layers=(ConvSettings(4, 3), MaxPoolSettings(2)), levels=4)

ALIKE = {
    "dense": experiment(network=NetworkSettings(hidden=(8,)), noise=2.0),
    "conv": experiment(network=PLAIN, codebook=CodebookSettings(size=9, scope="layer"), shift=1),
}
"""What two processes train as one does: no batch-norm, no dropout."""

TOGETHER = {
    "pruned": experiment(
        network=dataclasses.replace(CONVOLUTIONS, fan_in=(9, 9, 20)), prune_until=0.5
    ),
    "lookups": experiment(
        network=NetworkSettings(
            layers=(LookupSettings(12), LookupSettings(6, 2)), output=ClassSumSettings(), levels=2
        ),
        connect_until=0.5,
    ),
    "stops": experiment(
        network=CONVOLUTIONS,
        steps=60,
        learning_rate=0.3,
        schedule="constant",
        validation=0.3,
        validate_every=1,
        patience=2,
    ),
}
"""What must not drift apart between processes, though each has statistics of its own."""


def before_clustering(form: Experiment) -> Experiment:
    training = dataclasses.replace(form.training, cluster_every=0, straight_through_from=1.0)
    return dataclasses.replace(form, training=training)


def stepped(form: Experiment) -> nn.Sequential:
    """Return the module after all steps, not clustered yet."""
    run = Run(before_clustering(form), DATA, discretized=True)
    run.seed()
    while run.step < form.training.steps:
        run.advance()
    return run.module


def work(folder: Path) -> None:
    """What each process does: leave in ``folder`` whatever the tests look at."""
    torch.set_num_threads(1)
    for name, form in ALIKE.items():
        torch.save(stepped(form).state_dict(), folder / f"{name}-before.{rank()}")
        module = train(form, DATA, discretized=True, checkpoint=folder / f"{name}-checkpoint")
        torch.save(module.state_dict(), folder / f"{name}.{rank()}")
        lower(module, (2, 6, 6)).save(folder / f"{name}.{rank()}.safetensors")
    for name, form in TOGETHER.items():
        steps: list[int] = []

        def progress(done: int, _: int, steps: list[int] = steps) -> None:
            steps.append(done)

        module = train(form, DATA, discretized=True, progress=progress)
        torch.save(module.state_dict(), folder / f"{name}.{rank()}")
        (folder / f"{name}.{rank()}.json").write_text(json.dumps(steps))
    train(ALIKE["conv"], pictures((1, 6, 6), n_samples=60), discretized=False)
    again = train(
        ALIKE["conv"],
        DATA,
        discretized=True,
        checkpoint=folder / "conv-checkpoint",
        progress=lambda *_: (folder / "trained again").touch(),
    )
    torch.save(again.state_dict(), folder / f"again.{rank()}")
    try:
        train(experiment(batch_size=15), DATA, discretized=True)
    except UserError as error:
        (folder / f"odd.{rank()}.txt").write_text(str(error))
    mean = mean_of_all_ranks(torch.tensor([1.0, math.inf][rank()]))
    (folder / f"mean.{rank()}.txt").write_text(f"{mean} {mean_of_all_ranks(torch.tensor(rank()))}")
    try:
        train(ALIKE["dense"], DATA, discretized=True, checkpoint=folder / "conv-checkpoint")
    except UserError as error:
        (folder / f"other.{rank()}.txt").write_text(str(error))


WORKER = """
import sys
from pathlib import Path
from nomul.train.parallel import process_group
from tests.train.test_parallel import work
with process_group():
    work(Path(sys.argv[1]))
"""


def torchrun(*arguments: str) -> str:
    """Start two processes, which find each other by a free port; return what they complain of."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::FutureWarning",
    }
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-processes")
    (folder / "worker.py").write_text(WORKER)
    complaints = torchrun(str(folder / "worker.py"), str(folder))
    (folder / "complaints.txt").write_text(complaints)
    return folder


def test_gradients_come_in_the_order_in_which_they_are_shared(results: Path) -> None:
    """PyTorch warns where a convolution of one channel gives them in another, and copies them."""
    assert "strides" not in (results / "complaints.txt").read_text()


def states(results: Path, name: str) -> list[dict[str, torch.Tensor]]:
    return [torch.load(results / f"{name}.{number}") for number in (0, 1)]


@pytest.mark.parametrize("name", ALIKE)
def test_weights_are_those_of_one_process_but_for_rounding(name: str, results: Path) -> None:
    expected = stepped(ALIKE[name]).state_dict()
    for state in states(results, f"{name}-before"):
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ALIKE)
def test_the_network_is_that_of_one_process(name: str, results: Path, tmp_path: Path) -> None:
    lower(train(ALIKE[name], DATA, discretized=True), (2, 6, 6)).save(tmp_path / "network")
    expected = (tmp_path / "network").read_bytes()
    for number in (0, 1):
        path = results / f"{name}.{number}.safetensors"
        assert Network.load(path) == Network.load(tmp_path / "network")
        assert path.read_bytes() == expected


@pytest.mark.parametrize("name", [*ALIKE, *TOGETHER, "again"])
def test_all_processes_end_with_the_same_codebooks_weights_and_statistics(
    name: str, results: Path
) -> None:
    first, second = states(results, name)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    codebooks = [key for key in first if key.endswith("_extra_state")]
    assert bool(codebooks) == (name != "lookups")
    assert all(len(first[key]) > 1 for key in codebooks)


def test_pruning_reaches_its_fan_in(results: Path) -> None:
    masks = [value for key, value in states(results, "pruned")[0].items() if "mask" in key]
    for mask, fan_in in zip(masks, (9, 9, 20), strict=True):
        assert mask.flatten(1).sum(dim=1).max() == fan_in


def test_training_stops_at_the_same_step_and_the_first_process_tells(results: Path) -> None:
    first, second = (
        json.loads((results / f"stops.{number}.json").read_text()) for number in (0, 1)
    )
    assert first == list(range(1, len(first) + 1))
    assert len(first) < 60
    assert second == []


def test_a_checkpoint_is_shared(results: Path) -> None:
    assert not (results / "trained again").exists(), "training had ended"
    again, conv = (states(results, name)[0] for name in ("again", "conv"))
    assert all(torch.equal(again[key], conv[key]) for key in conv)


def test_a_batch_that_cannot_be_divided_is_refused(results: Path) -> None:
    for number in (0, 1):
        assert (results / f"odd.{number}.txt").read_text() == (
            "training.batch_size is 15: 2 processes need a multiple of 2."
        )


def test_a_mean_is_that_of_all_processes(results: Path) -> None:
    for number in (0, 1):
        assert (results / f"mean.{number}.txt").read_text() == "inf 0.5"


def test_all_processes_say_what_is_wrong_with_the_checkpoint(results: Path) -> None:
    for number in (0, 1):
        assert (results / f"other.{number}.txt").read_text() == (
            f"{results / 'conv-checkpoint'} is a checkpoint of another network, experiment or data "
            "set: give another folder, or delete it to train from the start."
        )


def test_the_command_line_leaves_one_complete_folder(tmp_path: Path) -> None:
    assert DATA.train_classes is not None
    assert DATA.test_classes is not None
    data, out = tmp_path / "data.npz", tmp_path / "out"
    np.savez(
        data,
        x_train=DATA.train_features[:],
        y_train=DATA.train_classes,
        x_test=DATA.test_features[:],
        y_test=DATA.test_classes,
    )
    form = ALIKE["conv"]
    named = dataclasses.replace(form, data=dataclasses.replace(form.data, name=str(data)))
    (tmp_path / "experiment.toml").write_text(format_experiment(named))
    arguments = ["train", str(tmp_path / "experiment.toml"), "--out", str(out), "--json"]
    torchrun("-m", "nomul.cli.main", *arguments)
    assert sorted(path.name for path in out.iterdir()) == [
        "experiment.toml",
        "module.safetensors",
        "network.safetensors",
        "training.json",
    ]
    result = json.loads((out / "training.json").read_text())
    assert result["mismatches_torch_golden"] == 0
    assert result["samples"] == 30
    expected = lower(train(form, DATA, discretized=True), (2, 6, 6))
    assert Network.load(out / "network.safetensors") == expected


def test_alone_there_is_nothing_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    module, batch = nn.BatchNorm1d(2), Batch(torch.rand(5, 2), torch.arange(5))
    with process_group():
        assert rank() == 0
        assert data_parallel(module) is module
        part = own_part(batch)
        assert torch.equal(part.x, batch.x)
        assert torch.equal(part.target, batch.target)
        assert same_on_all_ranks(lambda: "mine") == "mine"
        assert mean_of_all_ranks(torch.tensor(0.25)) == 0.25
        share_buffers(module)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_the_parts_of_a_batch_are_the_batch(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(torch.rand(6, 2), torch.arange(6))
    monkeypatch.setattr(parallel, "_world_size", lambda: size)
    seen: list[int] = []
    for number in range(size):
        here: Callable[[], int] = lambda number=number: number  # type: ignore[misc]  # noqa: E731
        monkeypatch.setattr(parallel, "rank", here)
        part = own_part(batch)
        assert len(part.x) == 6 // size
        assert torch.equal(part.x, batch.x[part.target])
        seen += part.target.tolist()
    assert sorted(seen) == list(range(6))


@pytest.mark.parametrize("size", [4, 5, 7])
def test_a_batch_needs_a_multiple_of_the_processes(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_world_size", lambda: size)
    with pytest.raises(UserError) as error:
        own_part(Batch(torch.rand(6, 2), torch.arange(6)))
    assert str(error.value) == (
        f"training.batch_size is 6: {size} processes need a multiple of {size}."
    )


def under_torchrun(monkeypatch: pytest.MonkeyPatch, n_gpus: int) -> dict[str, Any]:
    """Pretend that torchrun started this as the last of four processes; return what is asked."""
    asked: dict[str, Any] = {}
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "LOCAL_WORLD_SIZE": "4",
        "LOCAL_RANK": "3",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: asked.update(device=number))
    monkeypatch.setattr(distributed, "init_process_group", lambda kind: asked.update(kind=kind))
    monkeypatch.setattr(distributed, "barrier", lambda: asked.update(waited=True))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: asked.update(left=True))
    return asked


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = under_torchrun(monkeypatch, n_gpus=4)
    with process_group():
        assert asked == {"device": 3, "kind": "nccl"}
    assert asked["left"]


def test_without_gpus_processes_share_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = under_torchrun(monkeypatch, n_gpus=0)
    with process_group():
        assert asked == {"kind": "gloo"}
    assert asked["left"]


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = under_torchrun(monkeypatch, n_gpus=3)
    with pytest.raises(UserError) as error, process_group():
        pass
    assert str(error.value) == (
        "torchrun started 4 processes here, and there are 3 GPUs: start 3 processes at most."
    )
    assert asked == {}
