"""What a host and a folded engine say to each other, in plain Python; see docs/wire-protocol.md."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from nomul.boards.protocol import checksum
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.program import Program
from nomul.hw.program_image import Half, fits_half, half_depths, load_words, parts

__all__ = [
    "CODE_SENTENCES",
    "FAULT",
    "NO_REPLY",
    "N_CONTENT_MAX",
    "N_CYCLES",
    "WHOLE",
    "Code",
    "EngineReply",
    "Kind",
    "answer_bytes",
    "level_requests",
    "program_requests",
    "signature",
    "status_request",
    "unpack_engine_reply",
]

N_CONTENT_MAX = 510
"""Bytes of the longest content of a request: its checksum has room behind it."""

WHOLE = 1 << 15
"""Of the header's address in a commit: the program takes more than half of a memory."""

N_CYCLES = 4
"""Bytes of a reply's count of cycles."""

NO_REPLY = "What answers is no folded engine: check that the board runs one."

FAULT = 1 << 8 * N_CYCLES - 1
"""Of a reply's count of cycles: a bit of what was loaded has changed."""

_N_WORDS_MAX = (N_CONTENT_MAX - 5) // 2


class Kind(IntEnum):
    """What a request asks for."""

    STATUS = 0
    BEGIN = 1
    WORDS = 2
    COMMIT = 3
    LEVELS = 4
    LEVELS_BUT_ONE = 5
    """The last byte holds one level, not two."""
    BEGIN_BESIDE = 6
    """What runs goes on, for nothing is loaded over it."""


class Code(IntEnum):
    """What a reply says."""

    DONE = 0
    ANSWERED = 1
    FOREIGN = 2
    WRONG_CHECKSUM = 3
    OUT_OF_ORDER = 4
    NO_PROGRAM = 5
    MALFORMED = 6
    RUNS_ELSEWHERE = 7
    """To a status: a program runs, and its header is not at address 0."""
    RUNS_WHOLE = 8
    """To a status: a program runs, and takes more than half of a memory."""


CODE_SENTENCES = {
    Code.FOREIGN: "The program is for an engine of other settings than the board's: fold the "
    "network for the board's engine.",
    Code.WRONG_CHECKSUM: "What arrived is not what was sent, so the board does not run it: load "
    "the program again.",
    Code.OUT_OF_ORDER: "A request was lost or came twice: send the program or the sample again "
    "from its beginning.",
    Code.NO_PROGRAM: "The board has no program yet: load one with `nomul program`.",
    Code.MALFORMED: "The board does not know this request: use the same version of nomul as its "
    "bitstream.",
}


def signature(settings: EngineSettings) -> int:
    """Return 16 bits that tell engines of different settings apart."""
    return checksum(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode())


def status_request(sequence: int) -> bytes:
    """Return the content of the request that asks what runs."""
    return bytes([sequence, Kind.STATUS])


def program_requests(
    program: Program, half: Half = 0, sequence: int = 0, *, beside: bool = False
) -> Iterator[bytes]:
    """Yield the contents of the requests that load a program, to be sent one by one.

    Parameters
    ----------
    half
        Of every memory, for a program that leaves the other half alone.
    sequence
        Of the first request; the others count on.
    beside
        The program that runs lies in the other half, and goes on until the new one is complete.
    """
    kind = Kind.BEGIN_BESIDE if beside else Kind.BEGIN
    contents = [bytes([kind]) + signature(program.settings).to_bytes(2, "little")]
    loaded = b""
    for memory, step, first, words in _runs(program, half):
        start = bytes([memory | step << 3]) + first.to_bytes(2, "little")
        body = start + b"".join(word.to_bytes(2, "little") for word in words)
        loaded += body
        contents.append(bytes([Kind.WORDS]) + body)
    header = half * half_depths(program.settings)["program"]
    header |= 0 if fits_half(program) else WHOLE
    contents.append(
        bytes([Kind.COMMIT]) + header.to_bytes(2, "little") + checksum(loaded).to_bytes(2, "little")
    )
    for number, content in enumerate(contents):
        yield bytes([(sequence + number) % 256]) + content


def _runs(program: Program, half: Half) -> Iterator[tuple[int, int, int, list[int]]]:
    """Yield memory, step, first address and words that lie one behind the other."""
    run: list[int] = []
    place = (0, 0, 0)
    for memory, step, address, word in load_words(program, half):
        if run and (
            (memory, step, address) != (*place[:2], place[2] + len(run)) or len(run) == _N_WORDS_MAX
        ):
            yield *place, run
            run = []
        if not run:
            place = (memory, step, address)
        run.append(word)
    yield *place, run


def level_requests(
    levels: Sequence[int], settings: EngineSettings, sequence: int = 0
) -> Iterator[bytes]:
    """Yield the contents of the requests that bring one sample, to be sent one by one.

    Parameters
    ----------
    levels
        In the order of ``Program.input_order``.
    """
    in_byte = 2 if settings.level_bits <= 4 else 1
    most = in_byte * (N_CONTENT_MAX - 4)
    for number, first in enumerate(range(0, len(levels), most)):
        some = list(levels[first : first + most])
        is_odd = in_byte == 2 and len(some) % 2 == 1
        kind = Kind.LEVELS_BUT_ONE if is_odd else Kind.LEVELS
        packed = bytes(some)
        if in_byte == 2:
            some += [0] * is_odd
            packed = bytes(a | b << 4 for a, b in zip(some[::2], some[1::2], strict=True))
        yield bytes([(sequence + number) % 256, kind]) + first.to_bytes(2, "little") + packed


@dataclass(frozen=True)
class EngineReply:
    """What an engine's board says.

    Attributes
    ----------
    sequence
        The request's.
    code
        What became of it.
    answers
        Of the sample that this request completed.
    cycles
        From when the sample was complete to its first answer.
    has_fault
        A bit of what was loaded has changed, so the answers may be wrong: of an engine with parity.
    """

    sequence: int
    code: Code
    answers: tuple[int, ...] = ()
    cycles: int = 0
    has_fault: bool = False


def answer_bytes(settings: EngineSettings) -> int:
    """Return the bytes of an answer in a reply: 2, or 4 where sums have more than 16 bits."""
    return 2 * parts(settings.sum_bits)


def unpack_engine_reply(content: bytes, settings: EngineSettings) -> EngineReply:
    """Return what the content of a reply says.

    Parameters
    ----------
    settings
        The engine's: they say how long an answer is.

    Raises
    ------
    ValueError
        If it is no reply of an engine.
    """
    if len(content) < 2 or content[1] not in set(Code):
        raise ValueError(NO_REPLY)
    code, n_answer_bytes = Code(content[1]), answer_bytes(settings)
    has_answers = code == Code.ANSWERED
    n_answered = len(content) - 2 - N_CYCLES if has_answers else 0
    if n_answered < 0 or n_answered % n_answer_bytes or (len(content) > 2 and not has_answers):
        raise ValueError(NO_REPLY)
    if not has_answers:
        return EngineReply(content[0], code)
    body, cycles = content[2:-N_CYCLES], int.from_bytes(content[-N_CYCLES:], "little")
    answers = [
        int.from_bytes(body[place : place + n_answer_bytes], "little", signed=True)
        for place in range(0, len(body), n_answer_bytes)
    ]
    return EngineReply(content[0], code, tuple(answers), cycles % FAULT, cycles >= FAULT)
