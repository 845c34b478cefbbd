"""An engine whose weights lie outside, and a memory that answers its bursts when it likes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from nomul.hw.engine import Engine
from nomul.hw.engine_core import LOADED
from nomul.hw.program import Program
from nomul.hw.program_image import memory_words

__all__ = ["WithMemoryOutside"]


class WithMemoryOutside(wiring.Component):
    """An engine with its program's weights in a memory that pauses by a shift register's bits.

    It has the ports that a simulation drives.
    """

    i: Any
    o: Any
    load: Any
    run: Signal

    def __init__(self, program: Program, *, pauses: bool) -> None:
        self.program = program
        self.pauses = pauses
        settings = program.settings
        super().__init__(
            {
                "run": In(1),
                "i": In(stream.Signature(unsigned(settings.level_bits))),
                "o": Out(stream.Signature(signed(settings.sum_bits))),
                "load": In(stream.Signature(LOADED)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = engine = Engine(self.program.settings)
        wiring.connect(m, wiring.flipped(self.i), engine.i)
        wiring.connect(m, wiring.flipped(self.load), engine.load)
        wiring.connect(m, engine.o, wiring.flipped(self.o))
        m.d.comb += engine.run.eq(self.run)

        words = memory_words(self.program)["weights"][0]
        m.submodules.memory = memory = Memory(
            shape=len(engine.weights.payload), depth=len(words), init=words
        )
        read = memory.read_port()
        # The polynomial x^7 + x^6 + 1 has the longest cycle.
        state = Signal(7, init=1)
        m.d.sync += state.eq((state << 1) | (state[6] ^ state[5]))
        pausing = state[0] & state[2] if self.pauses else Const(0)

        left, there = Signal.like(engine.burst.payload.length), Signal()
        address = Signal.like(engine.burst.payload.address)
        m.d.comb += [
            read.addr.eq(address),
            engine.burst.ready.eq((left == 0) & ~pausing),
            engine.weights.payload.eq(read.data),
            engine.weights.valid.eq(there),
        ]
        with m.If(engine.burst.valid & engine.burst.ready):
            m.d.sync += [
                left.eq(engine.burst.payload.length),
                address.eq(engine.burst.payload.address),
            ]
        # A word on offer stays so until it is taken; the next one is read a cycle later.
        with m.If(there & engine.weights.ready):
            m.d.sync += [there.eq(0), left.eq(left - 1), address.eq(address + 1)]
        with m.Elif(~there & (left != 0) & ~pausing):
            m.d.sync += there.eq(1)
        return m
