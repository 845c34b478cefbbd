from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nomul.boards.frame_store import FrameSender, FrameStore
from nomul.boards.protocol import FrameDecoder, encode_frame
from tests.boards.benches import send_bytes, simulate

DEPTH = 16
GOOD = encode_frame(b"\x01\x7e\x7d\x02")
SECOND, THIRD = encode_frame(b"\x10\x11\x12\x13"), encode_frame(b"\x20\x21")


def received(
    pieces: list[bytes], *, pauses: Callable[[], int] = lambda: 0, wait: int = 2 * DEPTH + 8
) -> list[bytes]:
    """Return the contents that a store holds when pieces arrive, with time to read behind each."""
    store = FrameStore(DEPTH)
    contents = []

    async def driver(ctx: Any) -> None:
        for piece in pieces:
            await send_bytes(ctx, store.i, piece, pauses)
            await ctx.tick().repeat(wait)

    async def reader(ctx: Any) -> None:
        while True:
            while not ctx.get(store.valid):
                await ctx.tick()
            content = bytearray()
            for address in range(ctx.get(store.length)):
                ctx.set(store.address, address)
                await ctx.tick()
                content.append(ctx.get(store.byte))
            contents.append(bytes(content))
            ctx.set(store.done, 1)
            await ctx.tick()
            ctx.set(store.done, 0)

    simulate(store, driver, background=(reader,))
    return contents


def some_pauses(seed: int) -> Callable[[], int]:
    rng = np.random.default_rng(seed)
    return lambda: int(rng.integers(0, 3))


@pytest.mark.parametrize("seed", [None, 1])
def test_contents_arrive_whatever_their_bytes(seed: int | None) -> None:
    rng = np.random.default_rng(5)
    contents = [
        bytes(rng.choice([0, 1, 0x5D, 0x5E, 0x7D, 0x7E, 0xFF], rng.integers(2, DEPTH - 1)).tolist())
        for _ in range(60)
    ]
    pauses = (lambda: 0) if seed is None else some_pauses(seed)
    assert received([encode_frame(content) for content in contents], pauses=pauses) == contents


def test_a_content_fills_the_memory_with_its_checksum_and_no_more() -> None:
    lengths = [1, 2, DEPTH - 2, DEPTH - 1, DEPTH, 3 * DEPTH, 5]
    found = received([encode_frame(bytes(range(10, 10 + length))) for length in lengths])
    assert [len(content) for content in found] == [2, DEPTH - 2, 5]


@pytest.mark.parametrize(
    "damaged",
    [
        GOOD[:2] + b"\x00" + GOOD[3:],
        GOOD[:-1] + b"\x7d\x7e",
        GOOD[:3] + GOOD[4:],
        GOOD[:5] + b"\x00" + GOOD[5:],
        GOOD[:-3] + b"\x7e",
        GOOD[1:-1] + b"\x7e",
        b"\x7d",
        b"\x7e\x7d",
        b"\x7e\x7e\x7e",
        b"\x00" * 40,
    ],
    ids=["flip", "escape", "lost", "added", "cut", "no flag", "1", "2", "3", "noise"],
)
def test_what_is_damaged_is_discarded_and_the_next_content_is_not(damaged: bytes) -> None:
    first = received([damaged])
    assert first == FrameDecoder().feed(damaged) == []
    assert received([damaged, GOOD, GOOD]) == [b"\x01\x7e\x7d\x02"] * 2


def test_frames_share_a_flag_and_flags_are_doubled() -> None:
    second = encode_frame(b"\x03\x04\x05")
    pieces = [GOOD, second[1:], b"\x7e\x7e\x7e", GOOD[1:]]
    assert received(pieces) == [b"\x01\x7e\x7d\x02", b"\x03\x04\x05", b"\x01\x7e\x7d\x02"]


