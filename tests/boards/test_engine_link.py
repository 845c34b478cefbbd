"""The link in Amaranth's simulator; tests/sim/test_board.py has it in Verilator."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from nomul.boards.engine_link import EngineLink, emit_link
from nomul.boards.engine_protocol import (
    Code,
    EngineReply,
    level_requests,
    program_requests,
    status_request,
    unpack_engine_reply,
)
from nomul.boards.link import SerialLink
from nomul.boards.protocol import FrameDecoder, encode_frame
from nomul.hw.engine import Engine
from nomul.hw.engine_memory import LoadedMemory
from nomul.hw.folding import fold
from nomul.hw.netlist import verilog_multipliers
from nomul.sim.golden import evaluate_levels
from tests.boards.benches import PERIOD, monitor_line, send_line, simulate
from tests.boards.engines import CLASSES, SUMS, TINY, exchange
from tests.networks import random_levels

DIVISOR = 8


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
    replies = [
        unpack_engine_reply(content, TINY) for content in FrameDecoder().feed(bytes(received))
    ]
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
    assert list(unpack_engine_reply(answer, TINY).answers) == expected.tolist()


def test_wide_sums_are_answered_in_four_bytes_and_a_changed_bit_with_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bitstream has the lowest bit of each bias and threshold changed, and not its parity."""
    wide = dataclasses.replace(TINY, sum_bits=20, parity=True)
    program = fold(SUMS, wide)
    (levels,) = random_levels(SUMS, 1)
    (sample,) = level_requests(levels[program.input_order].tolist(), wide)

    def answered() -> EngineReply:
        (answer,) = exchange(EngineLink(Engine(wide, program)), [sample])
        assert answer is not None
        return unpack_engine_reply(answer, wide)

    expected = evaluate_levels(SUMS, levels[None])[0, program.output_order]
    sound = answered()
    assert (list(sound.answers), sound.has_fault) == (expected.tolist(), False)
    stored = LoadedMemory._stored

    def changed(memory: LoadedMemory, word: int) -> int:
        return stored(memory, word) ^ (memory.n_bits == wide.sum_bits)

    monkeypatch.setattr(LoadedMemory, "_stored", changed)
    faulty = answered()
    assert list(faulty.answers) != expected.tolist()
    assert faulty.has_fault
    assert faulty.cycles == sound.cycles


def test_verilog_has_the_two_streams() -> None:
    verilog = emit_link(EngineLink(Engine(TINY)), "board")
    ports = re.search(r"^module board ?\((.*?)\);", verilog, re.MULTILINE)
    assert ports is not None
    names = {f"{port}__{member}" for port in "io" for member in ("payload", "valid", "ready")}
    assert set(ports[1].split(", ")) == names | {"clk", "rst"}
    assert verilog_multipliers(verilog) == []
