from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from nomul.network import UserError
from nomul.sim.verilator import is_installed
from nomul.train.experiment import Experiment
from nomul.verify.ladder import FAST, FULL, rungs
from nomul.verify.rung import climb
from nomul.verify.samples import random_samples
from tests.cli.helpers import picture_network
from tests.networks import random_network
from tests.verify.faults import SMALL, subject_of

UNROLLED = [
    "PyTorch → network",
    "network → graph",
    "network → Verilog",
    "network → netlist",
    "Verilog = netlist, proved",
    "network → board netlist",
    "network → bitstream",
]
FOLDED = [
    "PyTorch → network",
    "network → program",
    "network → engine",
    "network → board netlist",
    "network → bitstream",
]


def test_the_steps_are_in_the_order_of_the_data() -> None:
    subject = subject_of(SMALL)
    assert [rung.name for rung in rungs(subject, FAST)] == UNROLLED
    folded = dataclasses.replace(subject, folded=True)
    assert [rung.name for rung in rungs(folded, FAST)] == FOLDED


def test_the_full_ladder_compares_no_fewer_samples_than_the_fast_one() -> None:
    for folded in (False, True):
        subject = dataclasses.replace(subject_of(SMALL), folded=folded)
        for fast, full in zip(rungs(subject, FAST), rungs(subject, FULL), strict=True):
            most = float("inf")
            assert (full.samples_max or most) >= (fast.samples_max or most)
    assert FULL.proof_s > FAST.proof_s


def test_the_full_ladder_compares_all_samples_at_every_step() -> None:
    for folded in (False, True):
        subject = dataclasses.replace(subject_of(SMALL), folded=folded)
        most = {rung.name: rung.samples_max for rung in rungs(subject, FULL)}
        most.pop("Verilog = netlist, proved", None)  # it takes none
        assert set(most.values()) == {None}


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("verilator"), reason="verilator is not installed")
def test_a_chip_that_is_simulated_alone_compares_few_samples(tmp_path: Path) -> None:
    """A RAM without a wire changes no answer, but there is no model of it."""
    *_, on_board, _ = rungs(subject_of(SMALL), FAST)
    assert (on_board.name, FAST.on_board) == ("network → board netlist", 4)
    samples = random_samples(SMALL, 70)
    step = climb(on_board, samples, tmp_path)
    assert (step.status, step.compared) == ("equal", 70)
    (netlist,) = tmp_path.glob("build/*.netlist.json")
    content = json.loads(netlist.read_text())
    ram = {"type": "SB_RAM40_4K", "parameters": {}, "connections": {}, "port_directions": {}}
    content["modules"]["top"]["cells"]["ram"] = ram | {"attributes": {}, "hide_name": 0}
    netlist.write_text(json.dumps(content))
    step = climb(on_board, samples, tmp_path, makes=False)
    assert (step.status, step.compared) == ("equal", 4)


def test_a_network_that_cannot_be_unrolled_is_refused_before_any_step() -> None:
    with pytest.raises(UserError, match="chains of dense and lookup layers are unrolled"):
        list(rungs(subject_of(picture_network()), FAST))
    large = dataclasses.replace(subject_of(random_network((3, 300, 3), (2, 2))), folded=True)
    with pytest.raises(UserError, match="The network needs 303 biases"):
        list(rungs(large, FAST))


def test_a_network_without_its_training_skips_that_step(tmp_path: Path) -> None:
    samples = random_samples(SMALL, 5)
    (tmp_path / "home").mkdir()
    for experiment in (None, Experiment()):
        subject = subject_of(SMALL, tmp_path / "home", experiment=experiment)
        step = climb(next(iter(rungs(subject, FAST))), samples, tmp_path)
        assert (step.status, step.detail) == (
            "skipped",
            "There is no module.safetensors with its experiment.toml beside the network: `nomul "
            "train` leaves them.",
        )


def test_without_a_build_there_is_no_bitstream(tmp_path: Path) -> None:
    *_, last = rungs(subject_of(SMALL), FAST)
    step = climb(last, random_samples(SMALL, 5), tmp_path)
    assert (step.status, step.detail) == (
        "skipped",
        "There is no bitstream: the row above says why.",
    )
