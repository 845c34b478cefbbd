"""An example of a board without a host: a sensor's signal in, classes on its LEDs.

The sensor is an analog input of Digilent's Pmod AD1, an AD7476A: 12 bits, up to a million numbers a
second. With the Pmod in connector 1A of an iCEBreaker::

    platform = ICEBreakerPlatform()
    platform.add_resources([pmod_ad1(0)])
    engine = Engine(settings, fold(network, settings))
    platform.build(SensorTop(engine, network.input.thresholds, rate_hz=180, hop=128))

The engine has its program from the bitstream, so its weights are in block RAM.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.build import Attrs, Pins, PinsN, Resource, Subsignal
from amaranth.hdl import Cat, Elaboratable, Module, Signal, signed
from amaranth.lib import io, stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import ArrayLike

from nomul.hw.engine import Engine
from nomul.hw.front_end import Quantizer, Window

__all__ = ["AD7476A", "Sensing", "SensorTop", "pmod_ad1"]

_NUMBER_BITS = 12
_FRAME_BITS = 16

# Of the converter's clock: at 12 MHz that has 3 MHz, and up to 20 are allowed.
_HALF_PERIOD = 2


def pmod_ad1(connector: int) -> Resource:
    """Return a Pmod AD1 in a Pmod connector, for ``platform.add_resources``."""
    conn = ("pmod", connector)
    return Resource(
        "pmod_ad1",
        0,
        Subsignal("cs", PinsN("1", dir="o", conn=conn)),
        Subsignal("data", Pins("2", dir="i", conn=conn)),
        Subsignal("clk", Pins("4", dir="o", conn=conn)),
        Attrs(IO_STANDARD="SB_LVCMOS"),
    )


class AD7476A(wiring.Component):
    """Numbers from an Analog Devices AD7476A, one every so many cycles.

    Where its pin falls, ``cs`` samples, and the first of 16 bits is there; each falling edge of the
    clock gives the next one: four zeros and the number, its highest bit first (data sheet, "Serial
    Interface"). A number is offered until it is taken, and those that fall into that are left out.

    Parameters
    ----------
    period
        Cycles from one number to the next, at least 80.

    Members
    -------
    cs, clk : Out(1)
        To the converter; ``cs`` is 1 while it is selected.
    data : In(1)
        From it.
    o : Out(stream of signed(13))
        The numbers, 0 to 4,095.
    """

    cs: Signal
    clk: Signal
    data: Signal
    o: stream.Interface

    def __init__(self, period: int) -> None:
        assert period >= 80, "a conversion takes 16 clocks of 4 cycles"
        self.period = period
        super().__init__(
            {
                "cs": Out(1),
                "clk": Out(1, init=1),
                "data": In(1),
                "o": Out(stream.Signature(signed(_NUMBER_BITS + 1))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self.period))
        m.d.sync += timer.eq(timer + 1)
        with m.If(timer == self.period - 1):
            m.d.sync += timer.eq(0)

        number = Signal(_NUMBER_BITS)
        half, n_bits = Signal(range(_HALF_PERIOD)), Signal(range(_FRAME_BITS))
        m.d.comb += self.o.payload.eq(number)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("wait"):
                m.d.sync += [self.clk.eq(1), half.eq(0), n_bits.eq(0)]
                with m.If((timer == 0) & (~self.o.valid | self.o.ready)):
                    m.d.sync += self.cs.eq(1)
                    m.next = "convert"
            with m.State("convert"):
                m.d.sync += half.eq(half + 1)
                with m.If(half == _HALF_PERIOD - 1):
                    m.d.sync += [half.eq(0), self.clk.eq(~self.clk)]
                    with m.If(self.clk):
                        m.d.sync += [number.eq(Cat(self.data, number)), n_bits.eq(n_bits + 1)]
                        with m.If(n_bits == _FRAME_BITS - 1):
                            m.d.sync += [self.cs.eq(0), self.o.valid.eq(1)]
                            m.next = "wait"
        return m


class Sensing(wiring.Component):
    """A converter's signal, window by window, through a network.

    Parameters
    ----------
    engine
        With a program in its block RAMs, of a network that takes a signal of one channel.
    thresholds
        Of the network's input, on the scale of the converter's numbers.
    period
        Cycles from one number to the next: in those of a window the engine has to be done.
    hop
        Numbers from one window to the next.

    Members
    -------
    cs, clk, data
        Lines of the converter, as :class:`AD7476A` has them.
    o : Out(stream)
        What the network answers to each window.
    """

    cs: Signal
    clk: Signal
    data: Signal
    o: stream.Interface

    def __init__(self, engine: Engine, thresholds: ArrayLike, *, period: int, hop: int) -> None:
        program = engine.program
        assert program is not None, "the bitstream has the program"
        assert engine.settings.weight_memory == "block", "and its weights"
        order = program.input_order
        assert np.array_equal(order, np.arange(len(order))), "a signal has one channel"
        self.engine = engine
        self.converter = AD7476A(period)
        self.quantizer = Quantizer(thresholds, _NUMBER_BITS + 1)
        self.window = Window(len(order), hop, self.quantizer.level_bits)
        answer = signed(engine.settings.sum_bits)
        super().__init__(
            {"cs": Out(1), "clk": Out(1), "data": In(1), "o": Out(stream.Signature(answer))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.converter = converter = self.converter
        m.submodules.quantizer = quantizer = self.quantizer
        m.submodules.window = window = self.window
        m.submodules.engine = engine = self.engine
        wiring.connect(m, converter.o, quantizer.i)
        wiring.connect(m, quantizer.o, window.i)
        wiring.connect(m, engine.o, wiring.flipped(self.o))
        m.d.comb += [
            self.cs.eq(converter.cs),
            self.clk.eq(converter.clk),
            converter.data.eq(self.data),
            engine.run.eq(1),
            # An engine's level may have more bits than a network's.
            engine.i.payload.eq(window.o.payload),
            engine.i.valid.eq(window.o.valid),
            window.o.ready.eq(engine.i.ready),
        ]
        return m


class SensorTop(Elaboratable):
    """A network that hears a Pmod AD1 and shows its last class on the board's LEDs, bit by bit.

    Parameters
    ----------
    engine, thresholds, hop
        As for :class:`Sensing`.
    rate_hz
        Numbers a second.
    """

    def __init__(self, engine: Engine, thresholds: ArrayLike, *, rate_hz: float, hop: int) -> None:
        self.engine = engine
        self.thresholds = thresholds
        self.rate_hz = rate_hz
        self.hop = hop

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        period = round(platform.default_clk_frequency / self.rate_hz)
        sensing = Sensing(self.engine, self.thresholds, period=period, hop=self.hop)
        m.submodules.sensing = sensing
        port = platform.request("pmod_ad1", 0, dir={"cs": "-", "data": "-", "clk": "-"})
        m.submodules.cs = cs = io.Buffer("o", port.cs)
        m.submodules.clk = clk = io.Buffer("o", port.clk)
        m.submodules.data = data = io.Buffer("i", port.data)
        m.d.comb += [cs.o.eq(sensing.cs), clk.o.eq(sensing.clk), sensing.data.eq(data.i)]

        answer = Signal.like(sensing.o.payload)
        m.d.comb += sensing.o.ready.eq(1)
        with m.If(sensing.o.valid):
            m.d.sync += answer.eq(sensing.o.payload)
        leds = sorted(number for name, number in platform.resources if name == "led")
        for number, bit in zip(leds, answer, strict=False):
            led = io.Buffer("o", platform.request("led", number, dir="-"))
            m.submodules[f"led_{number}"] = led
            m.d.comb += led.o.eq(bit)
        return m
