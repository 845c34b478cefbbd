"""A serial line on which bytes are changed, lost, doubled and late."""

from __future__ import annotations

from collections import Counter

import numpy as np

from nomul.boards.host import Line

__all__ = ["N_FAULTS", "FaultyLine", "one_byte_fault", "one_byte_faults"]

N_FAULTS = 257
"""That can happen to one byte: 255 changes, to be lost, to be doubled."""

KINDS = ("flipped", "dropped", "doubled", "delayed")


class FaultyLine:
    """A line to a board, with faults in both directions.

    A byte that is late to the board comes with the next request, and what is behind it too; one
    that is late to the host comes after a silence.

    Parameters
    ----------
    line
        The line without faults.
    rate
        The part of all bytes that something happens to.
    """

    def __init__(self, line: Line, seed: int, rate: float) -> None:
        self.n_faults: Counter[str] = Counter()
        self.n_frames_harmed = 0
        self._line = line
        self._rate = rate
        self._rng = np.random.default_rng(seed)
        self._held = b""
        self._waiting: list[bytes] = []
        self._is_reply_harmed = False

    def write(self, data: bytes) -> None:
        arrived, self._held = self._held, b""
        is_harmed = False
        for place, byte in enumerate(data):
            kind = self._fault()
            is_harmed |= kind != "none"
            if kind == "delayed":
                self._held = data[place:]
                break
            arrived += self._changed(byte, kind)
        self.n_frames_harmed += is_harmed
        self._is_reply_harmed = False
        self._line.write(arrived)

    def read(self, size: int) -> bytes:
        assert size == 1, "a host listens byte by byte"
        if self._waiting:
            return self._waiting.pop(0)
        if not (byte := self._line.read(1)):
            return b""
        kind = self._fault()
        if kind != "none" and not self._is_reply_harmed:
            self._is_reply_harmed = True
            self.n_frames_harmed += 1
        if kind == "delayed":
            self._waiting = [byte]
            return b""
        arrived = self._changed(byte[0], kind)
        self._waiting = [bytes([one]) for one in arrived[1:]]
        return arrived[:1] or self.read(1)

    def _fault(self) -> str:
        if self._rng.random() >= self._rate:
            return "none"
        kind = KINDS[self._rng.integers(len(KINDS))]
        self.n_faults[kind] += 1
        return kind

    def _changed(self, byte: int, kind: str) -> bytes:
        if kind == "flipped":
            return bytes([byte ^ 1 << int(self._rng.integers(8))])
        return bytes([byte]) * {"dropped": 0, "doubled": 2}.get(kind, 1)


def one_byte_faults(frame: bytes) -> list[bytes]:
    """Return a frame with every change of any one byte, without it, and with it twice."""
    return [one_byte_fault(frame, number) for number in range(N_FAULTS * len(frame))]


def one_byte_fault(frame: bytes, number: int) -> bytes:
    """Return one of :func:`one_byte_faults`; they go round."""
    place, change = divmod(number % (N_FAULTS * len(frame)), N_FAULTS)
    byte = frame[place : place + 1]
    harmed = {0: b"", N_FAULTS - 1: 2 * byte}.get(change, bytes([byte[0] ^ change % 256]))
    return frame[:place] + harmed + frame[place + 1 :]
