from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nomul.boards.frame import FrameReceiver, FrameTransmitter
from nomul.boards.protocol import FrameDecoder, encode_frame
from tests.boards.benches import send_bytes, simulate

ONE, TWO = b"\x01\x7e\x55", b"\x7d\x5e\x7d"


def receive(data: bytes, n_content: int = 3, *, seed: int | None = None) -> list[bytes]:
    """Return what the receiver makes of ``data``, one byte per cycle or with random pauses."""
    receiver = FrameReceiver(n_content)
    rng = np.random.default_rng(seed)
    contents = []

    async def driver(ctx: Any) -> None:
        await send_bytes(ctx, receiver.i, data, lambda: 0 if seed is None else int(rng.integers(3)))
        await ctx.tick().repeat(3)

    async def monitor(ctx: Any) -> None:
        ctx.set(receiver.o.ready, 1)
        async for _, _, valid, content in ctx.tick().sample(receiver.o.valid, receiver.o.payload):
            if valid:
                contents.append(content.to_bytes(n_content, "little"))

    simulate(receiver, driver, background=(monitor,))
    return contents


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize(
    "content", [b"\x00", b"\x7e", b"\x7d\x7e\x7d", b"\x7d\x5e", bytes(range(100, 140))]
)
def test_receiver_finds_a_content(content: bytes, seed: int | None) -> None:
    assert receive(encode_frame(content), len(content), seed=seed) == [content]


@pytest.mark.parametrize(
    ("data", "contents"),
    [
        (encode_frame(ONE)[:-1] + encode_frame(TWO), [ONE, TWO]),
        (b"\x7e\x7e" + encode_frame(ONE) + b"\x7e" + encode_frame(TWO), [ONE, TWO]),
        (b"garbage\x7d" + encode_frame(ONE), [ONE]),
        (encode_frame(ONE)[2:] + encode_frame(TWO), [TWO]),
        (encode_frame(ONE)[:-2] + encode_frame(TWO), [TWO]),
        (encode_frame(ONE)[:-1] + b"\x7d" + encode_frame(TWO), [TWO]),
        (encode_frame(ONE[:2]) + encode_frame(TWO), [TWO]),
        (encode_frame(ONE + b"\x00") + encode_frame(TWO), [TWO]),
        (encode_frame(bytes(300)) + encode_frame(TWO), [TWO]),
        (b"\x7e" * 9, []),
        (b"\x00" * 9, []),
    ],
    ids=[
        "shared flag",
        "doubled flags",
        "garbage first",
        "beginning lost",
        "end lost",
        "aborted",
        "too short",
        "too long",
        "far too long",
        "flags alone",
        "no flag",
    ],
)
def test_receiver_takes_whole_frames_alone(data: bytes, contents: list[bytes]) -> None:
    assert receive(data) == contents


def test_receiver_discards_every_frame_with_a_flipped_bit_or_a_lost_byte() -> None:
    frame = encode_frame(ONE)
    damaged = [frame[:lost] + frame[lost + 1 :] for lost in range(1, len(frame) - 1)]
    for bit in range(8, 8 * (len(frame) - 1)):
        copy = bytearray(frame)
        copy[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(copy))
    data = b"".join(piece + encode_frame(TWO) for piece in damaged)
    assert receive(data) == [TWO] * len(damaged)


@pytest.mark.parametrize("seed", range(6))
def test_receiver_agrees_with_the_decoder_on_damaged_streams(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_content = int(rng.integers(1, 5))
    data = bytearray()
    for _ in range(60):
        content = rng.choice(
            [0x7D, 0x7E, 0x5D, 0x5E, 0x00, 0x20], n_content + rng.choice([0, 0, 0, 1, -1])
        )
        frame = bytearray(encode_frame(content.astype(np.uint8).tobytes()))
        match rng.integers(6):
            case 0:
                frame[rng.integers(len(frame))] ^= 1 << rng.integers(8)
            case 1:
                del frame[rng.integers(len(frame))]
            case 2:
                frame.insert(rng.integers(len(frame)), rng.integers(256))
        data += frame
    expected = [c for c in FrameDecoder().feed(bytes(data)) if len(c) == n_content]
    assert len(expected) > 10
    assert receive(bytes(data), n_content, seed=seed) == expected


def test_receiver_holds_a_content_and_discards_what_begins_meanwhile() -> None:
    receiver = FrameReceiver(3)
    last = b"\x07\x08\x09"

    async def bench(ctx: Any) -> None:
        async def send(data: bytes) -> None:
            await send_bytes(ctx, receiver.i, data, lambda: 0)

        await send(encode_frame(ONE) + encode_frame(TWO) + encode_frame(TWO)[:3])
        assert ctx.get(receiver.o.valid) == 1
        assert ctx.get(receiver.o.payload) == int.from_bytes(ONE, "little")
        ctx.set(receiver.o.ready, 1)
        await ctx.tick()
        assert ctx.get(receiver.o.valid) == 0
        await send(encode_frame(TWO)[3:-1])
        await send(b"\x7e")
        assert ctx.get(receiver.o.valid) == 0
        await send(encode_frame(last))
        assert ctx.get(receiver.o.valid) == 1
        assert ctx.get(receiver.o.payload) == int.from_bytes(last, "little")

    simulate(receiver, bench)


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize(
    "contents", [[b"\x00", b"\x7e", b"\x7d"], [ONE, TWO, ONE], [bytes(range(100, 140))]]
)
def test_transmitter_sends_what_the_codec_does(contents: list[bytes], stalls: bool) -> None:
    transmitter = FrameTransmitter(len(contents[0]))
    rng = np.random.default_rng(len(contents[0]))
    expected = b"".join(encode_frame(content) for content in contents)
    sent = bytearray()

    async def driver(ctx: Any) -> None:
        for content in contents:
            if stalls:
                await ctx.tick().repeat(int(rng.integers(1, 30)))
            ctx.set(transmitter.i.valid, 1)
            ctx.set(transmitter.i.payload, int.from_bytes(content, "little"))
            await ctx.tick().until(transmitter.i.ready)
            ctx.set(transmitter.i.valid, 0)
        await ctx.tick().repeat(20)

    async def monitor(ctx: Any) -> None:
        offered = None
        while True:
            ready = int(not stalls or rng.integers(2))
            ctx.set(transmitter.o.ready, ready)
            _, _, valid, byte = await ctx.tick().sample(transmitter.o.valid, transmitter.o.payload)
            assert offered is None or (valid, byte) == (1, offered), "what is offered is held"
            offered = byte if valid and not ready else None
            if valid and ready:
                sent.append(byte)

    simulate(transmitter, driver, background=(monitor,))
    assert sent == expected
