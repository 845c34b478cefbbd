"""The top level on a board: a link on the board's serial port."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import io, wiring

from nomul.boards.flash_boot import FlashBoot
from nomul.boards.link import SerialLink
from nomul.boards.uart import uart_divisor

__all__ = ["Top"]


class Top(Elaboratable):
    """A link on the first serial port of whatever platform it is elaborated for.

    Everything runs in the domain ``sync`` that the platform makes of the board's oscillator, and
    whose power-on reset it drives. There is no PLL: 12 MHz, the least that our boards have, is more
    than a hundred cycles per bit of the line, and the line sets the pace.

    Parameters
    ----------
    link
        As for :class:`nomul.boards.link.SerialLink`. A
        :class:`~nomul.boards.flash_boot.FlashBoot` gets the board's flash.
    """

    def __init__(self, link: wiring.Component) -> None:
        self.link = link

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        port = _request(platform, "uart")
        m.submodules.rx_pin = rx_pin = io.Buffer("i", port.rx)
        m.submodules.tx_pin = tx_pin = io.Buffer("o", port.tx)
        divisor = uart_divisor(platform.default_clk_frequency)
        m.submodules.serial_link = serial_link = SerialLink(self.link, divisor)
        m.d.comb += [serial_link.rx.eq(rx_pin.i), tx_pin.o.eq(serial_link.tx)]
        if isinstance(self.link, FlashBoot):
            _connect_flash(m, self.link, _request(platform, "spi_flash_1x"))
        return m


def _request(platform: Any, name: str) -> Any:
    """Return the board's first resource of a name: its ports, none with a buffer yet."""
    lines = [line.name for line in platform.lookup(name, 0).ios]
    # Handshake lines, where a serial port has them, are requested too and stay unconnected.
    return platform.request(name, 0, dir=dict.fromkeys(lines, "-"))


def _connect_flash(m: Module, boot: FlashBoot, port: Any) -> None:
    m.submodules.flash_cipo = cipo = io.Buffer("i", port.cipo)
    m.d.comb += boot.flash.cipo.eq(cipo.i)
    for name, signal in (("cs", boot.flash.cs), ("clk", boot.flash.clk), ("copi", boot.flash.copi)):
        m.submodules[f"flash_{name}"] = pin = io.Buffer("o", getattr(port, name))
        m.d.comb += pin.o.eq(signal)
    # Write protection and hold, both off.
    for name in ("wp", "hold"):
        m.submodules[f"flash_{name}"] = io.Buffer("o", getattr(port, name))
