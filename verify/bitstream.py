"""A whole board against the golden model, through its serial pins: its netlist, its bitstream.

Both are simulated cycle by cycle, with nothing of Amaranth or of the link's Verilog in between: a
host brings each sample at 115,200 baud, as frames, and hears the answer the same way. A folded
engine that does not begin with its program gets that over the line too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nomul.boards.catalog import Board
from nomul.boards.engine_host import EngineHost
from nomul.boards.host import Line, NetworkHost
from nomul.boards.uart import uart_divisor
from nomul.hw.folding import fold
from nomul.network import CheckFailed, Network, UserError
from nomul.sim.chip import VirtualChip, build_chip, netlist_verilog, read_pins
from nomul.sim.icestorm import asc_verilog, check_decoder, unpack
from nomul.sim.interpreter import sample_cycles
from nomul.verify.comparison import answer_place, compared
from nomul.verify.samples import Samples
from nomul.verify.step import Step

__all__ = ["bitstream_step", "board_netlist_step", "decoded", "pins_step"]

_NETLIST = "network → board netlist"
_BITSTREAM = "network → bitstream"

# The longest power-on: that of an engine which looks for a program in the board's flash first.
_POWER_ON_CYCLES = {False: 1_000, True: 150_000}
_SILENCE_BITS = 100  # of the line: a byte takes 10

Ask = Callable[[Sequence[int]], Sequence[int]]


def board_netlist_step(
    network: Network, samples: Samples, folder: Path, board: Board, *, folded: bool
) -> Step:
    """Compare the mapped netlist of a whole board with the golden model, through its serial pins.

    Parameters
    ----------
    folder
        A build of the board is in ``build`` there; the simulator goes into ``pins``.
    folded
        Whether the board has a folded engine, and the network is a program for it.

    Raises
    ------
    UserError
        If Verilator, a C++ compiler or yosys is missing.
    CheckFailed
        If the netlist cannot be simulated.
    """

    def verilog(work: Path) -> str:
        return netlist_verilog(folder / "build" / f"{board.name}.netlist.json", work)

    return pins_step(_NETLIST, verilog, network, samples, folder, board, folded=folded)


def bitstream_step(
    network: Network, samples: Samples, folder: Path, board: Board, *, folded: bool
) -> Step:
    """Compare what a bitstream makes of the chip with the golden model, through its serial pins.

    The bitstream is read back by Project IceStorm, which shares no code with what wrote it. It
    needs the table of wires, ``BOARD.pcf``, for the names of pins alone. Otherwise as
    :func:`board_netlist_step`; without Project IceStorm it is a UserError.
    """
    check_decoder()

    def verilog(work: Path) -> str:
        return decoded(unpack(folder / "build" / f"{board.name}.bin", work), folder, board)

    return pins_step(_BITSTREAM, verilog, network, samples, folder, board, folded=folded)


def decoded(asc: Path, folder: Path, board: Board) -> str:
    """Return the Verilog of what the bits in ``asc`` make of the board's chip.

    ``folder`` is that of :func:`board_netlist_step`.

    Raises
    ------
    UserError
        If Project IceStorm is not installed.
    CheckFailed
        If it cannot make sense of the bits.
    """
    constraints = folder / "build" / f"{board.name}.pcf"
    return asc_verilog(asc, constraints.resolve(), board.platform().package.lower())


def pins_step(
    name: str,
    verilog: Callable[[Path], str],
    network: Network,
    samples: Samples,
    folder: Path,
    board: Board,
    *,
    folded: bool,
) -> Step:
    """Return the step called ``name``, of a chip that is given as Verilog.

    Parameters
    ----------
    verilog
        Takes a folder to work in, and returns it, the module ``top``.
    network, samples, folder, board, folded
        As for :func:`board_netlist_step`.
    """
    started = time.perf_counter()
    work = folder / "pins"
    work.mkdir(exist_ok=True)
    pins = read_pins(folder / "build" / f"{board.name}.pcf")
    program = build_chip(verilog(work), pins, work)
    bit_cycles = uart_divisor(board.clock_mhz * 1e6)
    cycles = sample_cycles(fold(network, board.engine_settings)) if folded else 0
    with VirtualChip(
        program,
        bit_cycles=bit_cycles,
        silence_cycles=_SILENCE_BITS * bit_cycles + cycles,
        power_on_cycles=_POWER_ON_CYCLES[folded],
    ) as line:
        answers, silent = _answers(line, network, samples, board, folded=folded)
    if silent is not None:
        where = f"sample {len(answers)}: an answer was expected, and none came"
        seconds = time.perf_counter() - started
        return Step(name, len(answers) + 1, "samples", 1, seconds, "different", silent, where)
    found = np.array(answers, np.int64)
    detail = f"{bit_cycles} clock cycles per bit of the line"
    return compared(name, samples.expected, found, answer_place(network), started, detail)


def _answers(
    line: Line, network: Network, samples: Samples, board: Board, *, folded: bool
) -> tuple[list[Sequence[int]], str | None]:
    """Return the answers up to the first that did not come, and why it did not."""
    answers: list[Sequence[int]] = []
    try:
        ask = _engine(line, network, board) if folded else _unrolled(line, network)
        for sample in samples.levels.tolist():
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
    host = EngineHost(line, board.engine_settings)
    if not host.has_program():
        host.load(program)

    def ask(sample: Sequence[int]) -> Sequence[int]:
        answers = host.answer(sample, program).answers
        if network.output.kind == "class":
            return answers
        in_order = dict(zip(program.output_order.tolist(), answers, strict=True))
        return [in_order[place] for place in range(len(answers))]

    return ask