@pytest.mark.parametrize("seed", range(4))
def test_any_bytes_give_what_the_decoder_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    line = b""
    for _ in range(60):
        content = rng.choice([5, 0x7D, 0x7E], rng.integers(2, 10))
        frame = bytearray(encode_frame(bytes(content.tolist())))
        for _ in range(rng.integers(3)):
            place = int(rng.integers(len(frame)))
            match rng.integers(3):
                case 0:
                    frame[place] = rng.choice([0x7D, 0x7E, 0x5D, 0x5E, 5])
                case 1:
                    del frame[place:]
                case 2:
                    frame[place:place] = b"\x7e"
        line += frame
    found = FrameDecoder().feed(line)
    expected = [content for content in found if 2 <= len(content) < DEPTH - 1]
    assert len(expected) > 15
    up_to_flags = re.findall(rb"[^\x7e]*\x7e?", line)
    assert received(up_to_flags, pauses=some_pauses(seed)) == expected


@pytest.mark.parametrize("n_early", range(len(SECOND) + 3))
def test_what_arrives_while_a_content_is_held_is_discarded_up_to_the_next_flag(
    n_early: int,
) -> None:
    """The first content is done with when ``n_early`` bytes of the second frame are there."""
    store = FrameStore(DEPTH)
    seen = []

    async def driver(ctx: Any) -> None:
        await send_bytes(ctx, store.i, GOOD, lambda: 0)
        await ctx.tick()
        line = SECOND + THIRD
        await send_bytes(ctx, store.i, line[:n_early], lambda: 0)
        assert ctx.get(store.valid)
        assert ctx.get(store.length) == 4
        for address, byte in enumerate(b"\x01\x7e\x7d\x02"):
            ctx.set(store.address, address)
            await ctx.tick()
            assert ctx.get(store.byte) == byte
        ctx.set(store.done, 1)
        await ctx.tick()
        ctx.set(store.done, 0)
        for byte in line[n_early:]:
            await send_bytes(ctx, store.i, bytes([byte]), lambda: 0)
            await ctx.tick()
            if ctx.get(store.valid):
                seen.append(ctx.get(store.length))
                ctx.set(store.done, 1)
                await ctx.tick()
                ctx.set(store.done, 0)

    simulate(store, driver)
    assert seen == [4, 2][bool(n_early) + (n_early > len(SECOND)) :]


def sent(contents: list[bytes], *, stalls: bool) -> bytes:
    sender = FrameSender()
    rng = np.random.default_rng(len(contents))
    found = bytearray()

    async def driver(ctx: Any) -> None:
        for content in contents:
            for byte, end in [*((byte, 0) for byte in content), (0xAA, 1)]:
                await ctx.tick().repeat(n) if (n := int(rng.integers(3)) * stalls) else None
                ctx.set(sender.i.payload.byte, byte)
                ctx.set(sender.i.payload.end, end)
                ctx.set(sender.i.valid, 1)
                await ctx.tick().until(sender.i.ready)
                ctx.set(sender.i.valid, 0)
        await ctx.tick().repeat(60)

    async def monitor(ctx: Any) -> None:
        offered = None
        while True:
            ready = int(not stalls or rng.integers(2))
            ctx.set(sender.o.ready, ready)
            _, _, valid, byte = await ctx.tick().sample(sender.o.valid, sender.o.payload)
            assert offered in (None, byte if valid else -1), "an offered byte is held"
            offered = byte if valid and not ready else None
            if valid and ready:
                found.append(byte)

    simulate(sender, driver, background=(monitor,))
    return bytes(found)


@pytest.mark.parametrize("stalls", [False, True])
def test_contents_leave_in_frames(stalls: bool) -> None:
    rng = np.random.default_rng(3)
    contents = [b"", b"\x7e", b"123456789"] + [
        bytes(rng.choice([0, 0x7D, 0x7E, 200], rng.integers(1, 12)).tolist()) for _ in range(40)
    ]
    assert sent(contents, stalls=stalls) == b"".join(map(encode_frame, contents))


def test_checksums_are_escaped_too() -> None:
    """These contents have a flag or an escape in their checksum's low or high byte."""
    contents = [bytes([a, b]) for a in range(64) for b in range(64)]
    special = [c for c in contents if len(encode_frame(c)) > 2 + 2 + 2 and not {*c} & {0x7D, 0x7E}]
    assert len(special) > 20
    assert sent(special[:30], stalls=False) == b"".join(map(encode_frame, special[:30]))
