from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from nomul.boards.uart import UARTReceiver, UARTTransmitter, uart_divisor
from nomul.network import UserError
from tests.boards.benches import PERIOD, monitor_line, send_bytes, send_line, simulate

DATA = b"\x00\xff\x55\xaa\x01\x80\x7e"


def receive(divisor: int, drive: Any) -> bytes:
    receiver = UARTReceiver(divisor)
    received = bytearray()

    async def driver(ctx: Any) -> None:
        await ctx.delay(3 * PERIOD)
        await drive(ctx, receiver.rx)
        ctx.set(receiver.rx, 1)
        await ctx.delay(12 * divisor * PERIOD)

    async def monitor(ctx: Any) -> None:
        async for _, _, valid, byte in ctx.tick().sample(receiver.o.valid, receiver.o.payload):
            if valid:
                received.append(byte)

    simulate(receiver, driver, background=(monitor,))
    return bytes(received)


@pytest.mark.parametrize("mismatch", [-0.02, 0.0, 0.02])
@pytest.mark.parametrize("divisor", [8, 9, 104])
def test_receiver_takes_bytes_back_to_back_within_two_percent(
    divisor: int, mismatch: float
) -> None:
    async def drive(ctx: Any, line: Any) -> None:
        await send_line(ctx, line, DATA, divisor * PERIOD * (1 + mismatch))

    assert receive(divisor, drive) == DATA


def test_receiver_ignores_a_glitch() -> None:
    async def drive(ctx: Any, line: Any) -> None:
        ctx.set(line, 0)
        await ctx.delay(4 * PERIOD)
        ctx.set(line, 1)
        await ctx.delay(40 * PERIOD)
        await send_line(ctx, line, DATA, 16 * PERIOD)

    assert receive(16, drive) == DATA


def test_receiver_drops_a_break_and_goes_on() -> None:
    async def drive(ctx: Any, line: Any) -> None:
        ctx.set(line, 0)
        await ctx.delay(16 * 35 * PERIOD)
        ctx.set(line, 1)
        await ctx.delay(40 * PERIOD)
        await send_line(ctx, line, DATA, 16 * PERIOD)

    assert receive(16, drive) == DATA


@pytest.mark.parametrize("divisor", [8, 9, 104])
def test_transmitter_sends_bytes_at_its_initiation_interval(divisor: int) -> None:
    transmitter = UARTTransmitter(divisor)
    received = bytearray()
    transfers = []

    async def driver(ctx: Any) -> None:
        await send_bytes(ctx, transmitter.i, DATA, lambda: 0)
        await ctx.tick().repeat(12 * divisor)

    async def count_cycles(ctx: Any) -> None:
        samples = ctx.tick().sample(transmitter.i.valid & transmitter.i.ready)
        cycle = 0
        async for _, _, transfer in samples:
            cycle += 1
            if transfer:
                transfers.append(cycle)

    simulate(
        transmitter,
        driver,
        background=(monitor_line(transmitter.tx, divisor * PERIOD, received), count_cycles),
    )
    assert received == DATA
    intervals = {later - earlier for earlier, later in itertools.pairwise(transfers)}
    assert intervals == {10 * divisor + 1}


def test_divisor_is_the_nearest() -> None:
    assert uart_divisor(12e6) == 104
    assert uart_divisor(48e6) == 417
    assert uart_divisor(12e6, 9600) == 1250


@pytest.mark.parametrize(
    ("clock_hz", "baud", "sentence"),
    [
        (
            0.5e6,
            115_200,
            "A serial port of 115200 baud needs a clock of at least 0.9216 MHz, and the clock is "
            "0.5 MHz: use a faster clock or a lower rate.",
        ),
        (
            9.7e6,
            1_150_000,
            "A clock of 9.7 MHz makes 1212500 baud at best where 1150000 is asked for: 5.4% off, "
            "and 2% is the limit; use a faster clock or another rate.",
        ),
    ],
)
def test_a_rate_that_cannot_be_met_is_refused(clock_hz: float, baud: int, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        uart_divisor(clock_hz, baud)
