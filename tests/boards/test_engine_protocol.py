from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from nomul.boards.catalog import find_board
from nomul.boards.engine_protocol import (
    CODE_SENTENCES,
    N_CONTENT_MAX,
    NO_REPLY,
    Code,
    EngineReply,
    Kind,
    level_requests,
    program_requests,
    signature,
    status_request,
    unpack_engine_reply,
)
from nomul.boards.protocol import checksum, encode_frame
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program_image import MEMORIES, Half, fits_half, load_words
from tests.hw.folded import NETWORKS, SMALL

DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire-protocol.md").read_text()
NARROW, WIDE = EngineSettings(level_bits=4), EngineSettings(level_bits=5)
WIDE_SUMS = EngineSettings(sum_bits=20)
UP5K = find_board("icebreaker").engine_settings


def test_a_request_of_status_is_two_bytes() -> None:
    assert status_request(0x7E) == b"\x7e\x00"


@pytest.mark.parametrize(
    ("settings", "levels", "contents"),
    [
        (NARROW, [1, 2, 15, 4], [b"\x07\x04\x00\x00\x21\x4f"]),
        (NARROW, [1, 2, 15], [b"\x07\x05\x00\x00\x21\x0f"]),
        (NARROW, [9], [b"\x07\x05\x00\x00\x09"]),
        (WIDE, [1, 31, 3], [b"\x07\x04\x00\x00\x01\x1f\x03"]),
    ],
)
def test_levels_are_packed_as_documented(
    settings: EngineSettings, levels: list[int], contents: list[bytes]
) -> None:
    assert list(level_requests(levels, settings, 7)) == contents


@pytest.mark.parametrize(("settings", "in_byte"), [(NARROW, 2), (WIDE, 1)])
@pytest.mark.parametrize("n_more", [-1, 0, 1])
def test_long_samples_take_several_requests(
    settings: EngineSettings, in_byte: int, n_more: int
) -> None:
    n_each = 506 * in_byte
    levels = [place % 13 for place in range(2 * n_each + n_more)]
    requests = list(level_requests(levels, settings, 255))
    assert [request[0] for request in requests] == [255, 0, 1][: len(requests)]
    assert len(requests) == 2 + (n_more > 0)
    found: list[int] = []
    for request in requests:
        assert len(request) <= N_CONTENT_MAX
        assert int.from_bytes(request[2:4], "little") == len(found)
        for byte in request[4:]:
            found += [byte & 15, byte >> 4] if in_byte == 2 else [byte]
        del found[len(found) - (request[1] == 5) :]
    assert found == levels


