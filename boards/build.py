"""From a network or an engine to a board's bitstream, with the checks that belong to each step."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from nomul.boards.build_checks import (
    ENGINE,
    NETWORK,
    Subject,
    check_fit,
    check_no_multiplier,
    check_speed,
)
from nomul.boards.catalog import Board
from nomul.boards.engine_link import EngineLink
from nomul.boards.flash_boot import FlashBoot
from nomul.boards.link import Link
from nomul.boards.tool_chain import synthesis_options, tool_chain
from nomul.boards.top import Top
from nomul.hw.engine import Engine
from nomul.hw.netlist import (
    CellCounts,
    count_cells,
    multiplier_cells,
    read_netlist,
    read_place_and_route,
)
from nomul.hw.plan import Plan
from nomul.hw.program import Program
from nomul.hw.tools import ToolFailed, find_tool, run_tool
from nomul.hw.unrolled import Unrolled
from nomul.network.files import staged_folder

__all__ = ["BuildReport", "build", "build_core", "build_engine", "find_tools"]

# One mapping pass of abc9 instead of its full script: a tenth of the time, about 5 % more LUTs. Of
# an engine it makes far fewer, for the full script takes its multiplexers apart.
_FAST_MAPPING = "scratchpad -set abc9.script +&if,{C},{W},{D},{R};&ps"

# What a memory of the engine gives for an address that is written in the same cycle is never used:
# without this, yosys would add logic to make it the old word.
_NO_COLLISIONS = "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2"

# Where nextpnr starts, one after the other.
_SEEDS = ("1", "2", "3", "4", "5")


@dataclass(frozen=True)
class BuildReport:
    """What a bitstream is made of.

    Attributes
    ----------
    board, device
        Names of the board and of its device.
    logic_cells
        Cells that nextpnr used; each holds a LUT4, a carry, on ECP5 half of one, and a flip-flop.
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
    find_tools(board)
    return build_core(Unrolled(plan), board, out, fast=fast)


def build_core(core: wiring.Component, board: Board, out: Path, *, fast: bool) -> BuildReport:
    """Do what :func:`build` does for any component that :class:`nomul.boards.link.Link` takes."""
    script = _FAST_MAPPING if fast else ""
    return _build(Link(core), board, out, script, NETWORK)


def build_engine(board: Board, out: Path, program: Program | None = None) -> BuildReport:
    """Make the bitstream of the board's folded engine, which runs any program that is loaded.

    It answers docs/wire-protocol.md's requests of engines. Otherwise as :func:`build`.

    Parameters
    ----------
    program
        What it begins with; by default nothing. It is in the bitstream, but where the weights are
        in single-ported RAM: then the engine begins with what the board's flash holds, as
        :func:`nomul.boards.flash_boot.flash_image` says.
    """
    script = f"{_FAST_MAPPING}\n{_NO_COLLISIONS}"
    settings = board.engine_settings
    if settings.weight_memory == "spram":
        return _build(FlashBoot(EngineLink(Engine(settings))), board, out, script, ENGINE)
    return _build(EngineLink(Engine(settings, program)), board, out, script, ENGINE)


def _build(
    link: wiring.Component, board: Board, out: Path, script: str, subject: Subject
) -> BuildReport:
    """Build what :class:`Top` takes, with ``script`` before yosys' synthesis."""
    find_tools(board)
    tools = tool_chain(board.device)
    with staged_folder(out) as stage:
        work = stage / "work"
        build_plan = board.platform().prepare(
            Top(link),
            "top",
            synth_opts=synthesis_options(board.device),
            script_after_read=script,
            # That a path is too slow is for check_speed to say.
            nextpnr_opts="--seed 1 --report top.report.json --timing-allow-fail "
            f"--router {subject.router}",
        )
        work.mkdir()
        for name, content in build_plan.files.items():
            (work / name).write_text(content)
        yosys, nextpnr, pack = json.loads(build_plan.files["build_top.json"])["commands"]
        try:
            synthesis = run_tool(yosys[0], yosys[1:], work, "top.rpt")
            cells = read_netlist(work / "top.json")
            check_no_multiplier(multiplier_cells(cells))
            counts = count_cells(cells)
            place_and_route = _place_and_route(nextpnr, work, counts, board, subject)
            report = read_place_and_route(work / "top.report.json")
            fmax_mhz = check_speed(report.fmax_mhz, board, subject)
            bitstream = run_tool(pack[0], pack[1:], work, "pack.log")
        except ToolFailed as failure:
            handle, log = tempfile.mkstemp(prefix=f"nomul-{failure.tool}-", suffix=".log")
            os.close(handle)
            shutil.copy(failure.log, log)
            raise ToolFailed(failure.tool, failure.reason, Path(log)) from failure
        for name, suffix in tools.products.items():
            (work / name).rename(stage / f"{board.name}{suffix}")
        shutil.rmtree(work)
    path = out / f"{board.name}{tools.bitstream}"
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


def find_tools(board: Board) -> None:
    """See that every tool of a build for a board is there.

    Raises
    ------
    UserError
        With the command that installs the first that is missing.
    """
    for tool in tool_chain(board.device).tools:
        find_tool(tool)


def _routed(command: list[str], work: Path, limit_s: float) -> float:
    """Place and route from other seeds if nextpnr does not end.

    From some seeds its routers have been seen to try for ever, and from the next to end at once.
    """
    for seed in _SEEDS[:-1]:
        try:
            return _routed_from(seed, command, work, limit_s)
        except ToolFailed as failure:
            if not failure.reason.startswith("no end"):
                raise
    return _routed_from(_SEEDS[-1], command, work, 10 * limit_s)


def _routed_from(seed: str, command: list[str], work: Path, limit_s: float) -> float:
    arguments = list(command[1:])
    arguments[arguments.index("--seed") + 1] = seed
    return run_tool(command[0], arguments, work, "top.tim", limit_s=limit_s)


def _place_and_route(
    command: list[str], work: Path, counts: CellCounts, board: Board, subject: Subject
) -> float:
    try:
        return _routed(command, work, subject.route_limit_s)
    except ToolFailed as failure:
        needed = {
            name: int(used)
            for name, used in re.findall(
                r"^Info:\s+(\w+):\s+(\d+)/", failure.log.read_text(errors="replace"), re.MULTILINE
            )
        }
        # nextpnr counts after packing, and gives up before it counts where cells of a kind that
        # the device lacks are left.
        tools = tool_chain(board.device)
        logic_cells = needed.get(tools.logic_cell, max(counts.lut4, counts.ff))
        check_fit(logic_cells, needed.get(tools.block_ram, counts.bram), board, subject)
        raise
