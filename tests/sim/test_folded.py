from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nomul.hw.engine import Engine
from nomul.hw.engine_verilog import emit_engine
from nomul.hw.folding import fold
from nomul.hw.program_image import load_words
from nomul.network import CheckFailed, Conv2d, UserError
from nomul.sim import folded
from nomul.sim.batch import BatchSimulator
from nomul.sim.folded import (
    FoldedSimulation,
    packed_load_words,
    run_folded,
    simulate_folded,
)
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import sample_cycles
from nomul.sim.verilator import is_installed
from tests.hw.folded import NETWORKS, SMALL
from tests.networks import random_levels

NETWORK = NETWORKS["pictures"]
PROGRAM = fold(NETWORK, SMALL)

needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FoldedSimulation]:
    folder = tmp_path_factory.mktemp("built") / "a folder"
    verilog = emit_engine(Engine(SMALL))
    levels = random_levels(NETWORK, 30)
    return folder, simulate_folded(NETWORK, PROGRAM, levels, verilog=verilog, folder=folder, seed=1)


@pytest.fixture(scope="module")
def engine(built: tuple[Path, FoldedSimulation]) -> BatchSimulator:
    return BatchSimulator(built[0] / "batch", SMALL.level_bits, SMALL.sum_bits, 3 + 3 + 16 + 16)


def test_load_words_are_packed_as_the_port_has_them() -> None:
    found = packed_load_words(PROGRAM).tolist()
    assert [(w & 7, w >> 3 & 7, w >> 6 & 0xFFFF, w >> 22) for w in found] == list(
        load_words(PROGRAM)
    )


@needs_verilator
def test_an_engine_is_built_loaded_and_compared(built: tuple[Path, FoldedSimulation]) -> None:
    folder, found = built
    assert (found.samples, found.mismatches, found.first_mismatch) == (30, 0, None)
    assert found.cycles_per_sample == sample_cycles(PROGRAM)
    assert found.build_seconds > 0
    assert found.run_seconds > 0
    assert (folder / "simulation.log").is_file()


@needs_verilator
def test_a_single_sample_is_enough(engine: BatchSimulator) -> None:
    found = run_folded(engine, NETWORK, PROGRAM, random_levels(NETWORK, 1))
    assert (found.samples, found.mismatches) == (1, 0)
    assert 0 < found.cycles_per_sample <= sample_cycles(PROGRAM)


@needs_verilator
@pytest.mark.parametrize("seed", [0, 1])
def test_wrong_answers_are_counted_once_and_the_first_is_told(
    engine: BatchSimulator, seed: int
) -> None:
    """The engine's program is that of a network whose second bias is 1 less."""
    network = NETWORKS["a line, depthwise"]
    program = fold(network, SMALL)
    last = network.layers[-1]
    assert isinstance(last, Conv2d)
    more = dataclasses.replace(last, bias=last.bias + np.array([0, 1], np.int32))
    other = dataclasses.replace(network, layers=(*network.layers[:-1], more))
    levels = random_levels(network, 7)
    found = run_folded(engine, other, program, levels, seed=seed)
    assert (found.samples, found.mismatches) == (7, 7)
    output = program.output_order[1]
    right = int(evaluate_levels(network, levels[:1])[0, output])
    assert found.first_mismatch == (
        f"sample 0, output {output}, without stalls: expected {right + 1}, found {right}"
    )


@needs_verilator
@pytest.mark.parametrize("wrong", [-1, 1])
def test_samples_that_take_longer_or_shorter_than_promised_are_told(
    engine: BatchSimulator, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    promised = sample_cycles(PROGRAM)
    monkeypatch.setattr(folded, "sample_cycles", lambda _: promised + wrong)
    with pytest.raises(CheckFailed) as caught:
        run_folded(engine, NETWORK, PROGRAM, random_levels(NETWORK, 3))
    assert str(caught.value) == (
        f"The hardware breaks its contract: {promised + wrong:,} cycles were promised for sample "
        f"1, and it took {promised:,}."
    )


@pytest.mark.parametrize("shape", [(0, NETWORK.n_inputs), (2, 3), (NETWORK.n_inputs,)], ids=str)
def test_levels_of_another_shape_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        simulate_folded(NETWORK, PROGRAM, np.zeros(shape, int), verilog="", folder=tmp_path)
    assert str(caught.value) == (
        f"The levels have shape {shape}: the network takes ('samples', 126), with at least one "
        "sample."
    )


def test_levels_that_the_network_does_not_have_are_refused(tmp_path: Path) -> None:
    levels = np.zeros((1, NETWORK.n_inputs), int)
    levels[0, 5] = 4
    with pytest.raises(UserError) as caught:
        simulate_folded(NETWORK, PROGRAM, levels, verilog="", folder=tmp_path)
    assert str(caught.value) == (
        "The levels range from 0 to 4: those of the network's input range from 0 to 3."
    )
