"""The tools that make a bitstream, by the family of the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nomul.hw.devices import Device

__all__ = ["ToolChain", "synthesis_options", "tool_chain"]


@dataclass(frozen=True)
class ToolChain:
    """The tools of a family, and what they read, write and count.

    Attributes
    ----------
    place_and_route, pack
        The tools behind yosys.
    constraints, bitstream
        Suffixes of the files with the pins and with the bits.
    logic_cell, block_ram
        What nextpnr calls them.
    """

    place_and_route: str
    pack: str
    constraints: str
    bitstream: str
    logic_cell: str
    block_ram: str

    @property
    def tools(self) -> tuple[str, ...]:
        return "yosys", self.place_and_route, self.pack

    @property
    def products(self) -> Mapping[str, str]:
        """Amaranth's names of the files that are kept, and what follows the board's in ours."""
        return {
            f"top{self.bitstream}": self.bitstream,
            "top.il": ".il",
            f"top{self.constraints}": self.constraints,
            "top.ys": ".ys",
            "top.json": ".netlist.json",
            "top.report.json": ".report.json",
            "top.rpt": ".yosys.log",
            "top.tim": ".nextpnr.log",
        }


_TOOL_CHAINS = {
    "ice40": ToolChain("nextpnr-ice40", "icepack", ".pcf", ".bin", "ICESTORM_LC", "ICESTORM_RAM"),
    "ecp5": ToolChain("nextpnr-ecp5", "ecppack", ".lpf", ".bit", "TRELLIS_COMB", "DP16KD"),
}


def tool_chain(device: Device) -> ToolChain:
    """Return the tools for a device."""
    return _TOOL_CHAINS[device.target.name]


def synthesis_options(device: Device) -> str:
    """Return what yosys' synthesis command for the device is told."""
    # Without DSP blocks on ECP5; that of iCE40 takes none unless told to.
    return f"-device {device.yosys_device}" if device.yosys_device else "-nodsp"
