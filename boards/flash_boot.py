"""A program from the board's flash at power-up, given to the engine as if a host had sent it.

A bitstream cannot fill the single-ported RAMs of iCE40 UltraPlus, but it comes from a flash with
room to spare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.boards.engine_link import EngineLink

__all__ = ["FLASH_OFFSET", "N_WITHOUT_FRAME", "FlashBoot", "FlashSignature", "flash_image"]

FLASH_OFFSET = 0x40000
"""Where the program's frames begin: behind the bitstreams of all iCE40, with whole 64 kB blocks,
which is what flashes erase, on either side."""

N_WITHOUT_FRAME = 2048
"""Bytes without a frame that end the loading: the longest frame, all of it escaped, has 1,026."""

# Commands that flashes of all makers know: JEDEC JESD216's 03h with three bytes of address, and
# release from the deep power-down into which iCE40 puts its flash behind the bitstream.
_RELEASE = 0xAB
_READ = 0x03

# 2^9 clocks of the flash are between the two: 41 µs at 12.5 MHz, and flashes take 3 to 30.
_N_WAKE_UP = 9

FlashSignature = wiring.Signature(
    {"cs": Out(1, init=1), "clk": Out(1), "copi": Out(1), "cipo": In(1)}
)
"""The lines of a flash (SPI, mode 0); ``cs`` is 1 while it is selected."""


def flash_image(bitstream: bytes, frames: bytes) -> bytes:
    """Return what a flash holds whose board begins with a program: one file for the programmer.

    Parameters
    ----------
    frames
        Those that load the program, one behind the other.
    """
    assert len(bitstream) <= FLASH_OFFSET, "no bitstream of iCE40 reaches so far"
    return bitstream.ljust(FLASH_OFFSET, b"\xff") + frames


class FlashBoot(wiring.Component):
    """A link that first hears the flash, from :data:`FLASH_OFFSET` on, and then its line.

    The flash holds frames, read as fast as the link answers them; its replies to them are dropped,
    and so is what arrives from the line meanwhile. The loading ends with the first
    :data:`N_WITHOUT_FRAME` bytes that complete no frame: at once where the flash is erased or
    holds something else. What is damaged is refused as from the line, so then no program runs.

    Latency: two cycles per bit of the flash, and what the link takes for each frame; then one cycle
    for each byte from the line.

    Parameters
    ----------
    link
        Becomes a submodule.

    Members
    -------
    i : In(stream of unsigned(8), always ready)
        Bytes that hold request frames.
    o : Out(stream of unsigned(8))
        Bytes of reply frames.
    flash : Out
        The lines of the flash.
    """

    i: stream.Interface
    o: stream.Interface
    flash: wiring.PureInterface

    def __init__(self, link: EngineLink) -> None:
        self.link = link
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(unsigned(8))),
                "flash": Out(FlashSignature),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        flash = self.flash
        byte, byte_there = Signal(8), Signal()
        n_bits = Signal(range(8 * N_WITHOUT_FRAME))
        # A bit is put out and taken in while the clock is low, and counts when it falls.
        bit_ends, is_last, over = Signal(), Signal(), Signal()
        m.d.comb += bit_ends.eq(flash.clk & ~link.busy)
        with m.If(~link.busy & ~over):
            m.d.sync += flash.clk.eq(~flash.clk)
        with m.If(link.busy | (bit_ends & is_last)):
            m.d.sync += n_bits.eq(0)
        with m.Elif(bit_ends):
            m.d.sync += n_bits.eq(n_bits + 1)
        with m.If(bit_ends | over):
            m.d.sync += byte.eq(Mux(over, self.i.payload, byte << 1 | flash.cipo))
        m.d.sync += byte_there.eq(over & self.i.valid)

        @contextmanager
        def bits_state(name: str, width: int, following: str, *, selected: bool) -> Iterator[None]:
            """Add ``2 ** width`` bits, and say whether the flash is selected behind them."""
            with m.State(name):
                m.d.comb += is_last.eq(n_bits[:width].all())
                with m.If(bit_ends & is_last):
                    # From a flip-flop: a line that selects must not glitch.
                    m.d.sync += flash.cs.eq(selected)
                    m.next = following
                yield

        def put_out(word: int, width: int) -> None:
            bit = Const(word, width).bit_select(~n_bits[: (width - 1).bit_length()], 1)
            m.d.comb += flash.copi.eq(bit)

        with m.FSM():
            with bits_state("release", 3, "wake up", selected=False):
                put_out(_RELEASE, 8)
            with bits_state("wake up", _N_WAKE_UP, "read", selected=True):
                pass
            with bits_state("read", 5, "frames", selected=True):
                put_out(_READ << 24 | FLASH_OFFSET, 32)
            with bits_state("frames", len(n_bits), "over", selected=False):
                m.d.sync += byte_there.eq(bit_ends & n_bits[:3].all())
            with m.State("over"):
                m.d.comb += over.eq(1)

        m.d.comb += [
            link.i.payload.eq(byte),
            link.i.valid.eq(byte_there),
            self.o.payload.eq(link.o.payload),
            self.o.valid.eq(link.o.valid & over),
            link.o.ready.eq(self.o.ready | ~over),
        ]
        return m
