"""A board with a folded engine as docs/wire-protocol.md describes it, in plain Python."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from nomul.boards.host import Line
from nomul.boards.protocol import FrameDecoder, checksum, encode_frame
from nomul.hw.program import Program
from nomul.sim.interpreter import execute

__all__ = ["EngineStandIn", "StandInLine", "served"]

DONE, ANSWERED, FOREIGN, WRONG_CHECKSUM, OUT_OF_ORDER, NO_PROGRAM, MALFORMED, ELSEWHERE, WHOLE = (
    range(9)
)


class EngineStandIn:
    """What the board answers to contents of requests.

    It runs ``program`` from when any program is committed, and keeps in ``loaded`` what was written
    where. Its replies count no cycles, and have the mark of a changed bit where ``has_fault``.
    """

    def __init__(self, program: Program, signature: int) -> None:
        self.program = program
        self.signature = signature
        self.runs = False
        self.header = 0
        self.is_whole = False
        self.has_fault = False
        self.loaded: dict[tuple[int, int, int], int] = {}
        self._is_loading = False
        self._load = b""
        self._levels: list[int] = []

    def reply(self, request: bytes) -> bytes | None:
        """Return the content of the reply; None if there is none."""
        if not 2 <= len(request) <= 510:
            return None
        code, rest = self._answer(request[1], request[2:])
        return bytes([request[0], code]) + rest

    def _answer(self, kind: int, body: bytes) -> tuple[int, bytes]:
        if kind == 0:
            if not self.runs:
                return NO_PROGRAM, b""
            return WHOLE if self.is_whole else ELSEWHERE if self.header else DONE, b""
        if kind in (1, 6) and len(body) >= 2:
            self._is_loading = number(body) == self.signature
            self._load = b""
            if self._is_loading and kind == 1:
                self.runs, self._levels = False, []
            return DONE if self._is_loading else FOREIGN, b""
        if kind == 2 and body:
            return self._write(body), b""
        if kind == 3 and len(body) >= 4:
            was_loading, self._is_loading = self._is_loading, False
            if not was_loading:
                return OUT_OF_ORDER, b""
            if number(body[2:]) != checksum(self._load):
                return WRONG_CHECKSUM, b""
            self.runs, self._levels = True, []
            self.header, self.is_whole = number(body) & 0x7FFF, bool(number(body) >> 15)
            return DONE, b""
        if kind in (4, 5) and len(body) >= 2:
            return self._bring(number(body), body[2:], is_odd=kind == 5)
        return MALFORMED, b""

    def _write(self, body: bytes) -> int:
        if not self._is_loading:
            return OUT_OF_ORDER
        self._load += body
        if len(body) < 3:
            return MALFORMED
        for place in range(3, len(body) - 1, 2):
            address = number(body[1:]) + (place - 3) // 2
            self.loaded[body[0] & 7, body[0] >> 3 & 7, address] = number(body[place:])
        return DONE if len(body) % 2 else MALFORMED

    def _bring(self, first: int, packed: bytes, *, is_odd: bool) -> tuple[int, bytes]:
        if not self.runs:
            return NO_PROGRAM, b""
        if first == 0:
            self._levels = []
        elif first != len(self._levels):
            return OUT_OF_ORDER, b""
        settings = self.program.settings
        levels = list(packed)
        if settings.level_bits <= 4:
            levels = [half for byte in packed for half in (byte & 15, byte >> 4)]
            levels = levels[: len(levels) - (is_odd and len(levels) > 0)]
        n_inputs = len(self.program.input_order)
        self._levels = (self._levels + levels)[:n_inputs]
        if len(self._levels) < n_inputs:
            return DONE, b""
        in_order = np.zeros((1, n_inputs), int)
        in_order[0, self.program.input_order] = np.array(self._levels) & settings.rows - 1
        self._levels = []
        answers = execute(self.program, in_order).answers[0].tolist()
        body = b"".join(answer.to_bytes(2, "little", signed=True) for answer in answers)
        return ANSWERED, body + bytes([0, 0, 0, self.has_fault << 7])


def number(body: bytes) -> int:
    """Return the 16 bits that a part of a request begins with."""
    return int.from_bytes(body[:2], "little")


class StandInLine:
    """A line to a stand-in, with what happens on it.

    Parameters
    ----------
    board
        At the other end.
    there, back
        Take the number of a frame sent in that direction, and its bytes; return what arrives.
    """

    def __init__(
        self,
        board: EngineStandIn,
        there: Callable[[int, bytes], bytes] = lambda _, frame: frame,
        back: Callable[[int, bytes], bytes] = lambda _, frame: frame,
    ) -> None:
        self.board = board
        self.requests: list[bytes] = []
        self._there, self._back = there, back
        self._decoder = FrameDecoder()
        self._n_sent = self._n_replies = 0
        self._waiting = b""

    def write(self, data: bytes) -> int:
        arrived = self._there(self._n_sent, data)
        self._n_sent += 1
        for request in self._decoder.feed(arrived):
            self.requests.append(request)
            reply = self.board.reply(request)
            if reply is not None:
                self._waiting += self._back(self._n_replies, encode_frame(reply))
                self._n_replies += 1
        return len(data)

    def read(self, size: int) -> bytes:
        found, self._waiting = self._waiting[:size], self._waiting[size:]
        return found


@contextmanager
def served(line: Line, n_bytes: int | None = None) -> Iterator[str]:
    """Serve a line to one host at a socket, and yield its URL; hang up after so many bytes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        n_left = n_bytes
        host, _ = server.accept()
        with host:
            while data := host.recv(4096):
                if n_left is not None and (n_left := n_left - len(data)) <= 0:
                    return
                line.write(data)
                while answer := line.read(1):
                    host.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    finally:
        thread.join(10)
        server.close()
