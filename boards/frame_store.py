"""Frames of any length up to a block RAM, received into it and sent byte by byte.

The framing is that of :mod:`nomul.boards.frame` (W. Simpson, RFC 1662, 1994), for contents too long
to be held in registers.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_SDLC
from amaranth.lib.wiring import In, Out

__all__ = ["FrameSender", "FrameStore"]

_FLAG = 0x7E
_ESCAPE = 0x7D
_FLIP = 0x20
_N_CHECKSUM = 2


class FrameStore(wiring.Component):
    """The contents of frames, one at a time, held in memory until it is done with.

    A frame with a wrong checksum, a content shorter than ``n_least`` or longer than the memory, or
    an escape before its closing flag is discarded; so is what arrives while a content is held, up
    to the next flag.

    Latency: the content is there one cycle after its closing flag. One byte per cycle.

    Parameters
    ----------
    depth
        Bytes of the memory; a content and its checksum have room in it.
    n_least
        Bytes of the shortest content.

    Members
    -------
    i : In(stream of unsigned(8), always ready)
        The bytes.
    valid : Out(1)
        A content is held.
    length : Out
        Its bytes.
    done : In(1)
        It is done with.
    address : In
        Of a byte of the content.
    byte : Out(8)
        It, in the next cycle.
    """

    i: stream.Interface

    def __init__(self, depth: int = 512, n_least: int = 2) -> None:
        self.depth = depth
        self.n_least = n_least
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "valid": Out(1),
                "length": Out(range(depth + 1)),
                "done": In(1),
                "address": In(range(depth)),
                "byte": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_SDLC(data_width=8).create()
        m.submodules.content = content = memory.Memory(shape=8, depth=self.depth, init=[])
        write, read = content.write_port(), content.read_port()

        n_received = Signal(range(self.depth + 1))
        spoilt, escaped = Signal(init=1), Signal()
        is_flag = self.i.payload == _FLAG
        is_escape = ~escaped & (self.i.payload == _ESCAPE)
        byte = self.i.payload ^ Mux(escaped, _FLIP, 0)
        m.d.comb += [
            crc.data.eq(byte),
            write.addr.eq(n_received),
            write.data.eq(byte),
            read.addr.eq(self.address),
            self.byte.eq(read.data),
        ]
        with m.If(self.done):
            m.d.sync += self.valid.eq(0)
        with m.If(self.i.valid):
            m.d.sync += escaped.eq(~is_flag & is_escape)
            with m.If(is_flag):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [n_received.eq(0), spoilt.eq(self.valid & ~self.done)]
                is_long_enough = n_received >= self.n_least + _N_CHECKSUM
                with m.If(~spoilt & ~escaped & is_long_enough & crc.match_detected):
                    m.d.sync += [self.valid.eq(1), self.length.eq(n_received - _N_CHECKSUM)]
            with m.Elif((n_received == self.depth) | (self.valid & ~self.done)):
                m.d.sync += spoilt.eq(1)
            with m.Elif(~is_escape & ~spoilt):
                m.d.comb += [crc.valid.eq(1), write.en.eq(1)]
                m.d.sync += n_received.eq(n_received + 1)
        return m


class FrameSender(wiring.Component):
    """A frame for each content that arrives byte by byte.

    Latency: the opening flag leaves when the first byte is offered, and the byte behind it.

    Members
    -------
    i : In(stream)
        The bytes of the content; with ``end`` set, no byte, and the frame is closed.
    o : Out(stream of unsigned(8))
        The bytes of frames.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"byte": 8, "end": 1}))),
                "o": Out(stream.Signature(unsigned(8))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_SDLC(data_width=8).create()
        byte, escaping = Signal(8), Signal()
        sent = self.o.valid & self.o.ready
        must_escape = ((byte == _FLAG) | (byte == _ESCAPE)) & ~escaping
        m.d.comb += [
            crc.data.eq(self.i.payload.byte),
            self.o.payload.eq(
                Mux(must_escape, _ESCAPE, byte ^ Mux(escaping, _FLIP, 0)),
            ),
        ]

        # A byte is offered, as it is or behind an escape, and then what comes next.
        following = Signal(2)
        with m.FSM():
            with m.State("closed"):
                m.d.comb += [
                    crc.start.eq(1),
                    self.o.payload.eq(_FLAG),
                    self.o.valid.eq(self.i.valid),
                ]
                with m.If(sent):
                    m.next = "next byte"
            with m.State("next byte"), m.If(self.i.valid):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [byte.eq(self.i.payload.byte), following.eq(0)]
                m.next = "send"
                with m.If(self.i.payload.end):
                    m.d.sync += [byte.eq(crc.crc[:8]), following.eq(1)]
                with m.Else():
                    m.d.comb += crc.valid.eq(1)
            with m.State("send"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(sent):
                    m.d.sync += escaping.eq(must_escape)
                    with m.If(~must_escape):
                        m.next = "next byte"
                        with m.If(following == 1):
                            m.d.sync += [byte.eq(crc.crc[8:]), following.eq(2)]
                            m.next = "send"
                        with m.Elif(following == 2):
                            m.next = "closing flag"
            with m.State("closing flag"):
                m.d.comb += [self.o.payload.eq(_FLAG), self.o.valid.eq(1)]
                with m.If(sent):
                    m.next = "closed"
        return m