@pytest.mark.parametrize(("half", "header"), [(0, 0), (1, 2048)])
@pytest.mark.parametrize("case", NETWORKS)
def test_requests_bring_every_word_of_a_program(case: str, half: Half, header: int) -> None:
    program = fold(NETWORKS[case], SMALL)
    begin, *words, commit = program_requests(program, half, sequence=250)
    numbers = [request[0] for request in (begin, *words, commit)]
    assert numbers == [n % 256 for n in range(250, 250 + len(numbers))]
    assert begin[1:] == b"\x01" + signature(SMALL).to_bytes(2, "little")
    found, loaded = [], b""
    for request in words:
        assert len(request) <= N_CONTENT_MAX
        assert request[1] == 2
        assert len(request) % 2 == 1
        loaded += request[2:]
        first = int.from_bytes(request[3:5], "little")
        for place in range(5, len(request), 2):
            word = int.from_bytes(request[place : place + 2], "little")
            found.append((request[2] & 7, request[2] >> 3, first + (place - 5) // 2, word))
    assert found == list(load_words(program, half))
    header |= 0 if fits_half(program) else 0x8000
    (beside, *_) = program_requests(program, half, beside=True)
    assert beside[1:] == b"\x06" + begin[2:]
    assert commit[1:] == b"\x03" + header.to_bytes(2, "little") + checksum(loaded).to_bytes(
        2, "little"
    )


def test_engines_of_other_settings_have_another_signature() -> None:
    others: dict[str, Any] = {
        name: not value if isinstance(value, bool) else value - 1
        for name, value in dataclasses.asdict(SMALL).items()
        if name != "weight_memory"
    }
    changed = [dataclasses.replace(SMALL, **{name: value}) for name, value in others.items()]
    changed.append(dataclasses.replace(SMALL, weight_memory="spram"))
    found = {signature(settings) for settings in (SMALL, *changed)}
    assert len(found) == len(changed) + 1
    assert signature(dataclasses.replace(SMALL)) == signature(SMALL)


def test_the_signature_is_what_the_page_says() -> None:
    (text,) = re.findall(r"^    (\{.*\})$", DOCUMENT, re.MULTILINE)
    (number,) = re.findall(r"iCE40UP5K's engine is 0x([0-9a-f]{4})", DOCUMENT)
    assert signature(UP5K) == checksum(text.encode()) == int(number, 16)


def test_the_examples_are_what_the_page_says() -> None:
    found = re.findall(r"^    ((?:[0-9a-f]{2} ?)+)$", DOCUMENT.partition("## The folded")[2], re.M)
    begin = b"\x01\x01" + signature(UP5K).to_bytes(2, "little")
    (sample,) = level_requests([3, 0, 15], EngineSettings(), 9)
    reply = b"\x09\x01\x02\x00" + (14_647).to_bytes(4, "little")
    contents = [status_request(126), bytes([126, Code.NO_PROGRAM]), begin, sample, reply]
    assert [bytes.fromhex(block) for block in found] == [encode_frame(c) for c in contents]
    assert unpack_engine_reply(reply, EngineSettings()) == EngineReply(
        9, Code.ANSWERED, (2,), 14_647
    )


def test_kinds_and_codes_are_those_of_the_page() -> None:
    kinds, codes = (
        re.findall(r"^\| (\d) \|", part, re.MULTILINE)
        for part in DOCUMENT.partition("## The folded engine")[2].split("| code |")
    )
    assert list(map(int, kinds)) == list(Kind)
    assert list(map(int, codes)) == list(Code)
    for number, name in enumerate(MEMORIES):
        assert re.search(rf"\b{number}\s{name}\b", DOCUMENT), name


def test_replies_are_read_as_documented() -> None:
    assert unpack_engine_reply(b"\x05\x04", EngineSettings()) == EngineReply(5, Code.OUT_OF_ORDER)
    content = b"\x7e\x01\xfe\xff\x00\x80\x34\x12" + b"\x01\x02\x03\x00"
    assert unpack_engine_reply(content, EngineSettings()) == EngineReply(
        0x7E, Code.ANSWERED, (-2, -32768, 0x1234), 0x30201
    )
    assert unpack_engine_reply(b"\x00\x01\x00\x00\x00\x00", EngineSettings()) == EngineReply(
        0, Code.ANSWERED
    )
    content = b"\x00\x01\xfe\xff\xff\xff\x00\x00\x08\x00" + b"\x05\x00\x00\x80"
    assert unpack_engine_reply(content, WIDE_SUMS) == EngineReply(
        0, Code.ANSWERED, (-2, 0x80000), 5, has_fault=True
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"\x00\x09",
        b"\x00\x00\x00",
        b"\x00\x01",
        b"\x00\x01\1\2\3",
        b"\0\1" + bytes(5),
    ],
)
def test_what_is_no_reply_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match=NO_REPLY):
        unpack_engine_reply(content, EngineSettings())


def test_every_refusal_has_a_sentence() -> None:
    assert set(CODE_SENTENCES) == set(Code) - {
        *(Code.DONE, Code.ANSWERED, Code.RUNS_ELSEWHERE, Code.RUNS_WHOLE)
    }
    assert all(sentence.endswith(".") for sentence in CODE_SENTENCES.values())
