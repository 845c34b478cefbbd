"""HDLC-like framing of a byte stream (W. Simpson, RFC 1662, 1994): flags, escapes, checksum.

:mod:`nomul.boards.protocol` is the same framing in plain Python; docs/wire-protocol.md is its
meaning.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_SDLC
from amaranth.lib.wiring import In, Out

__all__ = ["FrameReceiver", "FrameTransmitter"]

_FLAG = 0x7E
_ESCAPE = 0x7D
_FLIP = 0x20
_N_CHECKSUM = 2


class FrameReceiver(wiring.Component):
    """Contents of the frames in a byte stream.

    A frame with a wrong checksum, a wrong length or an escape before its closing flag is
    discarded, as RFC 1662 section 3.2 says; so is what precedes the first flag. Two frames may
    share a flag, and flags may be doubled.

    There is one buffer: while a content is offered, it is held, and the bytes that arrive are
    discarded up to the next flag after it was taken.

    Latency: the content is offered one cycle after its closing flag. One byte per cycle.

    Parameters
    ----------
    n_content
        Bytes in a content; frames of another length are discarded.

    Members
    -------
    i : In(stream of unsigned(8), always ready)
        The bytes.
    o : Out(stream of unsigned(8 * n_content))
        The contents; the first byte is in the lowest bits.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, n_content: int) -> None:
        self.n_content = n_content
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(unsigned(8 * n_content))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_SDLC(data_width=8).create()

        n_frame = self.n_content + _N_CHECKSUM
        n_missing = Signal(range(n_frame + 1), init=n_frame)
        spoilt = Signal(init=1)
        escaped = Signal()
        is_flag = self.i.payload == _FLAG
        is_escape = ~escaped & (self.i.payload == _ESCAPE)
        byte = self.i.payload ^ Mux(escaped, _FLIP, 0)
        m.d.comb += crc.data.eq(byte)

        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid):
            m.d.sync += escaped.eq(~is_flag & is_escape)
            with m.If(is_flag):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [n_missing.eq(n_frame), spoilt.eq(0)]
                with m.If(~spoilt & ~escaped & (n_missing == 0) & crc.match_detected):
                    m.d.sync += self.o.valid.eq(1)
            with m.Elif((self.o.valid & ~self.o.ready) | (n_missing == 0)):
                m.d.sync += spoilt.eq(1)
            with m.Elif(~is_escape):
                m.d.comb += crc.valid.eq(1)
                m.d.sync += n_missing.eq(n_missing - 1)
                with m.If(n_missing > _N_CHECKSUM):
                    m.d.sync += self.o.payload.eq(Cat(self.o.payload[8:], byte))
        return m


class FrameTransmitter(wiring.Component):
    """Frames for contents, each between two flags of its own.

    A content is not copied: it is read while it is offered, and taken with its closing flag.

    Latency: the opening flag is offered in the cycle in which the content is. Every byte between
    the flags is gathered in eight cycles, bit by bit, which a serial line never notices and
    which needs a third of the logic.

    Parameters
    ----------
    n_content
        Bytes in a content.

    Members
    -------
    i : In(stream of unsigned(8 * n_content))
        The contents; the lowest bits are sent first.
    o : Out(stream of unsigned(8))
        The bytes.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, n_content: int) -> None:
        self.n_content = n_content
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8 * n_content))),
                "o": Out(stream.Signature(unsigned(8))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_SDLC(data_width=1).create()

        n_content_bits = 8 * self.n_content
        n_frame_bits = n_content_bits + 8 * _N_CHECKSUM
        position = Signal(range(n_frame_bits + 1))
        in_content = position < n_content_bits
        # Fed the complement of its own lowest bit, the checksum's register only shifts, and so
        # gives its bits one after the other.
        bit = Mux(in_content, self.i.payload.bit_select(position, 1), crc.crc[0])
        m.d.comb += crc.data.eq(bit ^ ~in_content)
        byte = Signal(8)
        must_escape = (byte == _FLAG) | (byte == _ESCAPE)
        m.d.comb += self.o.payload.eq(_FLAG)

        with m.FSM():
            with m.State("opening flag"):
                m.d.comb += [crc.start.eq(1), self.o.valid.eq(self.i.valid)]
                m.d.sync += position.eq(0)
                with m.If(self.o.valid & self.o.ready):
                    m.next = "gather byte"
            with m.State("gather byte"):
                m.d.comb += crc.valid.eq(1)
                m.d.sync += [byte.eq(Cat(byte[1:], bit)), position.eq(position + 1)]
                with m.If(position[:3] == 7):
                    m.next = "send byte"
            with m.State("send byte"):
                m.d.comb += [
                    self.o.payload.eq(Mux(must_escape, _ESCAPE, byte)),
                    self.o.valid.eq(1),
                ]
                with m.If(self.o.ready):
                    with m.If(must_escape):
                        # Flipped, it needs no escape any more.
                        m.d.sync += byte.eq(byte ^ _FLIP)
                    with m.Elif(position == n_frame_bits):
                        m.next = "closing flag"
                    with m.Else():
                        m.next = "gather byte"
            with m.State("closing flag"):
                m.d.comb += [self.o.valid.eq(1), self.i.ready.eq(self.o.ready)]
                with m.If(self.o.ready):
                    m.next = "opening flag"
        return m
