"""A whole board against the golden model, through its serial pins: its netlist, its bitstream.

Both are simulated cycle by cycle, with nothing of Amaranth or of the link's Verilog in between: a
host brings each sample at 115,200 baud, as frames, and hears the answer the same way. A folded
engine that does not begin with its program gets that over the line too.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nomul.boards.catalog import Board
from nomul.boards.engine_host import EngineHost
from nomul.boards.engine_protocol import answer_bytes
from nomul.boards.host import Line, NetworkHost
from nomul.boards.uart import uart_divisor
from nomul.hw.folding import fold
from nomul.network import CheckFailed, Network, UserError
from nomul.sim.chip import VirtualChip, build_chip, netlist_verilog, read_pins
from nomul.sim.golden import evaluate_levels
from nomul.sim.icestorm import asc_verilog, is_decoder_installed, unpack
from nomul.sim.interpreter import sample_cycles
from nomul.verify.comparison import answer_place, compared
from nomul.verify.step import Step

__all__ = ["bitstream_step", "board_netlist_step", "decoded", "pins_step"]

_NETLIST = "network → board netlist"
_BITSTREAM = "network → bitstream"
_ICE40_ONLY = "done for boards with iCE40 alone"

# The longest power-on: that of an engine which looks for a program in the board's flash first.
_POWER_ON_CYCLES = {False: 1_000, True: 150_000}
_SILENCE_BITS = 100  # of the line: a byte takes 10

Levels = NDArray[np.int64]
Ask = Callable[[Sequence[int]], Sequence[int]]


def board_netlist_step(
    network: Network, levels: Levels, build_folder: Path, board: Board, *, folded: bool
) -> Step:
    """Compare the mapped netlist of a whole board with the golden model, through its serial pins.

    Parameters
    ----------
    levels
        Input levels in the network's order, shape (samples, inputs).
    build_folder
        What a build of the board left.
    folded
        Whether the board has a folded engine, and the network is a program for it.

    Raises
    ------
    UserError
        If Verilator, a C++ compiler or yosys is missing.
    CheckFailed
        If the netlist cannot be simulated.
    """
    if not _is_ice40(board):
        return _skipped(_NETLIST, _ICE40_ONLY)

    def verilog(folder: Path) -> str:
        return netlist_verilog(build_folder / f"{board.name}.netlist.json", folder)

    return pins_step(_NETLIST, verilog, network, levels, build_folder, board, folded=folded)


def bitstream_step(
    network: Network, levels: Levels, build_folder: Path, board: Board, *, folded: bool
) -> Step:
    """Compare what a bitstream makes of the chip with the golden model, through its serial pins.

    The bitstream is read back by Project IceStorm, which shares no code with what wrote it. It
    needs the table of wires, ``BOARD.pcf``, for the names of pins alone. Otherwise as
    :func:`board_netlist_step`.
    """
    if not _is_ice40(board):
        return _skipped(_BITSTREAM, _ICE40_ONLY)
    if not is_decoder_installed():
        return _skipped(_BITSTREAM, "needs Project IceStorm: `apt install fpga-icestorm`")

    def verilog(folder: Path) -> str:
        return decoded(unpack(build_folder / f"{board.name}.bin", folder), build_folder, board)

    return pins_step(_BITSTREAM, verilog, network, levels, build_folder, board, folded=folded)


def _is_ice40(board: Board) -> bool:
    return board.device.target.name == "ice40"


def _skipped(name: str, detail: str) -> Step:
    return Step(name, 0, "samples", 0, 0.0, "skipped", detail)


def decoded(asc: Path, build_folder: Path, board: Board) -> str:
    """Return the Verilog of what the bits in ``asc`` make of the board's chip.

    Raises
    ------
    UserError
        If Project IceStorm is not installed.
    CheckFailed
        If it cannot make sense of the bits.
    """
    constraints = build_folder / f"{board.name}.pcf"
    return asc_verilog(asc, constraints.resolve(), board.platform().package.lower())


def pins_step(
    name: str,
    verilog: Callable[[Path], str],
    network: Network,
    levels: Levels,
    build_folder: Path,
    board: Board,
    *,
    folded: bool,
) -> Step:
    """Return the step called ``name``, of a chip that is given as Verilog.

    Parameters
    ----------
    verilog
        Takes a folder to work in, and returns it, the module ``top``.
    network, levels, build_folder, board, folded
        As for :func:`board_netlist_step`.
    """
    started = time.perf_counter()
    # It is kept if something fails: its log has the tools' messages.
    folder = Path(tempfile.mkdtemp(prefix="nomul-pins-"))
    pins = read_pins(build_folder / f"{board.name}.pcf")
    program = build_chip(verilog(folder), pins, folder)
    bit_cycles = uart_divisor(board.clock_mhz * 1e6)
    cycles = sample_cycles(fold(network, board.engine_settings)) if folded else 0
    expected = evaluate_levels(network, levels).reshape(len(levels), -1)
    with VirtualChip(
        program,
        bit_cycles=bit_cycles,
        silence_cycles=_SILENCE_BITS * bit_cycles + cycles,
        power_on_cycles=_POWER_ON_CYCLES[folded],
    ) as line:
        answers, silent = _answers(line, network, levels, board, folded=folded)
    shutil.rmtree(folder)
    if silent is not None:
        where = f"sample {len(answers)}: an answer was expected, and none came"
        seconds = time.perf_counter() - started
        return Step(name, len(answers) + 1, "samples", 1, seconds, "different", silent, where)
    found = np.array(answers, np.int64)
    detail = f"{bit_cycles} clock cycles per bit of the line"
    return compared(name, expected, found, answer_place(network), started, detail)


def _answers(
    line: Line, network: Network, levels: Levels, board: Board, *, folded: bool
) -> tuple[list[Sequence[int]], str | None]:
    """Return the answers up to the first that did not come, and why it did not."""
    answers: list[Sequence[int]] = []
    try:
        ask = _engine(line, network, board) if folded else _unrolled(line, network)
        for sample in levels.tolist():
            answers.append(ask(sample))  # noqa: PERF401, those before an error count
    except (UserError, CheckFailed) as error:
        return answers, str(error)
    return answers, None


def _unrolled(line: Line, network: Network) -> Ask:
    host = NetworkHost(line, network)
    return lambda sample: host.answer(sample).values


def _engine(line: Line, network: Network, board: Board) -> Ask:
    """Load the network where none runs, and return what asks for a sample.

    Answers are in the network's order.
    """
    program = fold(network, board.engine_settings)
    host = EngineHost(line, answer_bytes(board.engine_settings))
    if not host.has_program():
        host.load(program)

    def ask(sample: Sequence[int]) -> Sequence[int]:
        answers = host.answer(sample, program).answers
        if network.output.kind == "class":
            return answers
        in_order = dict(zip(program.output_order.tolist(), answers, strict=True))
        return [in_order[place] for place in range(len(answers))]

    return ask
