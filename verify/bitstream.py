"""A whole board against the golden model, through its serial pins: its netlist, its bitstream.

Both are simulated cycle by cycle, with nothing of Amaranth or of the link's Verilog in between: a
host brings each sample at 115,200 baud, as frames, and hears the answer the same way. Several chips
share the samples: 64 at once where all of the chip is modelled (:mod:`nomul.sim.chips`), which no
RAMs are, else two, each a process (:mod:`nomul.sim.chip`). A folded engine that does not begin with
its program gets that over the line too.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from nomul.boards.catalog import Board
from nomul.boards.engine_host import EngineHost
from nomul.boards.host import Line, NetworkHost
from nomul.boards.uart import uart_divisor
from nomul.hw.folding import fold
from nomul.network import CheckFailed, Network, UserError
from nomul.sim.chip import Pins, VirtualChip, build_chip, netlist_verilog, read_pins
from nomul.sim.chip_logic import ChipLogic, decoded_logic, netlist_logic
from nomul.sim.chips import N_CHIPS, build_chips, converse
from nomul.sim.icestorm import asc_verilog, check_decoder, unpack
from nomul.sim.interpreter import sample_cycles
from nomul.verify.comparison import answer_place, compared
from nomul.verify.samples import Samples
from nomul.verify.step import Finding

__all__ = ["bitstream_step", "board_netlist_step", "decoded", "pins_step"]

# The longest power-on: that of an engine which looks for a program in the board's flash first.
_POWER_ON_CYCLES = {False: 1_000, True: 150_000}
_SILENCE_BITS = 100  # of the line: a byte takes 10
_N_PROCESSES = 2  # the same everywhere, so that each chip has the same history everywhere

Ask = Callable[[Sequence[int]], Sequence[int]]


def board_netlist_step(
    network: Network,
    samples: Samples,
    folder: Path,
    board: Board,
    *,
    folded: bool,
    alone_max: int | None = None,
) -> Finding:
    """Compare the mapped netlist of a whole board with the golden model, through its serial pins.

    Parameters
    ----------
    folder
        A build of the board is in ``build`` there; the simulator goes into ``pins``.
    folded
        Whether the board has a folded engine, and the network is a program for it.
    alone_max
        How many samples are compared at most where the chip is simulated alone, which takes much
        longer; None: all.

    Raises
    ------
    UserError
        If Verilator, a C++ compiler or yosys is missing.
    CheckFailed
        If the netlist cannot be simulated.
    """
    netlist = folder / "build" / f"{board.name}.netlist.json"

    def chip(work: Path, pins: Pins) -> ChipLogic | str:
        return netlist_logic(netlist, pins) or netlist_verilog(netlist, work)

    return pins_step(chip, network, samples, folder, board, folded=folded, alone_max=alone_max)


def bitstream_step(
    network: Network,
    samples: Samples,
    folder: Path,
    board: Board,
    *,
    folded: bool,
    alone_max: int | None = None,
) -> Finding:
    """Compare what a bitstream makes of the chip with the golden model, through its serial pins.

    The bitstream is read back by Project IceStorm, which shares no code with what wrote it. It
    needs the table of wires, ``BOARD.pcf``, for the names of pins alone. Otherwise as
    :func:`board_netlist_step`; without Project IceStorm it is a UserError.
    """
    check_decoder()

    def chip(work: Path, pins: Pins) -> ChipLogic | str:
        verilog = decoded(unpack(folder / "build" / f"{board.name}.bin", work), folder, board)
        return decoded_logic(verilog, pins) or verilog

    return pins_step(chip, network, samples, folder, board, folded=folded, alone_max=alone_max)


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
    chip: Callable[[Path, Pins], ChipLogic | str],
    network: Network,
    samples: Samples,
    folder: Path,
    board: Board,
    *,
    folded: bool,
    alone_max: int | None = None,
) -> Finding:
    """Compare a chip, given as its logic or as Verilog, with the golden model through its pins.

    Parameters
    ----------
    chip
        Takes a folder to work in and the chip's pins; returns the logic between them, or where not
        all of it is modelled, the Verilog of it, the module ``top``.
    network, samples, folder, board, folded, alone_max
        As for :func:`board_netlist_step`.
    """
    work = folder / "pins"
    work.mkdir(exist_ok=True)
    pins = read_pins(folder / "build" / f"{board.name}.pcf")
    made = chip(work, pins)
    bit_cycles = uart_divisor(board.clock_mhz * 1e6)
    if isinstance(made, ChipLogic):
        assert not folded, "an engine has RAMs"
        heard = _said(build_chips(made, work), network, samples, bit_cycles)
        answers, silent = _answers([partial(_unrolled, line, network) for line in heard], samples)
    else:
        samples = samples.part(slice(alone_max))
        program = build_chip(made, pins, work)
        cycles = sample_cycles(fold(network, board.engine_settings)) if folded else 0
        reach = partial(_engine, board=board) if folded else _unrolled
        with ExitStack() as chips:
            lines = [
                chips.enter_context(
                    VirtualChip(
                        program,
                        bit_cycles=bit_cycles,
                        silence_cycles=_SILENCE_BITS * bit_cycles + cycles,
                        power_on_cycles=_POWER_ON_CYCLES[folded],
                    )
                )
                for _ in range(min(_N_PROCESSES, len(samples)))
            ]
            answers, silent = _answers([partial(reach, line, network) for line in lines], samples)
    if silent is not None:
        where = f"sample {len(answers)}: an answer was expected, and none came"
        return Finding(len(answers) + 1, "samples", 1, "different", silent, where)
    found = np.array(answers, np.int64)
    detail = f"{bit_cycles} clock cycles per bit of the line"
    return compared(samples.expected, found, answer_place(network), detail)


def _answers(
    chips: Sequence[Callable[[], Ask]], samples: Samples
) -> tuple[list[Sequence[int]], str | None]:
    """Return the answers up to the first that did not come, and why it did not.

    The chips, to each of which a function leads, share the samples in turn.
    """

    def of_chip(number: int) -> tuple[list[Sequence[int]], str | None]:
        answers: list[Sequence[int]] = []
        try:
            ask = chips[number]()
            for sample in samples.levels[number :: len(chips)].tolist():
                answers.append(ask(sample))  # noqa: PERF401, those before an error count
        except (UserError, CheckFailed) as error:
            return answers, str(error)
        return answers, None

    with ThreadPoolExecutor(len(chips)) as pool:
        found = list(pool.map(of_chip, range(len(chips))))
    silences = [
        (number + len(chips) * len(answers), reason)
        for number, (answers, reason) in enumerate(found)
        if reason is not None
    ]
    end, reason = min(silences, default=(len(samples), None))
    return [found[place % len(chips)][0][place // len(chips)] for place in range(end)], reason


class _Sent(Exception):
    """A request was sent, and nothing will answer it here."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self.request = request


