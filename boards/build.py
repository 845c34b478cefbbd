"""From a network to a board's bitstream, with the checks that belong to each step."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from nomul.boards.catalog import BOARDS, Board
from nomul.boards.top import Top
from nomul.hw.devices import smallest_device
from nomul.hw.netlist import (
    CellCounts,
    count_cells,
    multiplier_cells,
    read_netlist,
    read_place_and_route,
)
from nomul.hw.plan import Plan
from nomul.hw.tools import ToolFailed, find_tool, run_tool
from nomul.hw.unrolled import Unrolled
from nomul.network import CheckFailed, UserError
from nomul.network.files import staged_folder

__all__ = ["BuildReport", "build", "build_core", "find_tools"]

# One mapping pass of abc9 instead of its full script: a tenth of the time, about 5 % more LUTs.
_FAST_MAPPING = "scratchpad -set abc9.script +&if,{C},{W},{D},{R};&ps"

# Where nextpnr starts, one after the other, and the seconds that it has; it takes 10 to 40.
_SEEDS = ("1", "2", "3", "4", "5")
_ROUTE_LIMIT_S = 150.0

# Amaranth's names of the files that are kept, and what follows the board's name in ours.
_PRODUCTS = {
    "top.bin": ".bin",
    "top.il": ".il",
    "top.pcf": ".pcf",
    "top.ys": ".ys",
    "top.json": ".netlist.json",
    "top.report.json": ".report.json",
    "top.rpt": ".yosys.log",
    "top.tim": ".nextpnr.log",
}


@dataclass(frozen=True)
class BuildReport:
    """What a bitstream is made of.

    Attributes
    ----------
    board, device
        Names of the board and of its device.
    logic_cells
        Cells that nextpnr used; each holds a LUT4, a carry and a flip-flop.
    lut4, carry, ff, bram, spram, dsp
        Cells of each kind that yosys' netlist has.
    multipliers
        Cells that multiply or divide: 0.
    fmax_mhz
        Highest clock that the longest path allows, as nextpnr estimates it.
    clock_mhz
        The board's clock.
    bitstream
        Where it is.
    bitstream_bytes
        Its size.
    seconds
        Wall-clock time of ``synthesis``, ``place_and_route`` and ``bitstream``.
    """

    board: str
    device: str
    logic_cells: int
    lut4: int
    carry: int
    ff: int
    bram: int
    spram: int
    dsp: int
    multipliers: int
    fmax_mhz: float
    clock_mhz: float
    bitstream: Path
    bitstream_bytes: int
    seconds: dict[str, float]


def build(plan: Plan, board: Board, out: Path, *, fast: bool = False) -> BuildReport:
    """Make the bitstream that runs ``plan``, made for the board's device, on ``board``.

    The board then answers docs/wire-protocol.md on its serial port.

    Parameters
    ----------
    out
        Folder for the bitstream, the netlist, nextpnr's report, the RTLIL, the constraints and
        the logs, each named after the board. If anything fails, it stays as it was; the log of a
        tool that failed is put beside it.
    fast
        Map in a tenth of the time onto about 5 % more LUTs.

    Raises
    ------
    UserError
        If the network does not fit the device, a tool is missing or fails, or ``out`` cannot be
        written.
    CheckFailed
        If the netlist has a multiplier, or is slower than the board's clock.
    """
    find_tools()
    return build_core(Unrolled(plan), board, out, fast=fast)


def build_core(core: wiring.Component, board: Board, out: Path, *, fast: bool) -> BuildReport:
    """Do what :func:`build` does for any component that :class:`nomul.boards.link.Link` takes."""
    find_tools()
    with staged_folder(out) as stage:
        work = stage / "work"
        build_plan = board.platform().prepare(
            Top(core),
            "top",
            synth_opts=f"-device {board.device.yosys_device}",
            script_after_read=_FAST_MAPPING if fast else "",
            # That a path is too slow is for _check_speed to say.
            nextpnr_opts="--seed 1 --report top.report.json --timing-allow-fail",
        )
        work.mkdir()
        for name, content in build_plan.files.items():
            (work / name).write_text(content)
        yosys, nextpnr, icepack = json.loads(build_plan.files["build_top.json"])["commands"]
        try:
            synthesis = run_tool(yosys[0], yosys[1:], work, "top.rpt")
            cells = read_netlist(work / "top.json")
            _check_no_multiplier(multiplier_cells(cells))
            counts = count_cells(cells)
            place_and_route = _place_and_route(nextpnr, work, counts, board)
            report = read_place_and_route(work / "top.report.json")
            fmax_mhz = _check_speed(report.fmax_mhz, board)
            bitstream = run_tool(icepack[0], icepack[1:], work, "icepack.log")
        except ToolFailed as failure:
            handle, log = tempfile.mkstemp(prefix=f"nomul-{failure.tool}-", suffix=".log")
            os.close(handle)
            shutil.copy(failure.log, log)
            raise ToolFailed(failure.tool, failure.reason, Path(log)) from failure
        for name, suffix in _PRODUCTS.items():
            (work / name).rename(stage / f"{board.name}{suffix}")
        shutil.rmtree(work)
    path = out / f"{board.name}.bin"
    return BuildReport(
        board=board.name,
        device=board.device.name,
        logic_cells=report.logic_cells,
        lut4=counts.lut4,
        carry=counts.carry,
        ff=counts.ff,
        bram=counts.bram,
        spram=counts.spram,
        dsp=counts.dsp,
        multipliers=sum(multiplier_cells(cells).values()),
        fmax_mhz=fmax_mhz,
        clock_mhz=board.clock_mhz,
        bitstream=path,
        bitstream_bytes=path.stat().st_size,
        seconds={
            "synthesis": synthesis,
            "place_and_route": place_and_route,
            "bitstream": bitstream,
        },
    )


def find_tools() -> None:
    """See that every tool of a build is there.

    Raises
    ------
    UserError
        With the command that installs the first that is missing.
    """
    for tool in ("yosys", "nextpnr-ice40", "icepack"):
        find_tool(tool)


def _routed(command: list[str], work: Path) -> float:
    """Place and route from other seeds if nextpnr does not end.

    From some seeds its routers have been seen to try for ever, and from the next to end at once.
    """
    for seed in _SEEDS[:-1]:
        try:
            return _routed_from(seed, command, work, _ROUTE_LIMIT_S)
        except ToolFailed as failure:
            if not failure.reason.startswith("no end"):
                raise
    return _routed_from(_SEEDS[-1], command, work, 10 * _ROUTE_LIMIT_S)


def _routed_from(seed: str, command: list[str], work: Path, limit_s: float) -> float:
    arguments = list(command[1:])
    arguments[arguments.index("--seed") + 1] = seed
    return run_tool(command[0], arguments, work, "top.tim", limit_s=limit_s)


def _place_and_route(command: list[str], work: Path, counts: CellCounts, board: Board) -> float:
    try:
        return _routed(command, work)
    except ToolFailed as failure:
        needed = {
            name: int(used)
            for name, used in re.findall(
                r"^Info:\s+(\w+):\s+(\d+)/", failure.log.read_text(errors="replace"), re.MULTILINE
            )
        }
        # nextpnr counts after packing, and gives up before it counts where cells of a kind that
        # the device lacks are left.
        logic_cells = needed.get("ICESTORM_LC", max(counts.lut4, counts.ff))
        _check_fit(logic_cells, needed.get("ICESTORM_RAM", counts.bram), board)
        raise


def _check_fit(logic_cells: int, block_rams: int, board: Board) -> None:
    device = board.device
    for noun, needed, available in (
        ("logic cells", logic_cells, device.logic_cells),
        ("block RAMs", block_rams, device.block_rams),
    ):
        if needed > available:
            raise UserError(
                f"The network needs {needed} {noun}, and the {device.title} of {board.name} has "
                f"{available}, {needed - available} too few: what helps is fewer or narrower "
                f"levels, a smaller fan-in{_larger(logic_cells, block_rams)}."
            )


def _larger(logic_cells: int, block_rams: int) -> str:
    """Return the clause that names a board whose device is large enough, if there is one."""
    device = smallest_device(logic_cells, block_rams)
    if device is None:
        return " or fewer neurons"
    board = next(board for board in BOARDS.values() if board.device is device)
    return (
        f" or the board {board.name}, with {device.logic_cells} logic cells and "
        f"{device.block_rams} block RAMs"
    )


def _check_no_multiplier(multipliers: dict[str, int]) -> None:
    if multipliers:
        found = ", ".join(f"{count} {name}" for name, count in sorted(multipliers.items()))
        raise CheckFailed(
            f"The netlist has multipliers ({found}), and must not have any: report it, with the "
            "network file."
        )


def _check_speed(fmax_mhz: float | None, board: Board) -> float:
    assert fmax_mhz is not None, "the link alone has paths between flip-flops"
    if fmax_mhz < board.clock_mhz:
        raise CheckFailed(
            f"The longest path allows {fmax_mhz:.2f} MHz, and the clock of {board.name} runs at "
            f"{board.clock_mhz:g} MHz: what helps is a smaller fan-in, or fewer or narrower levels."
        )
    return fmax_mhz
