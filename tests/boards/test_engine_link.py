"""The link in Amaranth's simulator; tests/sim/test_board.py has it in Verilator."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from nomul.boards.engine_link import EngineLink, emit_link
from nomul.boards.engine_protocol import (
    Code,
    level_requests,
    program_requests,
    signature,
    status_request,
    unpack_engine_reply,
)
from nomul.boards.link import SerialLink
from nomul.boards.protocol import FrameDecoder, encode_frame
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.netlist import verilog_multipliers
from nomul.hw.program_image import fits_half
from nomul.network import Network
from nomul.sim.golden import evaluate_levels
from tests.boards.benches import PERIOD, Bench, monitor_line, send_bytes, send_line, simulate
from tests.boards.engine_stand_in import EngineStandIn
from tests.networks import random_levels, random_network

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
DIVISOR = 8


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


def without_cycles(reply: bytes | None) -> bytes | None:
    return reply if reply is None or reply[1] != 1 else reply[:-4] + bytes(4)


def conversation(network: Network, settings: EngineSettings) -> list[bytes]:
    """Return requests that go well, and all that can be wrong with them."""
    program = fold(network, settings)
    begin, *words, commit = program_requests(program)
    beside = begin[:1] + b"\x06" + begin[2:]
    samples = random_levels(network, 3)[:, program.input_order].tolist()
    (whole,) = level_requests(samples[0], settings)
    n_first = 2 if settings.level_bits <= 4 else 1
    first = b"\x09\x04\x00\x00" + whole[4:5]

    def rest(place: int) -> bytes:
        """What is left of the sample, as if it began at ``place``."""
        return bytes([8, whole[1], place, 0]) + whole[5:]

    damaged = [words[0][:-1] + bytes([words[0][-1] ^ 1]), *words[1:]]
    n_inputs = network.n_inputs
    return [
        # Without a program, and malformed.
        *(status_request(0x7E), whole, words[0], commit, b"\x01\x06", b"\x02\xff\x00"),
        *(b"\x03\x01\x00", b"\x04\x01", b"\x05\x01\x00\x00", words[0], commit),
        *(begin, b"\x06\x02\x00", b"\x06\x02\x00\x00", b"\x06\x02\x00\x00\x00\x07", commit),
        *(begin, *damaged, commit, status_request(1), commit),
        *(begin, *words, words[-1], commit, begin, *words, commit[:-1], commit, status_request(2)),
        *(b"\x07\x04", b"\x07\x04\x00", b"\x07\x04\x00\x00", whole),
        *(first, rest(n_first), rest(n_first), rest(n_inputs), rest(0), first, first),
        *(rest(n_first + 1), rest(n_first), whole + b"\x01\x02\x03"),
        *(first, begin, *words, b"\x09\x03\x00\x00\x00\x00", rest(n_first)),
        *(first, begin, *words, commit, rest(n_first)),
        # Beside what runs, which goes on.
        *(begin, status_request(3), *words, commit, first, beside, status_request(4)),
        *(*damaged, rest(n_first), commit, whole, *words, commit, status_request(5), whole),
        *(request for sample in samples for request in level_requests(sample, settings)),
    ]


@pytest.mark.parametrize(
    ("network", "settings", "stalls"),
    [(CLASSES, TINY, False), (SUMS, TINY, True), (CLASSES, WIDE, False)],
    ids=["class", "sums", "a level a byte"],
)
def test_every_request_is_answered_as_documented(
    network: Network, settings: EngineSettings, stalls: bool
) -> None:
    requests = conversation(network, settings)
    program = fold(network, settings)
    stand_in = EngineStandIn(program, signature(settings))
    expected = [stand_in.reply(request) for request in requests]
    replies = exchange(EngineLink(Engine(settings)), requests, stalls=stalls)
    assert [without_cycles(reply) for reply in replies] == expected
    codes = {reply[1] for reply in expected if reply}
    assert codes == {*range(7)} | (set() if fits_half(program) else {Code.RUNS_WHOLE})


def test_cycles_count_from_the_whole_sample_to_its_first_answer() -> None:
    program = fold(SUMS, TINY)
    engine = Engine(TINY)
    link = EngineLink(engine)
    (sample,) = level_requests(random_levels(SUMS, 1)[0].tolist(), TINY)
    spans = []

    async def watch(ctx: Any) -> None:
        since = None
        async for *_, accepted, answers in ctx.tick().sample(
            engine.i.valid & engine.i.ready, engine.o.valid
        ):
            since = 0 if accepted else since if since is None else since + 1
            if answers and since is not None:
                spans.append(since)
                since = None

    replies = exchange(link, [*program_requests(program), sample], background=(watch,))
    assert replies[-1] is not None
    assert unpack_engine_reply(replies[-1]).cycles == spans[0] > 0


def test_a_network_is_loaded_and_answers_over_the_line() -> None:
    program = fold(CLASSES, TINY)
    samples = random_levels(CLASSES, 3)
    serial_link = SerialLink(EngineLink(Engine(TINY)), DIVISOR)
    received = bytearray()
    ordered = samples[:, program.input_order].tolist()
    requests = [
        *program_requests(program),
        *(request for sample in ordered for request in level_requests(sample, TINY)),
    ]

    async def driver(ctx: Any) -> None:
        await ctx.delay(3 * PERIOD)
        for request in requests:
            await send_line(ctx, serial_link.rx, encode_frame(request), DIVISOR * PERIOD)
            await ctx.delay(16 * 10 * DIVISOR * PERIOD)

    monitor = monitor_line(serial_link.tx, DIVISOR * PERIOD, received)
    simulate(serial_link, driver, background=(monitor,))
    replies = [unpack_engine_reply(content) for content in FrameDecoder().feed(bytes(received))]
    assert {reply.code for reply in replies[:-3]} == {Code.DONE}
    answers = [reply.answers[0] for reply in replies[-3:]]
    assert answers == evaluate_levels(CLASSES, samples).tolist()


def test_a_program_in_the_bitstream_runs_unloaded() -> None:
    program = fold(SUMS, TINY)
    (levels,) = random_levels(SUMS, 1)
    (sample,) = level_requests(levels[program.input_order].tolist(), TINY)
    status, answer = exchange(EngineLink(Engine(TINY, program)), [status_request(1), sample])
    assert status == bytes([1, Code.DONE])
    assert answer is not None
    expected = evaluate_levels(SUMS, levels[None])[0, program.output_order]
    assert list(unpack_engine_reply(answer).answers) == expected.tolist()


def test_verilog_has_the_two_streams() -> None:
    verilog = emit_link(EngineLink(Engine(TINY)), "board")
    ports = re.search(r"^module board ?\((.*?)\);", verilog, re.MULTILINE)
    assert ports is not None
    names = {f"{port}__{member}" for port in "io" for member in ("payload", "valid", "ready")}
    assert set(ports[1].split(", ")) == names | {"clk", "rst"}
    assert verilog_multipliers(verilog) == []
