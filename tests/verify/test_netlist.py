from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nomul.hw.devices import find_device
from nomul.hw.plan import plan
from nomul.network import CheckFailed, UserError
from nomul.verify.netlist import NETLIST, map_verilog, netlist_step
from nomul.verify.rtl import emit_verilog
from nomul.verify.samples import random_samples
from tests.networks import random_network
from tests.verify.faults import SMALL, flip_outputs


@pytest.mark.parametrize("device", ["up5k", "hx8k"])
@pytest.mark.parametrize(("output", "n_stages"), [("class", 0), ("accumulators", 1), ("levels", 3)])
def test_mapped_netlists_are_equal(output: str, n_stages: int, device: str, tmp_path: Path) -> None:
    levels = (5, 3, 3) if output == "levels" else (5, 3)
    network = random_network((3, 4, 3), levels, output=output)  # type: ignore[arg-type]
    planned = plan(network, find_device(device), n_stages=n_stages)
    emit_verilog(planned, tmp_path)
    map_verilog(find_device(device), tmp_path)
    step = netlist_step(planned, random_samples(network, 500), tmp_path)
    assert (step.compared, step.differences, step.status) == (500, 0, "equal")
    assert step.detail.endswith(" LUT4")


@pytest.fixture
def mapped(tmp_path: Path) -> Path:
    emit_verilog(plan(SMALL, n_stages=1), tmp_path)
    map_verilog(find_device("up5k"), tmp_path)
    return tmp_path


def test_a_flipped_table_differs(mapped: Path) -> None:
    samples = random_samples(SMALL, 300)
    flip_outputs(mapped / NETLIST)
    step = netlist_step(plan(SMALL, n_stages=1), samples, mapped)
    # The whole table is turned over, so one bit of every answer is.
    assert (step.status, step.differences) == ("different", 300)
    words = str(step.first_difference).split()
    neuron, expected, found = int(words[4][:-1]), int(words[6][:-1]), int(words[8])
    assert words[:4] == ["sample", "0,", "layers.1,", "neuron"]
    assert expected == samples.expected[0, neuron]
    assert np.abs(expected - found).item().bit_count() == 1


def test_an_answer_that_comes_too_late_is_a_failed_check(mapped: Path) -> None:
    with pytest.raises(CheckFailed) as caught:
        netlist_step(plan(SMALL, n_stages=0), random_samples(SMALL, 10), mapped)
    assert str(caught.value) == (
        "The netlist breaks its contract: sample 0 has no answer after 0 cycles."
    )


def test_a_netlist_with_a_memory_is_refused(mapped: Path) -> None:
    path = mapped / NETLIST
    content = json.loads(path.read_text())
    next(iter(content["modules"]["top"]["cells"].values()))["type"] = "SB_RAM40_4K"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="holds a cell SB_RAM40_4K"):
        netlist_step(plan(SMALL, n_stages=1), random_samples(SMALL, 10), mapped)
