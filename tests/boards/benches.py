"""Drivers and monitors for Amaranth's simulator, and a core to put behind a link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

__all__ = ["PERIOD", "Bench", "StandIn", "monitor_line", "send_bytes", "send_line", "simulate"]

PERIOD = 1e-6  # s

Bench = Callable[[Any], Awaitable[None]]


def simulate(component: Any, *benches: Bench, background: tuple[Bench, ...] = ()) -> None:
    """Run until every bench has ended; those in the background may go on."""
    simulator = Simulator(component)
    simulator.add_clock(PERIOD)
    for bench in benches:
        simulator.add_testbench(bench)
    for bench in background:
        simulator.add_testbench(bench, background=True)
    simulator.run()


async def send_bytes(ctx: Any, port: Any, data: bytes, pauses: Callable[[], int]) -> None:
    """Drive a byte stream, ``pauses()`` idle cycles before each byte."""
    for byte in data:
        await ctx.tick().repeat(n) if (n := pauses()) else None
        ctx.set(port.valid, 1)
        ctx.set(port.payload, byte)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)


async def send_line(ctx: Any, line: Any, data: bytes, bit: float) -> None:
    """Drive a serial line at ``bit`` seconds per bit, not synchronous to the clock."""
    for byte in data:
        for level in (0, *(byte >> k & 1 for k in range(8)), 1):
            ctx.set(line, level)
            await ctx.delay(bit)


def monitor_line(line: Any, bit: float, received: bytearray) -> Bench:
    """Return a bench that appends the bytes on a serial line to ``received``."""

    async def bench(ctx: Any) -> None:
        while True:
            if ctx.get(line):
                await ctx.negedge(line)
            await ctx.delay(1.5 * bit)
            byte = 0
            for k in range(8):
                byte |= ctx.get(line) << k
                await ctx.delay(bit)
            assert ctx.get(line) == 1, "a stop bit is high"
            received.append(byte)

    return bench


class StandIn(wiring.Component):
    """A core that complements its sample, zero-extended or cut to the result's width.

    It takes a sample after ``stall`` cycles and answers it ``latency`` cycles later; a latency
    of 0 answers in the cycle in which the result is taken.
    """

    i: Any
    o: Any

    def __init__(self, width_in: int, width_out: int, latency: int, stall: int = 0) -> None:
        self.latency = latency
        self.stall = stall
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(width_in))),
                "o": Out(stream.Signature(unsigned(width_out))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.latency == 0:
            m.d.comb += [
                self.o.payload.eq((~self.i.payload).as_unsigned()),
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready),
            ]
            return m
        stalled = Signal(range(self.stall + 1), init=self.stall)
        left = Signal(range(self.latency + 1))
        busy = Signal()
        m.d.comb += [self.i.ready.eq(~busy & (stalled == 0)), self.o.valid.eq(busy & (left == 0))]
        with m.If(self.i.valid & (stalled != 0)):
            m.d.sync += stalled.eq(stalled - 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.o.payload.eq((~self.i.payload).as_unsigned()),
                left.eq(self.latency - 1),
                busy.eq(1),
                stalled.eq(self.stall),
            ]
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += busy.eq(0)
        return m
