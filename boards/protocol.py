"""The wire protocol in plain Python: frames, requests, replies; see docs/wire-protocol.md.

The framing is RFC 1662's (W. Simpson, 1994): sections 3.1 (frames), 4.2 (escapes) and C.2 (the
checksum FCS-16).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "BAUD",
    "LATENCY_MAX",
    "N_LATENCY",
    "N_SEQUENCE",
    "FrameDecoder",
    "Reply",
    "checksum",
    "encode_frame",
    "pack_numbers",
    "pack_request",
    "unpack_numbers",
    "unpack_reply",
]

BAUD = 115_200
N_SEQUENCE = 1  # bytes
N_LATENCY = 2  # bytes
LATENCY_MAX = 1 << 8 * N_LATENCY - 1  # cycles; the hardware's counter stops at its top bit

_FLAG = 0x7E
_ESCAPE = 0x7D
_FLIP = 0x20
_N_CHECKSUM = 2
_BODY_MAX = 1 << 17  # bytes: a host waits 10 s for a reply, in which 115,200 arrive


def checksum(data: bytes) -> int:
    """Return the FCS-16 of ``data`` (CRC-16/IBM-SDLC), 16 bits; RFC 1662 section C.2."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
    return register ^ 0xFFFF


def encode_frame(content: bytes) -> bytes:
    """Return the bytes that carry ``content`` over the line, flags included."""
    body = content + checksum(content).to_bytes(_N_CHECKSUM, "little")
    frame = bytearray([_FLAG])
    for byte in body:
        frame += bytes([_ESCAPE, byte ^ _FLIP]) if byte in (_FLAG, _ESCAPE) else bytes([byte])
    frame.append(_FLAG)
    return bytes(frame)


class FrameDecoder:
    """Contents of the frames in a stream of bytes that arrives piece by piece.

    Damaged frames are discarded, and those of more than 131,072 bytes; so is what precedes the
    first flag.
    """

    def __init__(self) -> None:
        self._body: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the contents of the frames that ``data`` completes, in order."""
        contents = []
        for byte in data:
            if byte == _FLAG:
                content = self._content()
                if content is not None:
                    contents.append(content)
                self._body, self._escaped = bytearray(), False
            elif byte == _ESCAPE and not self._escaped:
                self._escaped = True
            elif self._body is not None:
                self._body.append(byte ^ _FLIP if self._escaped else byte)
                self._escaped = False
                if len(self._body) > _BODY_MAX:
                    self._body = None
        return contents

    def _content(self) -> bytes | None:
        """Return what the frame that a flag ends here holds; None if it is damaged or empty."""
        if self._body is None or self._escaped or len(self._body) <= _N_CHECKSUM:
            return None
        content, received = bytes(self._body[:-_N_CHECKSUM]), self._body[-_N_CHECKSUM:]
        return content if checksum(content) == int.from_bytes(received, "little") else None


@dataclass(frozen=True)
class Reply:
    """What the board answers to one request.

    Attributes
    ----------
    sequence
        The request's sequence number, 0 to 255.
    payload
        The result; :func:`unpack_numbers` reads it.
    latency
        Clock cycles from the sample's acceptance to its result, measured on the board; 32,768
        (``LATENCY_MAX``) stands for that many or more.
    """

    sequence: int
    payload: bytes
    latency: int


def pack_request(sequence: int, payload: bytes) -> bytes:
    """Return the content of the request that has this sequence number, 0 to 255."""
    return sequence.to_bytes(N_SEQUENCE, "little") + payload


def unpack_reply(content: bytes) -> Reply:
    """Return what the content of a reply says.

    Raises
    ------
    ValueError
        If it is too short to be a reply.
    """
    if len(content) <= N_SEQUENCE + N_LATENCY:
        raise ValueError(
            f"A reply has at least {N_SEQUENCE + N_LATENCY + 1} bytes, and this one has "
            f"{len(content)}: check that the board runs nomul."
        )
    return Reply(
        int.from_bytes(content[:N_SEQUENCE], "little"),
        content[N_SEQUENCE:-N_LATENCY],
        int.from_bytes(content[-N_LATENCY:], "little"),
    )


def pack_numbers(numbers: Iterable[int], width: int) -> bytes:
    """Return unsigned numbers of ``width`` bits each as bytes, the first in the lowest bits."""
    word = n_bits = 0
    for number in numbers:
        if not 0 <= number < 1 << width:
            raise ValueError(f"{number} is no unsigned number of {width} bits.")
        word |= number << n_bits
        n_bits += width
    return word.to_bytes(-(-n_bits // 8), "little")


def unpack_numbers(data: bytes, width: int, count: int, *, signed: bool = False) -> list[int]:
    """Return ``count`` numbers of ``width`` bits each, the first from the lowest bits.

    Signed numbers are in two's complement.

    Raises
    ------
    ValueError
        If ``data`` is not as many bytes as the numbers take.
    """
    if len(data) != -(-width * count // 8):
        raise ValueError(
            f"{count} numbers of {width} bits take {-(-width * count // 8)} bytes, and there are "
            f"{len(data)}: check that the board runs this network."
        )
    word = int.from_bytes(data, "little")
    numbers = [word >> width * index & (1 << width) - 1 for index in range(count)]
    sign = 1 << width - 1
    return [(number ^ sign) - sign for number in numbers] if signed else numbers
