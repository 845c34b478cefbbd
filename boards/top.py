"""The top level on a board: a link on the board's serial port."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import io, wiring

from nomul.boards.link import SerialLink
from nomul.boards.uart import uart_divisor

__all__ = ["Top"]


class Top(Elaboratable):
    """A link on the first serial port of whatever platform it is elaborated for.

    Everything runs in the domain ``sync`` that the platform makes of the board's oscillator, and
    whose power-on reset it drives. There is no PLL: 12 MHz, what all our boards have, is more
    than a hundred cycles per bit of the line, and the line sets the pace.

    Parameters
    ----------
    link
        As for :class:`nomul.boards.link.SerialLink`.
    """

    def __init__(self, link: wiring.Component) -> None:
        self.link = link

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Handshake lines, where a board has them, are requested too and stay unconnected.
        lines = [line.name for line in platform.lookup("uart", 0).ios]
        port = platform.request("uart", 0, dir=dict.fromkeys(lines, "-"))
        m.submodules.rx_pin = rx_pin = io.Buffer("i", port.rx)
        m.submodules.tx_pin = tx_pin = io.Buffer("o", port.tx)
        divisor = uart_divisor(platform.default_clk_frequency)
        m.submodules.serial_link = serial_link = SerialLink(self.link, divisor)
        m.d.comb += [serial_link.rx.eq(rx_pin.i), tx_pin.o.eq(serial_link.tx)]
        return m
