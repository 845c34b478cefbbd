"""Small engines and networks for them, and a bench that talks with a link."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nomul.boards.engine_link import EngineLink
from nomul.boards.protocol import FrameDecoder, encode_frame
from nomul.hw.engine_settings import EngineSettings
from tests.boards.benches import Bench, send_bytes, simulate
from tests.networks import random_network

__all__ = ["CLASSES", "SUMS", "TINY", "WIDE", "exchange"]

TINY = EngineSettings(
    channel_lanes=2,
    position_lanes=1,
    level_bits=2,
    magnitude_bits=2,
    map_depth=16,
    pages=4,
    threshold_depth=4,
    bias_depth=8,
    weight_depth=32,
    program_depth=128,
    weight_memory="block",
)
WIDE = dataclasses.replace(TINY, level_bits=5)
CLASSES = random_network((5, 2, 3), (4, 3), n_centres=3)
SUMS = random_network((4, 3), (3,), n_centres=3, output="accumulators")


def exchange(
    link: EngineLink,
    requests: list[bytes],
    *,
    stalls: bool = False,
    background: tuple[Bench, ...] = (),
) -> list[bytes | None]:
    """Return the content of the reply to each content of a request; None where none comes."""
    rng = np.random.default_rng(len(requests))
    sent = bytearray()
    replies: list[bytes | None] = []

    async def driver(ctx: Any) -> None:
        for request in requests:
            before = len(sent)
            frame = encode_frame(request)
            await send_bytes(ctx, link.i, frame, lambda: int(rng.integers(3)) * stalls)
            for _ in range(4 * len(frame) + 400):
                await ctx.tick()
                if sent.count(0x7E, before) == 2:
                    break
            found = FrameDecoder().feed(bytes(sent[before:]))
            replies.append(found[0] if found else None)

    async def monitor(ctx: Any) -> None:
        while True:
            ready = int(not stalls or rng.integers(2))
            ctx.set(link.o.ready, ready)
            _, _, valid, byte = await ctx.tick().sample(link.o.valid, link.o.payload)
            if valid and ready:
                sent.append(byte)

    simulate(link, driver, background=(monitor, *background))
    return replies
