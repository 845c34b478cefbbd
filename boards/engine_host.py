"""The host's side of the line to a folded engine: loads programs, brings samples, hears answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nomul.boards.engine_protocol import (
    CODE_SENTENCES,
    NO_REPLY,
    Code,
    EngineReply,
    level_requests,
    program_requests,
    status_request,
    unpack_engine_reply,
)
from nomul.boards.host import Dialogue, Line
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.program import Program
from nomul.hw.program_image import Half, fits_half
from nomul.network.errors import CheckFailed, UserError

__all__ = ["EngineHost"]

_TRIES = 4
_HALVES: dict[Code, Half] = {Code.DONE: 0, Code.RUNS_ELSEWHERE: 1}
_BEGIN_AGAIN = (Code.WRONG_CHECKSUM, Code.OUT_OF_ORDER)


class EngineHost:
    """A host at one end of a line that has a folded engine at the other.

    Each request is sent again if no reply comes, a few times. That may make the board do it twice,
    which it notices; then all is sent once more from the beginning.

    Parameters
    ----------
    line
        To the board.
    settings
        The engine's: they say how long an answer is.
    """

    def __init__(self, line: Line, settings: EngineSettings) -> None:
        self._dialogue = Dialogue(
            line,
            lambda content: _unpacked(content, settings),
            silent="The board does not answer: check that it runs the bitstream of "
            "`nomul build --folded` and that the port is its own.",
            foreign=NO_REPLY,
        )

    def has_program(self) -> bool:
        """Return whether the board runs a program.

        Raises
        ------
        UserError
            If the board does not answer, or is none with an engine.
        """
        return self._status() != Code.NO_PROGRAM

    def load(self, program: Program) -> None:
        """Load a program; the board runs it from then on.

        Until then it runs what it ran, if each of the two fits half of the memories; else nothing.

        Raises
        ------
        UserError
            If the board does not answer, is none with an engine, or its engine is another one than
            the program is for.
        CheckFailed
            If each time something else arrived than was sent.
        """
        running = _HALVES.get(self._status())
        beside = running is not None and fits_half(program)
        half: Half = 1 if beside and running == 0 else 0
        requests = list(program_requests(program, half, beside=beside))
        if self._converse(lambda: requests).code != Code.DONE:
            raise UserError(NO_REPLY)

    def _status(self) -> Code:
        code = self._dialogue.ask(status_request(0)[1:]).code
        if code not in (*_HALVES, Code.RUNS_WHOLE, Code.NO_PROGRAM):
            raise UserError(NO_REPLY)
        return code

    def answer(self, levels: Sequence[int], program: Program) -> EngineReply:
        """Return what the engine answers to a sample, if it runs ``program``.

        Parameters
        ----------
        levels
            In the network's order.

        Raises
        ------
        UserError
            If the board does not answer, is none with an engine, has no program, or one of another
            number of inputs.
        CheckFailed
            If each time something else arrived than was sent, or a bit of the program has changed
            since it was loaded.
        """
        ordered = [int(levels[place]) for place in program.input_order]
        reply = self._converse(lambda: level_requests(ordered, program.settings))
        if reply.code != Code.ANSWERED or len(reply.answers) != _n_answers(program):
            raise UserError(
                "The board runs another program than this network's: load it with `nomul program`."
            )
        if reply.has_fault:
            raise CheckFailed(
                "A bit in the board's memories has changed, so its answers may be wrong: load the "
                "program again with `nomul program`."
            )
        return reply

    def _converse(self, requests: Callable[[], Iterable[bytes]]) -> EngineReply:
        """Send requests until one is refused or the engine answers, and all again if that helps."""
        for _ in range(_TRIES):
            for request in requests():
                reply = self._dialogue.ask(request[1:])
                if reply.code != Code.DONE:
                    break
            if reply.code not in _BEGIN_AGAIN:
                break
        if reply.code in _BEGIN_AGAIN:
            raise CheckFailed(CODE_SENTENCES[reply.code])
        if reply.code in CODE_SENTENCES:
            raise UserError(CODE_SENTENCES[reply.code])
        return reply


def _unpacked(content: bytes, settings: EngineSettings) -> EngineReply | None:
    """Return the reply in a frame; None if it is none."""
    try:
        return unpack_engine_reply(content, settings)
    except ValueError:
        return None


def _n_answers(program: Program) -> int:
    """Return how many numbers leave for a sample."""
    return 1 if program.passes[-1].result == "class" else len(program.output_order)
