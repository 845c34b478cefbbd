from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nomul.boards.link import Link, SerialLink
from nomul.boards.protocol import (
    LATENCY_MAX,
    FrameDecoder,
    Reply,
    encode_frame,
    pack_numbers,
    pack_request,
    unpack_numbers,
    unpack_reply,
)
from nomul.hw.plan import plan
from nomul.hw.unrolled import Unrolled
from nomul.network.model import OutputKind
from nomul.sim.golden import evaluate_levels
from tests.boards.benches import PERIOD, StandIn, monitor_line, send_bytes, send_line, simulate
from tests.networks import random_levels, random_network

DIVISOR = 8


def exchange(link: Link, pieces: list[tuple[bytes, int]], *, stalls: bool = False) -> list[Reply]:
    """Return the replies to pieces of a byte stream, each with the cycles to wait after it."""
    sent = bytearray()
    rng = np.random.default_rng(len(pieces))

    async def driver(ctx: Any) -> None:
        for piece, wait in pieces:
            await send_bytes(ctx, link.i, piece, lambda: 0)
            await ctx.tick().repeat(wait)

    async def monitor(ctx: Any) -> None:
        while True:
            ready = int(not stalls or rng.integers(2))
            ctx.set(link.o.ready, ready)
            _, _, valid, byte = await ctx.tick().sample(link.o.valid, link.o.payload)
            if valid and ready:
                sent.append(byte)

    simulate(link, driver, background=(monitor,))
    return [unpack_reply(content) for content in FrameDecoder().feed(bytes(sent))]


def complement(payload: bytes, width_in: int, width_out: int) -> bytes:
    value = ~int.from_bytes(payload, "little") & (1 << width_in) - 1 & (1 << width_out) - 1
    return value.to_bytes(-(-width_out // 8), "little")


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize(("latency", "stall"), [(0, 0), (1, 0), (7, 3), (40, 50)])
@pytest.mark.parametrize(("width_in", "width_out"), [(1, 1), (8, 8), (9, 17), (130, 3)])
def test_a_request_is_answered_with_its_number_and_the_exact_latency(
    width_in: int, width_out: int, latency: int, stall: int, stalls: bool
) -> None:
    rng = np.random.default_rng([width_in, width_out])
    requests = []
    for sequence in (0, 0x7E, 255):
        bits = [int(bit) for bit in rng.integers(0, 2, width_in)]
        requests.append((sequence, pack_numbers(bits, 1)))
    wait = 500 + 20 * width_out
    pieces = [(encode_frame(pack_request(*request)), wait) for request in requests]
    link = Link(StandIn(width_in, width_out, latency, stall))
    replies = exchange(link, pieces, stalls=stalls)
    assert replies == [
        Reply(sequence, complement(payload, width_in, width_out), latency)
        for sequence, payload in requests
    ]


def test_the_bits_that_the_last_byte_has_left_over_are_ignored() -> None:
    link = Link(StandIn(3, 3, 1))
    replies = exchange(link, [(encode_frame(b"\x05\xfa"), 400)])
    assert replies == [Reply(5, b"\x05", 1)]


def test_a_latency_too_long_to_count_reads_as_the_maximum() -> None:
    link = Link(StandIn(8, 8, LATENCY_MAX + 100))
    replies = exchange(link, [(encode_frame(b"\x05\x0f"), LATENCY_MAX + 600)])
    assert replies == [Reply(5, b"\xf0", LATENCY_MAX)]


@pytest.mark.parametrize("gap", [1, 5, 20, 40, 60])
def test_requests_while_a_reply_is_under_way_are_discarded_without_harm(gap: int) -> None:
    first, second, third = (encode_frame(bytes([number, 0x10 + number])) for number in (1, 2, 3))
    pieces = [(first, gap), (second, 300), (third, 300)]
    assert exchange(Link(StandIn(8, 8, 30)), pieces) == [
        Reply(1, b"\xee", 30),
        Reply(3, b"\xec", 30),
    ]


def test_a_damaged_request_is_not_answered_and_the_next_one_is() -> None:
    good = encode_frame(b"\x01\x02")
    damaged = good[:2] + b"\x03" + good[3:]
    replies = exchange(Link(StandIn(8, 8, 2)), [(damaged, 300), (good[:-2], 300), (good, 300)])
    assert replies == [Reply(1, b"\xfd", 2)]


@pytest.mark.parametrize(
    ("output", "sizes", "levels", "n_stages"),
    [
        ("class", (5, 3), (4,), None),
        ("class", (5, 3), (4,), 0),
        ("levels", (3, 4), (2, 3), 1),
        ("accumulators", (2, 3, 2), (3, 2), 2),
    ],
)
def test_a_network_answers_over_the_line_as_the_golden_model(
    output: OutputKind, sizes: tuple[int, ...], levels: tuple[int, ...], n_stages: int | None
) -> None:
    network = random_network(sizes, levels, output=output)
    core = Unrolled(plan(network, n_stages=n_stages))
    serial_link = SerialLink(Link(core), DIVISOR)
    samples = random_levels(network, 6)
    received = bytearray()
    width_in = (network.input.n_levels - 1).bit_length()
    frames = [
        encode_frame(pack_request(number, pack_numbers([int(level) for level in sample], width_in)))
        for number, sample in enumerate(samples)
    ]

    async def driver(ctx: Any) -> None:
        await ctx.delay(3 * PERIOD)
        for frame in frames:
            await send_line(ctx, serial_link.rx, frame, 1.02 * DIVISOR * PERIOD)
            await ctx.delay(25 * 10 * DIVISOR * PERIOD)

    monitor = monitor_line(serial_link.tx, DIVISOR * PERIOD, received)
    simulate(serial_link, driver, background=(monitor,))
    replies = [unpack_reply(content) for content in FrameDecoder().feed(bytes(received))]
    assert [reply.sequence for reply in replies] == list(range(len(samples)))
    assert {reply.latency for reply in replies} == {core.latency}
    expected = evaluate_levels(network, samples).reshape(len(samples), -1)
    width_out = len(core.o.payload.as_value() if output != "class" else core.o.payload)
    count = expected.shape[1]
    answers = [
        unpack_numbers(reply.payload, width_out // count, count, signed=output == "accumulators")
        for reply in replies
    ]
    assert np.array_equal(answers, expected)
