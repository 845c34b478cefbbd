"""The host's side of the serial line: requests and their replies, and samples for a network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from nomul.boards.protocol import (
    BAUD,
    N_LATENCY,
    N_SEQUENCE,
    FrameDecoder,
    encode_frame,
    pack_numbers,
    pack_request,
    unpack_numbers,
    unpack_reply,
)
from nomul.hw.chain import unrolled_chain
from nomul.hw.widths import accumulator_width, class_width, level_width
from nomul.network import Dense, Network
from nomul.network.errors import UserError

__all__ = ["Answer", "Dialogue", "Line", "NetworkHost", "open_line"]

_TRIES = 4
_SILENCE_S = 1.0
_PATIENCE_S = 10.0  # for a port that never stops, of something else; a reply takes a second at most

Reply = TypeVar("Reply")


class Line(Protocol):
    """What a serial port and a virtual board have in common."""

    def write(self, data: bytes, /) -> object:
        """Send all of ``data``."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, or fewer when there is silence for as long as the line waits."""


@contextmanager
def open_line(port: str) -> Iterator[Line]:
    """Open a serial port for as long as the block runs, and let it fall silent.

    A reply to the host before could else be taken for one to the next.

    Parameters
    ----------
    port
        Its name, such as ``/dev/ttyUSB1``, or a URL that pyserial knows, such as
        ``socket://localhost:7000``.

    Raises
    ------
    UserError
        If it cannot be opened, or is lost.
    """
    import serial

    try:
        line = serial.serial_for_url(port, baudrate=BAUD, timeout=_SILENCE_S)
    except (ValueError, OSError) as error:
        raise UserError(f"Cannot open the port {port}: {_reason(error)}.") from error
    with line:
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while time.monotonic() < deadline and line.read(1):
                pass
            yield line
        except serial.SerialException as error:
            raise UserError(f"The port {port} was lost: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """Return what the system says, or else the library."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


class Dialogue(Generic[Reply]):
    """Requests, one at a time, and to each the reply that has its sequence number.

    A request is sent again if no reply comes, a few times, each time with another number. A reply
    to something else is passed over, however late it comes.

    Parameters
    ----------
    line
        To the board.
    unpack
        Returns what the content of a frame says; None if it is no reply.
    silent
        The sentence for a board that does not answer.
    foreign
        The sentence for one that says something each time, and never what is a reply.

    Attributes
    ----------
    n_sent
        How many requests were sent, those sent again included.
    """

    def __init__(
        self, line: Line, unpack: Callable[[bytes], Reply | None], *, silent: str, foreign: str
    ) -> None:
        self.n_sent = 0
        self._line = line
        self._unpack = unpack
        self._silent = silent
        self._foreign = foreign
        self._frames = FrameDecoder()

    def ask(self, request: bytes) -> Reply:
        """Return the reply to one request, whichever time it was sent.

        Parameters
        ----------
        request
            The content, without its sequence number.

        Raises
        ------
        UserError
            If there is none.
        """
        sequences = set()
        heard: list[set[bool]] = []  # in each try, whether a frame was a reply, to whatever
        for _ in range(_TRIES):
            heard.append(set())
            self.n_sent += 1
            sequence = self.n_sent % 256
            sequences.add(sequence)
            self._line.write(encode_frame(pack_request(sequence, request)))
            deadline = time.monotonic() + _PATIENCE_S
            while time.monotonic() < deadline and (byte := self._line.read(1)):
                for content in self._frames.feed(byte):
                    reply = self._unpack(content)
                    heard[-1].add(reply is not None)
                    if reply is not None and content[0] in sequences:
                        return reply
        is_foreign = all(found == {False} for found in heard)
        raise UserError(self._foreign if is_foreign else self._silent)


@dataclass(frozen=True)
class Answer:
    """What a network on a board answers to a sample.

    Attributes
    ----------
    values
        The class; or the levels or accumulators of all neurons of the last layer.
    latency
        Clock cycles that it took; 32,768 stands for that many or more.
    """

    values: tuple[int, ...]
    latency: int


class NetworkHost:
    """A host at one end of a line that has an unrolled network at the other.

    Parameters
    ----------
    line
        To the board.
    network
        What its bitstream was made of.

    Raises
    ------
    UserError
        If such a network cannot be unrolled.
    """

    def __init__(self, line: Line, network: Network) -> None:
        self._level_width = level_width(network.input.n_levels)
        self._n_answers, self._answer_width = _answers(network)
        self._is_signed = network.output.kind == "accumulators"
        sentence = (
            "The board does not answer as this network's does: check that it runs the network's "
            "bitstream, of `nomul build`, and that the port is its own."
        )
        self._dialogue = Dialogue(line, self._unpacked, silent=sentence, foreign=sentence)

    @property
    def n_sent(self) -> int:
        """How many requests were sent, those sent again included."""
        return self._dialogue.n_sent

    def answer(self, levels: Sequence[int]) -> Answer:
        """Return what the board answers to a sample.

        Parameters
        ----------
        levels
            In the network's order.

        Raises
        ------
        UserError
            If the board does not answer, or answers as another network's would.
        """
        return self._dialogue.ask(pack_numbers(levels, self._level_width))

    def _unpacked(self, content: bytes) -> Answer | None:
        """Return the answer in a frame; None if it has another length than this network's."""
        n_bytes = -(-self._n_answers * self._answer_width // 8)
        if len(content) != N_SEQUENCE + n_bytes + N_LATENCY:
            return None
        reply = unpack_reply(content)
        values = unpack_numbers(
            reply.payload, self._answer_width, self._n_answers, signed=self._is_signed
        )
        return Answer(tuple(values), reply.latency)


def _answers(network: Network) -> tuple[int, int]:
    """Return how many numbers a network answers with, and the bits of each."""
    last = unrolled_chain(network)[-1]
    if network.output.kind == "class":
        return 1, class_width(network.n_outputs)
    if network.output.kind == "levels":
        assert last.n_levels is not None, "a layer that gives levels"
        return network.n_outputs, level_width(last.n_levels)
    assert isinstance(last, Dense), "the other layers have no accumulators"
    return network.n_outputs, accumulator_width(last)
