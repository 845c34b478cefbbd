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
# Says the bytes of `state` again and again, the least bits first, 8 cycles per bit of the line,
# from power-on on: a register that nothing sets, the outputs of RAMs that were never read, then a
# word that was never written, flip-flops that never load, and a word of a block RAM.
POWER_ON = """
module top(input clk, input rx, output tx);
  reg [63:0] unset;
  wire [15:0] idle, unread, unwritten, flip_flops, words;
  SB_SPRAM256KA never(
    .ADDRESS(14'd9), .DATAIN(16'd0), .MASKWREN(4'd15), .WREN(1'b0), .CHIPSELECT(1'b0),
    .CLOCK(clk), .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(idle));
  SB_SPRAM256KA always_(
    .ADDRESS(14'd9), .DATAIN(16'd0), .MASKWREN(4'd15), .WREN(1'b0), .CHIPSELECT(1'b1),
    .CLOCK(clk), .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(unwritten));
  SB_RAM40_4K unread_block(
    .RDATA(unread), .RADDR(11'd0), .RCLK(clk), .RCLKE(1'b1), .RE(1'b0),
    .WADDR(11'd0), .WCLK(clk), .WCLKE(1'b1), .WE(1'b0), .WDATA(16'd0), .MASK(16'd0));
  SB_RAM40_4K #(.INIT_0(256'h5aa5)) block(
    .RDATA(words), .RADDR(11'd0), .RCLK(clk), .RCLKE(1'b1), .RE(1'b1),
    .WADDR(11'd0), .WCLK(clk), .WCLKE(1'b1), .WE(1'b0), .WDATA(16'd0), .MASK(16'd0));
  SB_DFFE held[15:0](.Q(flip_flops), .C(clk), .E(1'b0), .D(1'b1));

  wire [143:0] state = {words, flip_flops, unwritten, unread, idle, unset};
  reg [2:0] cycle = 0;
  reg [3:0] bit_of_byte = 9;
  reg [7:0] place = 0;
  assign tx = bit_of_byte == 9 || (bit_of_byte != 0 && state[place]);
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (cycle == 7) begin
      bit_of_byte <= bit_of_byte == 9 ? 0 : bit_of_byte + 1;
      if (bit_of_byte % 9 != 0) place <= place == 143 ? 0 : place + 1;
    end
  end
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


def test_at_power_on_what_the_chip_defines_is_as_it_says_and_the_rest_is_not_0(
    tmp_path: Path,
) -> None:
    program = build_chip(POWER_ON, PINS, tmp_path)
    runs = []
    for _ in range(2):
        with VirtualChip(program, bit_cycles=8, silence_cycles=500) as line:
            runs.append(line.read(18))
    (found, again) = runs
    assert found == again
    undefined = [found[:8], found[8:10], found[10:12]]
    for part in undefined:
        assert any(part), part
        assert part.count(0xFF) < len(part), part
    assert (found[12:14], found[14:16], found[16:]) == (b"\xff\xff", b"\0\0", b"\xa5\x5a")


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
