"""How much logic a Verilog design takes in four technologies, whoever wrote it.

The measure is the same for every design, so designs of different makers can be compared: one
synthesizer, one script for each technology, and everything in logic. No script may use a block
RAM, a LUT as a memory or a DSP block, and a netlist with a cell that the count does not know is
refused rather than counted too low.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from nomul.hw.netlist import count_cells, read_netlist, read_place_and_route
from nomul.hw.tools import run_tool
from nomul.network.errors import CheckFailed, UserError, unknown_name

__all__ = ["Area", "Target", "measure_area"]

Target = Literal["ice40", "ecp5", "xilinx", "asic"]

# Mapping without ABC's optimizations: some 14 times as fast, and 5 % more LUTs.
_FAST = "scratchpad -set abc9.script +&if,{C},{W},{D},{R};&ps"

# The synthesis of each technology.
_SCRIPTS: Mapping[Target, tuple[str, ...]] = {
    "ice40": ("synth_ice40 -device u -nobram -top {top} -json {top}.ice40.json",),
    "ecp5": ("synth_ecp5 -nobram -nolutram -nodsp -top {top}",),
    "xilinx": ("synth_xilinx -flatten -nobram -nolutram -nosrl -nodsp -noiopad -top {top}",),
    "asic": (
        "synth -flatten -top {top}",
        "dfflegalize -cell $_DFF_P_ 01",  # resets and enables are gates too
        "simplemap",
        "abc -g cmos",
        "opt_clean -purge",
    ),
}

# Beginnings of the names of all cells that may be in a netlist; inner names are `$_NAND_` alone.
_KNOWN: Mapping[Target, tuple[str, ...]] = {
    "ice40": ("SB_LUT4", "SB_CARRY", "SB_DFF"),
    "ecp5": ("LUT4", "CCU2C", "PFUMX", "L6MUX21", "TRELLIS_FF", "GSR"),
    "xilinx": ("LUT", "INV", "CARRY4", "MUXF", "FD", "BUFG"),
    "asic": (
        *("$_AND", "$_OR", "$_NAND", "$_NOR", "$_XOR", "$_XNOR", "$_NOT", "$_BUF", "$_MUX"),
        *("$_NMUX", "$_AOI", "$_OAI", "$_DFF_P_"),
    ),
}

_TRANSISTORS_PER_NAND2 = 4


@dataclass(frozen=True)
class Area:
    """What a design takes in one technology.

    Attributes
    ----------
    target
        The technology.
    logic_cells
        The number to compare by. iCE40: logic cells after packing, a LUT4, its flip-flop and its
        carry in one, with those that carry chains start and end with, and with the one or
        two that nextpnr puts into every design for its constants. ECP5: LUT4, a CCU2C (two
        bits of a carry chain) being two. Xilinx, 7 series: LUTs of one to six inputs. ASIC:
        two-input NANDs of four transistors each, from yosys' count of the transistors of static
        CMOS gates and flip-flops.
    lut
        LUTs among the cells of the netlist; in an ASIC, gates.
    carry
        SB_CARRY, CCU2C or CARRY4; no such thing in an ASIC.
    mux
        The multiplexers that join LUTs: PFUMX and L6MUX21, or MUXF7 and MUXF8.
    ff
        Flip-flops.
    """

    target: Target
    logic_cells: int
    lut: int
    carry: int
    mux: int
    ff: int


def measure_area(
    verilog: str, top: str, target: Target, folder: Path, *, fast: bool = False
) -> Area:
    """Synthesize a design and count what it takes. Its ports need no pins.

    Parameters
    ----------
    verilog
        A text that holds all modules; combinational or with flip-flops.
    top
        The module to count.
    target
        The technology.
    folder
        Where the Verilog, the netlist and the logs go, named for ``top`` and ``target``; made if
        it is not there.
    fast
        Map without ABC's optimizations, on the FPGA: for tests. Published numbers are without.

    Raises
    ------
    UserError
        If there is no such target, or a tool is not installed.
    ToolFailed
        If the Verilog is refused.
    CheckFailed
        If a cell is left that the count does not know: a DSP block, a memory, a latch, a black
        box.
    """
    if target not in get_args(Target):
        raise UserError(unknown_name("target", target, get_args(Target)))
    folder.mkdir(parents=True, exist_ok=True)
    source, script, stat, log = (f"{top}.{target}.{kind}" for kind in ("v", "ys", "stat", "log"))
    commands = [
        f"read_verilog -sv {source}",
        *([_FAST] if fast else []),
        *(line.replace("{top}", top) for line in _SCRIPTS[target]),
        f"tee -q -o {stat} stat -json -tech cmos",
    ]
    (folder / source).write_text(verilog)
    (folder / script).write_text("\n".join([*commands, ""]))
    (folder / log).unlink(missing_ok=True)
    run_tool("yosys", ["-q", "-l", log, script], folder, log)
    cells = read_netlist(folder / stat)
    cells.pop("$scopeinfo", None)
    unknown = {name: n for name, n in cells.items() if not name.startswith(_KNOWN[target])}
    if unknown:
        named = ", ".join(f"{n} {name}" for name, n in sorted(unknown.items()))
        raise CheckFailed(
            f"The netlist of {top} holds {named}: the area of {target} is of logic alone."
        )
    if target == "ice40":
        return _ice40(top, cells, folder)
    return _others(target, cells, folder / stat)


def _ice40(top: str, cells: Mapping[str, int], folder: Path) -> Area:
    """Pack the netlist: only then is known which cells share one, and what a chain adds."""
    report, log = f"{top}.ice40.report.json", f"{top}.ice40.pack.log"
    (folder / log).unlink(missing_ok=True)
    # Packing heeds neither the size of the device nor its pins.
    device = ["--up5k", "--package", "sg48", "--json", f"{top}.ice40.json"]
    run_tool("nextpnr-ice40", [*device, "--pack-only", "--report", report, "-l", log], folder, log)
    packed = read_place_and_route(folder / report)
    counts = count_cells(cells)
    return Area("ice40", packed.logic_cells, counts.lut4, counts.carry, 0, counts.ff)


def _others(target: Target, cells: Mapping[str, int], stat: Path) -> Area:
    def count(*beginnings: str) -> int:
        return sum(n for name, n in cells.items() if name.startswith(beginnings))

    if target == "ecp5":
        lut, carry, ff = count("LUT4"), count("CCU2C"), count("TRELLIS_FF")
        return Area(target, lut + 2 * carry, lut, carry, count("PFUMX", "L6MUX21"), ff)
    if target == "xilinx":
        lut = count("LUT", "INV")
        return Area(target, lut, lut, count("CARRY4"), count("MUXF"), count("FD"))
    ff = count("$_DFF_P_")
    transistors = int(json.loads(stat.read_text())["design"]["estimated_num_transistors"])
    return Area(target, -(-transistors // _TRANSISTORS_PER_NAND2), count("$_") - ff, 0, 0, ff)
