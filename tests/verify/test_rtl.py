from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nomul.hw.plan import plan
from nomul.network import CheckFailed
from nomul.sim.verilator import is_installed
from nomul.verify.rtl import VERILOG, emit_verilog, verilog_step
from nomul.verify.samples import random_samples
from tests.networks import random_network
from tests.verify.faults import SMALL, with_fault_in_graph

pytestmark = pytest.mark.skipif(not is_installed("verilator"), reason="verilator is not installed")


@pytest.mark.parametrize(("output", "n_stages"), [("class", 0), ("accumulators", 1), ("levels", 3)])
def test_emitted_verilog_is_equal(output: str, n_stages: int, tmp_path: Path) -> None:
    levels = (5, 3, 3) if output == "levels" else (5, 3)
    network = random_network((3, 4, 3), levels, output=output)  # type: ignore[arg-type]
    planned = plan(network, n_stages=n_stages)
    emit_verilog(planned, tmp_path)
    step = verilog_step(planned, random_samples(network, 500), tmp_path)
    assert (step.compared, step.differences, step.status) == (500, 0, "equal")
    assert step.detail.startswith("with and without random stalls, ")


def test_a_changed_verilog_differs_and_is_not_emitted_anew(tmp_path: Path) -> None:
    planned = plan(SMALL, n_stages=2)
    graph, _ = with_fault_in_graph(planned.graph)
    emit_verilog(dataclasses.replace(planned, graph=graph), tmp_path)
    emit_verilog(planned, tmp_path)
    samples = random_samples(SMALL, 300)
    step = verilog_step(planned, samples, tmp_path)
    found = graph.evaluate(samples.levels)
    wrong = (found != samples.expected).any(axis=1)
    assert (step.status, step.differences) == ("different", wrong.sum())
    sample = wrong.argmax()
    neuron = (found != samples.expected)[sample].argmax()
    assert step.first_difference == (
        f"sample {sample}, layers.1, neuron {neuron}, without stalls: expected "
        f"{samples.expected[sample, neuron]}, found {found[sample, neuron]}"
    )


def test_a_latency_that_was_not_promised_is_a_failed_check(tmp_path: Path) -> None:
    emit_verilog(plan(SMALL, n_stages=2), tmp_path)
    with pytest.raises(CheckFailed) as caught:
        verilog_step(plan(SMALL, n_stages=1), random_samples(SMALL, 10), tmp_path)
    assert str(caught.value) == (
        "The hardware breaks its contract: sample 0 was answered after 2 cycles, and 1 were "
        "promised."
    )


def test_verilog_that_is_none_is_a_failed_check(tmp_path: Path) -> None:
    (tmp_path / VERILOG).write_text("module top(; endmodule")
    with pytest.raises(CheckFailed, match=r"^Verilator refuses the design: see "):
        verilog_step(plan(SMALL), random_samples(SMALL, 10), tmp_path)
