"""A serial flash, as its data sheets describe it from outside; W25Q128JV's numbers of sections."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Module,
    Mux,
    ResetInserter,
    ResetSignal,
    Signal,
    unsigned,
)
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from nomul.boards.flash_boot import FlashBoot, FlashSignature

__all__ = ["BoardWithFlash", "FlashModel"]


class FlashModel(wiring.Component):
    """A flash in mode 0 that knows two commands: 03h, read, and ABh, release from power-down.

    It takes a bit in when its clock rises and puts one out when it falls (8.2.6); what is not
    data it leaves high. It begins in deep power-down, in which it hears nothing but ABh, and hears
    the rest so many cycles behind the end of that (8.2.36).

    Parameters
    ----------
    contents
        What it may hold from the byte ``first`` on; all other bytes are erased.
    wake_up_cycles
        Of the domain ``sync``.

    Members
    -------
    lines : In
        To its host.
    which : In
        Of the contents: the one that it holds.
    """

    lines: wiring.PureInterface
    which: Signal

    def __init__(self, contents: Sequence[bytes], first: int, wake_up_cycles: int = 700) -> None:
        self.contents = contents
        self.first = first
        self.wake_up_cycles = wake_up_cycles
        super().__init__({"lines": In(FlashSignature), "which": In(range(len(contents)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lines = self.lines
        # While it is selected, and without a reset.
        m.domains.rise = ClockDomain(async_reset=True, local=True)
        m.domains.kept = ClockDomain(reset_less=True, local=True)
        m.domains.fall = ClockDomain(clk_edge="neg", async_reset=True, local=True)
        m.d.comb += [
            *(ClockSignal(name).eq(lines.clk) for name in ("rise", "kept", "fall")),
            *(ResetSignal(name).eq(~lines.cs) for name in ("rise", "fall")),
        ]
        n_bits = Signal(28)
        command, address = Signal(8), Signal(24)
        awake, n_waited = Signal(), Signal(range(self.wake_up_cycles + 1))
        heard = Signal()
        m.d.rise += n_bits.eq(n_bits + 1)
        with m.If(lines.cs):
            with m.If(n_bits < 8):
                m.d.kept += [command.eq(Cat(lines.copi, command)), heard.eq(awake)]
            with m.Elif(n_bits < 32):
                m.d.kept += address.eq(Cat(lines.copi, address))

        with m.If(~lines.cs & (command == 0xAB) & ~awake):
            m.d.sync += n_waited.eq(n_waited + 1)
            with m.If(n_waited == self.wake_up_cycles):
                m.d.sync += awake.eq(1)

        n_address = max(map(len, self.contents)).bit_length()
        init = b"".join(content.ljust(1 << n_address, b"\xff") for content in self.contents)
        m.submodules.memory = memory = Memory(shape=8, depth=len(init), init=init)
        read = memory.read_port(domain="comb")
        place, byte = Signal(29), Signal(8)
        m.d.comb += [
            place.eq(address + (n_bits[3:] - 4) - self.first),
            read.addr.eq(Cat(place[:n_address], self.which)),
            byte.eq(Mux(place[n_address:] == 0, read.data, 0xFF)),
        ]
        out = Signal(init=1)
        m.d.comb += lines.cipo.eq(out)
        with m.If(heard & (command == 0x03) & (n_bits >= 32)):
            m.d.fall += out.eq(byte.bit_select(~n_bits[:3], 1))
        return m


class BoardWithFlash(wiring.Component):
    """A link that boots from a flash: with streams of bytes, as it has behind a serial line.

    The first byte from the line says which of its contents the flash has, and powers the board up;
    the link does not hear it.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, boot: FlashBoot, flash: FlashModel) -> None:
        self.boot = boot
        self.flash = flash
        port = stream.Signature(unsigned(8), always_ready=True)
        super().__init__({"i": In(port), "o": Out(stream.Signature(unsigned(8)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        boot, flash = self.boot, self.flash
        is_on = Signal()
        m.submodules.boot = ResetInserter(~is_on)(boot)
        m.submodules.flash = flash
        wiring.connect(m, boot.flash, flash.lines)
        wiring.connect(m, boot.o, wiring.flipped(self.o))
        m.d.comb += [boot.i.payload.eq(self.i.payload), boot.i.valid.eq(self.i.valid & is_on)]
        with m.If(self.i.valid & ~is_on):
            m.d.sync += [is_on.eq(1), flash.which.eq(self.i.payload)]
        return m