class _Recorder:
    """A line that takes a request out of the host's hands."""

    def write(self, data: bytes) -> None:
        raise _Sent(data)

    def read(self, _: int) -> bytes:
        return b""


class _Heard:
    """A line on which all was said before: by request, what was heard then; and else nothing."""

    def __init__(self) -> None:
        self.answers: deque[tuple[bytes, bytes]] = deque()
        self._bytes = b""

    def write(self, data: bytes) -> None:
        if self.answers and self.answers[0][0] == data:
            self._bytes = self.answers.popleft()[1]

    def read(self, size: int) -> bytes:
        heard, self._bytes = self._bytes[:size], self._bytes[size:]
        return heard


def _said(program: Path, network: Network, samples: Samples, bit_cycles: int) -> list[_Heard]:
    """Return the line of each chip, of those that share the samples."""
    hosts = [NetworkHost(_Recorder(), network) for _ in range(N_CHIPS)]
    rows = samples.levels.tolist()
    requests = [
        _request(host, row) for host, row in zip(itertools.cycle(hosts), rows, strict=False)
    ]
    answers = converse(
        program,
        requests,
        bit_cycles=bit_cycles,
        silence_cycles=_SILENCE_BITS * bit_cycles,
        power_on_cycles=_POWER_ON_CYCLES[False],
    )
    lines = [_Heard() for _ in range(N_CHIPS)]
    for line, request, answer in zip(itertools.cycle(lines), requests, answers, strict=False):
        line.answers.append((request, answer))
    return lines


def _request(host: NetworkHost, sample: Sequence[int]) -> bytes:
    """Return what a host sends first to ask for a sample."""
    try:
        host.answer(sample)
    except _Sent as sent:
        return sent.request
    raise AssertionError("a host sends before it listens")


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
