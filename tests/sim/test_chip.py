"""Designs behind the pins of a serial port, simulated; faults on their line are in test_host."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomul.boards.host import NetworkHost
from nomul.boards.link import Link, SerialLink
from nomul.hw.plan import plan
from nomul.hw.tools import run_tool
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import convert
from nomul.network import CheckFailed, UserError
from nomul.sim.chip import Pins, VirtualChip, build_chip, netlist_verilog, read_pins
from nomul.sim.golden import evaluate_levels
from nomul.sim.verilator import is_installed
from tests.networks import random_levels, random_network

pytestmark = pytest.mark.skipif(not is_installed("verilator"), reason="verilator is not installed")

PINS = Pins("clk", "rx", "tx")
ECHO = """
module top(input clk, input rx, output tx);
  reg [2:0] late = 7;
  assign tx = late[2];
  always @(posedge clk) late <= {late[1:0], rx};
endmodule
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_chip(ECHO, PINS, tmp_path_factory.mktemp("echo"))


@pytest.mark.parametrize("bit_cycles", [8, 9, 104])
def test_every_byte_comes_back_from_an_echo(echo: Path, bit_cycles: int) -> None:
    with VirtualChip(echo, bit_cycles=bit_cycles, silence_cycles=20 * bit_cycles) as line:
        assert line.write(bytes(range(256))) == 256
        assert line.read(300) == bytes(range(256))
        assert line.read(1) == b""


def test_a_line_that_stays_low_says_nothing(tmp_path: Path) -> None:
    program = build_chip(ECHO.replace("late[2]", "1'b0"), PINS, tmp_path)
    with VirtualChip(program, bit_cycles=8, silence_cycles=500) as line:
        line.write(b"\x00\xff")
        assert line.read(1) == b""


def test_verilog_that_is_none_is_refused_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed) as caught:
        build_chip("module top(input clk", PINS, tmp_path)
    log = tmp_path / "simulation.log"
    assert str(caught.value) == f"Verilator refuses the design: see {log}."
    assert "syntax error" in log.read_text()


def test_a_pin_that_the_models_do_not_know_is_refused(tmp_path: Path) -> None:
    """A pin with a register in it."""
    pad = "SB_IO #(.PIN_TYPE(6'b010101)) pad(.PACKAGE_PIN(tx), .D_OUT_0(rx));"
    verilog = f"module top(input clk, input rx, inout tx);\n{pad}\nendmodule\n"
    with pytest.raises(CheckFailed, match="Verilator refuses the design"):
        build_chip(verilog, PINS, tmp_path)
    assert "a_pin_that_is_not_modelled" in (tmp_path / "simulation.log").read_text()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        build_chip(ECHO, PINS, tmp_path / "file")
    assert str(caught.value) == f"Cannot write into {tmp_path / 'file'}: File exists."


def test_pins_are_those_of_the_constraints(tmp_path: Path) -> None:
    path = tmp_path / "board.pcf"
    path.write_text(
        "# By Amaranth\nset_io uart_0__rx__io 6\nset_io uart_0__tx__io 9\n"
        "set_io flash_0__clk__io 15\nset_io clk12_0__io 35\nset_frequency clk12_0__io 12.0\n"
    )
    assert read_pins(path) == Pins("clk12_0__io", "uart_0__rx__io", "uart_0__tx__io")


def test_a_mapped_netlist_answers_as_the_golden_model(tmp_path: Path) -> None:
    network = random_network((5, 4, 3), (4, 3), output="accumulators")
    link = SerialLink(Link(Unrolled(plan(network))), 8)
    (tmp_path / "link.v").write_text(convert(link, "top"))
    script = "read_verilog link.v; synth_ice40 -top top -json link.json"
    run_tool("yosys", ["-q", "-l", "yosys.log", "-p", script], tmp_path, "yosys.log")
    verilog = netlist_verilog(tmp_path / "link.json", tmp_path)
    assert "SB_LUT4" in verilog
    levels = random_levels(network, 30)
    program = build_chip(verilog, PINS, tmp_path / "chip")
    with VirtualChip(program, bit_cycles=8, silence_cycles=2000) as line:
        host = NetworkHost(line, network)
        found = [list(host.answer(sample).values) for sample in levels.tolist()]
    assert found == evaluate_levels(network, levels).tolist()
    assert host.n_sent == 30, "each was answered at once"
