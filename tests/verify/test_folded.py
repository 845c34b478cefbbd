from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nomul.hw.folding import fold
from nomul.sim.interpreter import execute, sample_cycles
from nomul.sim.verilator import is_installed
from nomul.verify.folded import emit_engine_verilog, engine_step, program_step
from nomul.verify.samples import random_samples
from tests.hw.folded import NETWORKS, SMALL, SPARSE

needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)


@pytest.mark.parametrize("name", NETWORKS)
def test_programs_are_equal(name: str) -> None:
    network = NETWORKS[name]
    program = fold(network, SMALL)
    step = program_step(network, program, random_samples(network, 4))
    assert (step.compared, step.differences, step.status) == (4, 0, "equal")
    assert step.detail == f"{sample_cycles(program):,} cycles a sample"


def test_cycles_vary_where_zeros_are_skipped() -> None:
    network = SPARSE["groups of levels"]
    program = fold(network, dataclasses.replace(SMALL, skips_zeros=True))
    samples = random_samples(network, 9)
    cycles = execute(program, samples.levels).cycles
    assert program_step(network, program, samples).detail == (
        f"{cycles.mean():,.0f} cycles a sample, {cycles.max():,} at most"
    )


def test_a_changed_program_differs_in_the_networks_own_order() -> None:
    network = NETWORKS["a line, depthwise"]
    program = fold(network, SMALL)
    biases = program.biases.copy()
    biases[-1] += 1000
    step = program_step(
        network, dataclasses.replace(program, biases=biases), random_samples(network, 3)
    )
    assert (step.status, step.differences) == ("different", 3)
    # The last bias is that of the last channel, of which there are as many neurons as positions.
    positions = network.n_outputs // 2
    expected = random_samples(network, 3).expected[0, positions]
    assert step.first_difference == (
        f"sample 0, layers.1, neuron {positions}: expected {expected}, found {expected + 1000}"
    )


@pytest.mark.slow
@needs_verilator
def test_an_engine_is_equal_and_with_a_changed_program_it_is_not(tmp_path: Path) -> None:
    network = NETWORKS["a line, depthwise"]
    program = fold(network, SMALL)
    samples = random_samples(network, 20)
    emit_engine_verilog(program, tmp_path)
    step = engine_step(network, program, samples, tmp_path)
    assert (step.compared, step.differences, step.status) == (20, 0, "equal")
    assert f"{sample_cycles(program):,} cycles a sample" in step.detail

    biases = program.biases.copy()
    biases[-1] += 1000
    changed = dataclasses.replace(program, biases=biases)
    step = engine_step(network, changed, samples, tmp_path)
    assert (step.status, step.differences) == ("different", 20)
    assert str(step.first_difference).startswith("sample 0, output ")
