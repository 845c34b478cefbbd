"""A core behind a serial line: one request frame in, one reply frame out."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.boards.frame import FrameReceiver, FrameTransmitter
from nomul.boards.protocol import N_LATENCY, N_SEQUENCE
from nomul.boards.uart import UARTReceiver, UARTTransmitter

__all__ = ["Link", "SerialLink"]


class Link(wiring.Component):
    """A core that is asked in frames and answers in frames, one sample at a time.

    A request holds a sequence number and the bytes of one ``core.i`` payload, a reply the same
    number, the bytes of the ``core.o`` payload and the measured latency; docs/wire-protocol.md
    has them byte by byte. A request that arrives before its predecessor's reply has left is
    discarded; a damaged one never reaches the core.

    Neither sample nor result is copied: the request's buffer holds the one, the core the other,
    until the reply has left.

    Parameters
    ----------
    core
        A component with streams ``i`` and ``o``. It must answer each sample with one result,
        and becomes a submodule.

    Members
    -------
    i : In(stream of unsigned(8), always ready)
        Bytes that hold request frames.
    o : Out(stream of unsigned(8))
        Bytes of reply frames.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, core: wiring.Component) -> None:
        self.core = core
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(unsigned(8))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sample = Value.cast(self.core.i.payload)
        result = Value.cast(self.core.o.payload)
        n_request = N_SEQUENCE + _n_bytes(sample)
        n_reply = N_SEQUENCE + _n_bytes(result) + N_LATENCY
        m.submodules.core = core = self.core
        m.submodules.requests = requests = FrameReceiver(n_request)
        m.submodules.replies = replies = FrameTransmitter(n_reply)
        wiring.connect(m, wiring.flipped(self.i), requests.i)
        wiring.connect(m, replies.o, wiring.flipped(self.o))

        accepted = Signal()
        sequence = requests.o.payload[: 8 * N_SEQUENCE]
        m.d.comb += [
            sample.eq(requests.o.payload[8 * N_SEQUENCE :]),
            core.i.valid.eq(requests.o.valid & ~accepted),
        ]
        accepting = core.i.valid & core.i.ready
        with m.If(accepting):
            m.d.sync += accepted.eq(1)

        latency = Signal(8 * N_LATENCY)
        with m.If((accepting | accepted) & ~core.o.valid & ~latency[-1]):
            m.d.sync += latency.eq(latency + 1)

        padded = Signal(8 * _n_bytes(result))
        m.d.comb += [
            padded.eq(result.as_unsigned()),
            replies.i.payload.eq(Cat(sequence, padded, latency)),
            replies.i.valid.eq(requests.o.valid & core.o.valid),
        ]
        with m.If(replies.i.valid & replies.i.ready):
            m.d.comb += [core.o.ready.eq(1), requests.o.ready.eq(1)]
            m.d.sync += [accepted.eq(0), latency.eq(0)]
        return m


class SerialLink(wiring.Component):
    """A link between the two lines of a serial port.

    Parameters
    ----------
    link
        A :class:`Link`, or another component with its streams of bytes; becomes a submodule.
    divisor
        Clock cycles per bit; see :func:`nomul.boards.uart.uart_divisor`.

    Members
    -------
    rx : In(1)
        The line from the host.
    tx : Out(1)
        The line to the host.
    """

    rx: Signal
    tx: Signal

    def __init__(self, link: wiring.Component, divisor: int) -> None:
        self.link = link
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UARTReceiver(self.divisor)
        m.submodules.link = link = self.link
        m.submodules.transmitter = transmitter = UARTTransmitter(self.divisor)
        wiring.connect(m, receiver.o, link.i)
        wiring.connect(m, link.o, transmitter.i)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
        return m


def _n_bytes(payload: Value) -> int:
    return -(-len(payload) // 8)
