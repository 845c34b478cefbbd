from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nomul.boards.protocol import (
    FrameDecoder,
    Reply,
    checksum,
    encode_frame,
    pack_numbers,
    pack_request,
    unpack_numbers,
    unpack_reply,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire-protocol.md"


def test_checksum_has_the_published_check_value() -> None:
    assert checksum(b"123456789") == 0x906E


def test_checksum_over_itself_leaves_the_published_residue() -> None:
    for data in (b"", b"123456789", bytes(range(256))):
        whole = data + checksum(data).to_bytes(2, "little")
        assert checksum(whole) ^ 0xFFFF == 0xF0B8


@pytest.mark.parametrize(
    "content", [b"\x00", b"\x7e", b"\x7d\x7e\x7d", b"\x7d\x5e", bytes(range(256))]
)
def test_a_content_comes_back_byte_by_byte_and_at_once(content: bytes) -> None:
    frame = encode_frame(content)
    assert b"\x7e" not in frame[1:-1]
    assert FrameDecoder().feed(frame) == [content]
    decoder = FrameDecoder()
    assert [found for byte in frame for found in decoder.feed(bytes([byte]))] == [content]


def test_escapes_stand_for_flag_and_escape_alone() -> None:
    assert encode_frame(b"\x7e\x7d\x11")[:6] == b"\x7e\x7d\x5e\x7d\x5d\x11"


def test_frames_may_share_a_flag_and_flags_may_be_doubled() -> None:
    one, two = encode_frame(b"one"), encode_frame(b"two")
    assert FrameDecoder().feed(one[:-1] + two) == [b"one", b"two"]
    assert FrameDecoder().feed(b"\x7e\x7e" + one + b"\x7e" + two) == [b"one", b"two"]


def test_garbage_before_a_flag_is_discarded() -> None:
    frame = encode_frame(b"one")
    assert FrameDecoder().feed(b"garbage\x7d" + frame) == [b"one"]
    assert FrameDecoder().feed(frame[1:] + encode_frame(b"two")) == [b"two"]


def test_an_escape_before_the_closing_flag_aborts() -> None:
    frame = encode_frame(b"one")
    assert FrameDecoder().feed(frame[:-1] + b"\x7d\x7e" + frame) == [b"one"]


def test_a_frame_without_end_takes_no_memory_without_end() -> None:
    content, next_one = bytes(131_070), encode_frame(b"next")
    assert FrameDecoder().feed(encode_frame(content) + next_one) == [content, b"next"]
    assert FrameDecoder().feed(encode_frame(content + b"\0") + next_one) == [b"next"]
    decoder = FrameDecoder()
    tracemalloc.start()
    assert decoder.feed(b"\x7e" + b"x" * 1_000_000) == []
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 131_072
    assert decoder.feed(next_one) == [b"next"]


def test_every_damage_of_one_bit_and_every_lost_byte_is_noticed() -> None:
    content = b"\x01\x7e\x55"
    frame = encode_frame(content)
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        assert content not in FrameDecoder().feed(bytes(damaged)) or damaged[1:-1] == frame[1:-1]
        found = FrameDecoder().feed(bytes(damaged) + frame)
        assert set(found) == {content}
    for lost in range(1, len(frame) - 1):
        assert FrameDecoder().feed(frame[:lost] + frame[lost + 1 :]) == []


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("width", [1, 2, 7, 8, 13])
@pytest.mark.parametrize("count", [1, 8, 64])
def test_numbers_come_back(count: int, width: int, signed: bool) -> None:
    rng = np.random.default_rng([count, width])
    numbers = [int(number) for number in rng.integers(0, 1 << width, count)]
    data = pack_numbers(numbers, width)
    assert len(data) == -(-count * width // 8)
    expected = [n - (1 << width) if signed and n >> width - 1 else n for n in numbers]
    assert unpack_numbers(data, width, count, signed=signed) == expected


def test_the_first_number_is_in_the_lowest_bits() -> None:
    assert pack_numbers([1, 2, 3], 4) == b"\x21\x03"


def test_a_reply_has_sequence_payload_and_latency() -> None:
    assert pack_request(7, b"\x02\x03") == b"\x07\x02\x03"
    assert unpack_reply(b"\x07\x04\x05\x34\x12") == Reply(7, b"\x04\x05", 0x1234)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: unpack_reply(b"\x00\x01\x02"),
            "A reply has at least 4 bytes, and this one has 3: check that the board runs nomul.",
        ),
        (
            lambda: unpack_numbers(b"\x00", 4, 3),
            "3 numbers of 4 bits take 2 bytes, and there are 1: check that the board runs this "
            "network.",
        ),
        (lambda: pack_numbers([0, 4], 2), "4 is no unsigned number of 2 bits."),
        (lambda: pack_numbers([-1], 2), "-1 is no unsigned number of 2 bits."),
    ],
)
def test_errors_name_the_way_out(call: object, sentence: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()


def test_the_worked_example_of_the_document_is_true() -> None:
    text = DOCUMENT.read_text()
    blocks = [
        bytes.fromhex(block) for block in re.findall(r"^    ((?:[0-9a-f]{2} ?)+)$", text, re.M)
    ]
    request = pack_request(0x7E, pack_numbers([3, 0, 2, 1, 1, 3], 2))
    reply = bytes([0x7E, 2, 5, 0])
    assert blocks[:3] == [request, encode_frame(request), encode_frame(reply)]
    assert unpack_reply(reply) == Reply(0x7E, b"\x02", 5)
    assert checksum(request) == int(
        re.findall(r"(?i:request's checksum is) 0x([0-9a-f]{4})", text)[0], 16
    )
