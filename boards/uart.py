"""A serial port of one start bit, eight data bits and one stop bit (8N1), least bit first."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.boards.protocol import BAUD
from nomul.network.errors import UserError

__all__ = ["UARTReceiver", "UARTTransmitter", "uart_divisor"]

_ERROR_MAX = 0.02  # each end may be off by this: sampled mid-bit, 9.5 bits drift by 0.38 bits
_DIVISOR_MIN = 8  # synchronizing and rounding shift the sampling point by up to a cycle


def uart_divisor(clock_hz: float, baud: int = BAUD) -> int:
    """Return how many clock cycles a bit lasts at ``baud`` bits per second.

    Raises
    ------
    UserError
        If the clock cannot make the rate within 2 %, or a bit lasts less than 8 cycles.
    """
    divisor = max(1, round(clock_hz / baud))
    error = abs(clock_hz / divisor / baud - 1)
    if divisor < _DIVISOR_MIN:
        raise UserError(
            f"A serial port of {baud} baud needs a clock of at least "
            f"{baud * _DIVISOR_MIN / 1e6:g} MHz, and the clock is {clock_hz / 1e6:g} MHz: use a "
            "faster clock or a lower rate."
        )
    if error > _ERROR_MAX:
        raise UserError(
            f"A clock of {clock_hz / 1e6:g} MHz makes {clock_hz / divisor:.0f} baud at best where "
            f"{baud} is asked for: {error:.1%} off, and {_ERROR_MAX:.0%} is the limit; use a "
            "faster clock or another rate."
        )
    return divisor


class UARTReceiver(wiring.Component):
    """Bytes from a serial line.

    Each bit is sampled once, in its middle. A start bit shorter than half a bit is ignored; a
    byte whose stop bit is low is dropped, and the receiver then waits for the line to be high.

    Latency: a byte leaves in the middle of its stop bit, two cycles of synchronizing later.

    Parameters
    ----------
    divisor
        Clock cycles per bit; see :func:`uart_divisor`.

    Members
    -------
    rx : In(1)
        The line, not synchronous to the clock; high when idle.
    o : Out(stream of unsigned(8), always ready)
        The bytes. A line cannot be stalled, so the consumer must take each at once.
    """

    rx: Signal
    o: stream.Interface

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__(
            {"rx": In(1, init=1), "o": Out(stream.Signature(unsigned(8), always_ready=True))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = cdc.FFSynchronizer(self.rx, line, init=1)

        timer = Signal(range(self.divisor))
        sample = timer == 0
        m.d.sync += timer.eq(timer - 1)
        with m.If(sample):
            m.d.sync += timer.eq(self.divisor - 1)

        # The 1 that marks the top bit reaches bit 0 when seven data bits are in.
        byte = Signal(8)
        m.d.comb += self.o.payload.eq(byte)
        with m.FSM():
            with m.State("idle"):
                # The line fell up to a cycle before this one, and the next state is one later.
                m.d.sync += [timer.eq(self.divisor // 2 - 2), byte.eq(0x80)]
                with m.If(~line):
                    m.next = "start bit"
            with m.State("start bit"), m.If(sample):
                m.next = "data bits"
                with m.If(line):
                    m.next = "idle"
            with m.State("data bits"), m.If(sample):
                m.d.sync += byte.eq(Cat(byte[1:], line))
                with m.If(byte[0]):
                    m.next = "stop bit"
            with m.State("stop bit"), m.If(sample):
                m.d.comb += self.o.valid.eq(line)
                m.next = "break"
            with m.State("break"), m.If(line):
                m.next = "idle"
        return m


class UARTTransmitter(wiring.Component):
    """Bytes onto a serial line.

    Latency: the start bit begins one cycle after the transfer. Initiation interval:
    ``10 * divisor + 1`` cycles; the one lengthens the stop bit.

    Parameters
    ----------
    divisor
        Clock cycles per bit; see :func:`uart_divisor`.

    Members
    -------
    i : In(stream of unsigned(8))
        The bytes.
    tx : Out(1)
        The line, from a flip-flop; high when idle.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(unsigned(8))), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = Signal(9, init=-1)
        bits_left = Signal(range(11))
        timer = Signal(range(self.divisor))
        m.d.comb += self.tx.eq(bits[0])

        m.d.comb += self.i.ready.eq(bits_left == 0)
        m.d.sync += timer.eq(timer - 1)
        with m.If((timer == 0) | self.i.ready):
            m.d.sync += timer.eq(self.divisor - 1)
        with m.If(self.i.ready), m.If(self.i.valid):
            m.d.sync += [bits.eq(Cat(0, self.i.payload)), bits_left.eq(10)]
        with m.Elif(timer == 0):
            m.d.sync += [bits.eq(Cat(bits[1:], 1)), bits_left.eq(bits_left - 1)]
        return m
