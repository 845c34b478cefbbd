from __future__ import annotations

import dataclasses
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
from nomul.sim.chip import Pins, VirtualChip, build_chip, read_pins
from nomul.sim.chip_logic import ChipLogic, decoded_logic, netlist_logic
from nomul.sim.chips import N_CHIPS
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
    """More samples than there are chips, so that some of these get several."""
    many = Samples(np.tile(LEVELS, (9, 1)), np.tile(SAMPLES.expected, (9, 1)))
    step = board_netlist_step(NETWORK, many, built, BOARD, folded=False)
    assert (step.status, step.compared, step.differences) == ("equal", 144, 0)
    assert step.first_difference is None


@slow
@needs_verilator
def test_one_wrong_answer_among_many_is_found(built: Path) -> None:
    many = Samples(np.tile(LEVELS, (9, 1)), np.tile(SAMPLES.expected, (9, 1)))
    many.expected[130, 2] += 1
    step = board_netlist_step(NETWORK, many, built, BOARD, folded=False)
    assert (step.status, step.compared, step.differences) == ("different", 144, 1)
    assert step.first_difference is not None
    assert step.first_difference.startswith("sample 130, layers.0, neuron 2: expected ")


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


def logic_of(built: Path, pins: Pins) -> ChipLogic:
    logic = netlist_logic(built / "build" / "icebreaker.netlist.json", pins)
    assert logic is not None
    return logic


@slow
@needs_verilator
@needs_icestorm
@pytest.mark.parametrize("is_mute", [False, True])
def test_a_chip_alone_answers_as_many_do(is_mute: bool, built: Path) -> None:
    """As one with RAMs is simulated."""

    def chip(folder: Path, _: Pins) -> str:
        verilog = decoded(unpack(built / "build" / "icebreaker.bin", folder), built, BOARD)
        drive = r"\1\nassign uart_0__tx__io = 1;" if is_mute else r"\1"
        return re.sub(r"(output uart_0__tx__io;)", drive, verilog)

    step = pins_step(chip, NETWORK, SAMPLES, built, BOARD, folded=False)
    if is_mute:
        assert (step.status, step.compared, step.differences) == ("different", 1, 1)
        assert step.first_difference == "sample 0: an answer was expected, and none came"
    else:
        assert (step.status, step.compared, step.differences) == ("equal", 16, 0)


@slow
@needs_verilator
def test_a_silent_chip_differs(built: Path) -> None:
    def mute(_: Path, pins: Pins) -> ChipLogic:
        return dataclasses.replace(logic_of(built, pins), tx=1)

    step = pins_step(mute, NETWORK, SAMPLES, built, BOARD, folded=False)
    assert (step.status, step.compared, step.differences) == ("different", 1, 1)
    assert step.first_difference == "sample 0: an answer was expected, and none came"


@slow
@needs_verilator
@needs_icestorm
def test_one_bit_of_a_lut_is_noticed(built: Path, tmp_path: Path) -> None:
    """Of 41, one at a time; most stand for errors on the line, or for what never comes.

    A chip alone, which Verilator simulates, and many at once notice the same ones.
    """
    verilog = decoded(unpack(built / "build" / "icebreaker.bin", tmp_path), built, BOARD)
    pattern = re.compile(r"^(assign \w+ += /\* LUT .*?\*/) (?!1'b)(.*);$", re.MULTILINE)
    faults = []  # where the expression is, its inputs, and those at which it is wrong
    for found in pattern.finditer(verilog):
        inputs = sorted(set(re.findall(r"(?<!')\b[a-z]\w+", found[2])))
        faults += [
            (found, dict(zip(inputs, bits, strict=True)))
            for bits in itertools.product((0, 1), repeat=len(inputs))
        ]
    n_bits = len(faults)
    assert 1_000 < n_bits < 60_000

    numbers = itertools.count()

    def with_fault(found: re.Match[str]) -> str:
        """Turn the table's entry for these inputs over if it has the fault's number."""
        inputs = sorted(set(re.findall(r"(?<!')\b[a-z]\w+", found[2])))
        first, *_ = (next(numbers) for _ in range(1 << len(inputs)))
        return f"{found[1]} ({found[2]}) ^ (fault[0] - 16'd{first} == {{{', '.join(inputs)}}});"

    chosen = tmp_path / "fault.hex"
    declared = f'reg [15:0] fault [0:0];\ninitial $readmemh("{chosen}", fault);\nendmodule'
    program = build_chip(
        pattern.sub(with_fault, verilog).replace("endmodule", declared),
        read_pins(built / "build" / "icebreaker.pcf"),
        tmp_path,
    )
    expected = [tuple(row) for row in SAMPLES.expected.tolist()]

    def is_noticed(number: int) -> bool:
        chosen.write_text(f"{number:x}\n")
        with VirtualChip(program, bit_cycles=104, silence_cycles=5_000) as line:
            host = NetworkHost(line, NETWORK)
            try:
                found = [host.answer(sample).values for sample in LEVELS.tolist()]
            except UserError:
                return True
            return (found, host.n_sent) != (expected, len(expected))

    def is_noticed_by_many(number: int) -> bool:
        found, inputs = faults[number]
        here = " & ".join(name if bit else f"!{name}" for name, bit in inputs.items())
        wrong = f"{found[1]} (({here}) ? !({found[2]}) : ({found[2]}));"
        text = verilog[: found.start()] + wrong + verilog[found.end() :]

        def chip(_: Path, pins: Pins) -> ChipLogic:
            logic = decoded_logic(text, pins)
            assert logic is not None
            return logic

        step = pins_step(chip, NETWORK, of_each, built, BOARD, folded=False)
        return step.status == "different"

    # Each of the chips gets the samples in their order.
    of_each = Samples(*(np.repeat(rows, N_CHIPS, axis=0) for rows in (LEVELS, SAMPLES.expected)))
    assert not is_noticed(60_000)
    tried = range(0, n_bits, n_bits // 40)
    noticed = [is_noticed(number) for number in tried]
    assert (sum(noticed), len(noticed)) == (17, 41), "another netlist has another count"
    assert [is_noticed_by_many(number) for number in tried] == noticed
