from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from nomul.boards.build import build
from nomul.boards.catalog import find_board
from nomul.boards.host import NetworkHost
from nomul.hw.plan import plan
from nomul.network import UserError
from nomul.sim.chip import VirtualChip, build_chip, read_pins
from nomul.sim.golden import evaluate_levels
from nomul.sim.icestorm import is_decoder_installed, unpack
from nomul.sim.verilator import is_installed
from nomul.verify.bitstream import bitstream_step, board_netlist_step, decoded, pins_step
from nomul.verify.samples import Samples
from tests.networks import random_network

# Each of the tests that simulate a chip builds a bitstream or a simulator.
slow = pytest.mark.slow
needs_icestorm = pytest.mark.skipif(
    not is_decoder_installed(), reason="fpga-icestorm is not installed"
)
needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)

BOARD = find_board("icebreaker")
NETWORK = random_network((4, 3), (2,), output="accumulators")
LEVELS = np.array(list(itertools.product((0, 1), repeat=4)))
SAMPLES = Samples(LEVELS, evaluate_levels(NETWORK, LEVELS))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the board's build, as the steps take it."""
    folder = tmp_path_factory.mktemp("built")
    build(plan(NETWORK), BOARD, folder / "build", fast=True)
    return folder


def test_without_icestorm_there_is_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError) as caught:
        bitstream_step(NETWORK, SAMPLES, tmp_path, BOARD, folded=False)
    assert str(caught.value) == (
        "Project IceStorm, which reads bitstreams back, is not installed: run `apt install "
        "fpga-icestorm`."
    )
    assert not list(tmp_path.iterdir())


@slow
@needs_verilator
def test_the_netlist_of_a_board_answers_as_the_golden_model(built: Path) -> None:
    step = board_netlist_step(NETWORK, SAMPLES, built, BOARD, folded=False)
    assert (step.status, step.compared, step.differences) == ("equal", 16, 0)
    assert step.first_difference is None


@slow
@needs_verilator
@needs_icestorm
def test_a_bitstream_answers_as_the_golden_model(built: Path) -> None:
    step = bitstream_step(NETWORK, SAMPLES, built, BOARD, folded=False)
    assert (step.status, step.compared, step.differences) == ("equal", 16, 0)


@slow
@needs_verilator
@needs_icestorm
def test_the_bitstream_of_another_network_differs(built: Path) -> None:
    other = random_network((4, 3), (2,), output="accumulators", seed=1)
    samples = Samples(LEVELS, evaluate_levels(other, LEVELS))
    wrong = (samples.expected != SAMPLES.expected).any(axis=1)
    step = bitstream_step(other, samples, built, BOARD, folded=False)
    assert step.status == "different"
    assert step.first_difference is not None
    assert step.first_difference.startswith(f"sample {wrong.argmax()}")


@slow
@needs_verilator
@needs_icestorm
def test_a_silent_chip_differs(built: Path) -> None:
    def mute(folder: Path) -> str:
        verilog = decoded(unpack(built / "build" / "icebreaker.bin", folder), built, BOARD)
        return re.sub(r"(output uart_0__tx__io;)", r"\1\nassign uart_0__tx__io = 1;", verilog)

    step = pins_step("mute", mute, NETWORK, SAMPLES, built, BOARD, folded=False)
    assert (step.status, step.compared, step.differences) == ("different", 1, 1)
    assert step.first_difference == "sample 0: an answer was expected, and none came"


@slow
@needs_verilator
@needs_icestorm
def test_one_bit_of_a_lut_is_noticed(built: Path, tmp_path: Path) -> None:
    """Of 41, one at a time; most stand for errors on the line, or for what never comes."""
    verilog = decoded(unpack(built / "build" / "icebreaker.bin", tmp_path), built, BOARD)
    n_bits = 0

    def with_fault(found: re.Match[str]) -> str:
        """Turn the table's entry for these inputs over if it has the fault's number."""
        nonlocal n_bits
        inputs = sorted(set(re.findall(r"(?<!')\b[a-z]\w+", found[2])))
        text = f"{found[1]} ({found[2]}) ^ (fault[0] - 16'd{n_bits} == {{{', '.join(inputs)}}});"
        n_bits += 1 << len(inputs)
        return text

    pattern = re.compile(r"^(assign \w+ += /\* LUT .*?\*/) (?!1'b)(.*);$", re.MULTILINE)
    verilog = pattern.sub(with_fault, verilog)
    assert 1_000 < n_bits < 60_000
    chosen = tmp_path / "fault.hex"
    declared = f'reg [15:0] fault [0:0];\ninitial $readmemh("{chosen}", fault);\nendmodule'
    program = build_chip(
        verilog.replace("endmodule", declared),
        read_pins(built / "build" / "icebreaker.pcf"),
        tmp_path,
    )
    expected = [tuple(row) for row in SAMPLES.expected.tolist()]

    def is_noticed(number: int) -> bool:
        chosen.write_text(f"{number:x}\n")
        with VirtualChip(program, bit_cycles=104, silence_cycles=5_000) as line:
            host = NetworkHost(line, NETWORK)
            try:
                return [host.answer(sample).values for sample in LEVELS.tolist()] != expected
            except UserError:
                return True

    assert not is_noticed(60_000)
    noticed = [is_noticed(number) for number in range(0, n_bits, n_bits // 40)]
    assert (sum(noticed), len(noticed)) == (15, 41), "another netlist has another count"
