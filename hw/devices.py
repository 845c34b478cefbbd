"""FPGA devices, and families of logic."""

from __future__ import annotations

from dataclasses import dataclass

from nomul.hw.targets import TARGETS, Target
from nomul.hw.timing import Timing
from nomul.network.errors import UserError, unknown_name

__all__ = [
    "DEVICES",
    "ECP5_DEVICES",
    "TECHNOLOGIES",
    "Device",
    "Technology",
    "find_device",
    "find_technology",
]


@dataclass(frozen=True)
class Technology:
    """What a network can be lowered for.

    Attributes
    ----------
    name
        What commands call it; of a device, as nextpnr-ice40 spells its option.
    title
        The maker's name for it.
    target
        What its logic is made of.
    timing
        How fast that is.
    """

    name: str
    title: str
    target: Target
    timing: Timing


@dataclass(frozen=True)
class Device(Technology):
    """What one device has that bitstreams are made for.

    Attributes
    ----------
    yosys_device
        What ``synth_ice40 -device`` calls its timing; on ECP5 nothing.
    logic_cells
        Cells of one LUT4 and one flip-flop; on iCE40 with a carry, on ECP5 with half of one.
    block_rams
        Of 4,096 bits each; on ECP5 of 18 times 1,024.
    sprams
        Of 262,144 bits each.
    dsps
        Multiplier blocks; nomul uses none.
    """

    yosys_device: str
    logic_cells: int
    block_rams: int
    sprams: int
    dsps: int


# Counts: Lattice FPGA-DS-02008 (iCE40 UltraPlus) and FPGA-DS-02029 (iCE40 LP/HX); what nextpnr
# 0.11.1 reports as available agrees with them.
DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device("up5k", "iCE40UP5K", TARGETS["ice40"], Timing(3.3, 0.6, 5.0), "u", 5280, 30, 4, 8),
        Device("hx8k", "iCE40HX8K", TARGETS["ice40"], Timing(1.4, 0.24, 2.4), "hx", 7680, 32, 0, 0),
    )
}

_ECP5_TIMING = Timing(1.28, 0.1, 2.7)

# Counts: Lattice FPGA-DS-02012 (ECP5), as nextpnr-ecp5 0.11.1 reports them as available.
ECP5_DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device("ecp5-25", "LFE5U-25F", TARGETS["ecp5"], _ECP5_TIMING, "", 24288, 56, 0, 28),
        Device("ecp5-85", "LFE5U-85F", TARGETS["ecp5"], _ECP5_TIMING, "", 83640, 208, 0, 156),
    )
}
"""What has boards, and no prices for an estimate."""

# Timing: ECP5's such that nextpnr-ecp5 reached the clock asked for on the demo's network; the
# others are guesses, good for even stages and for no more.
TECHNOLOGIES: dict[str, Technology] = {
    **DEVICES,
    "ecp5": Technology("ecp5", "Lattice ECP5", TARGETS["ecp5"], _ECP5_TIMING),
    "xilinx": Technology("xilinx", "AMD 7 series", TARGETS["xilinx"], Timing(0.9, 0.03, 0.8)),
    "asic": Technology("asic", "standard cells", TARGETS["asic"], Timing(0.3, 0.2, 0.3)),
}


def find_technology(name: str) -> Technology:
    """Return the device or family called ``name``.

    Raises
    ------
    UserError
        If none is called so.
    """
    if name not in TECHNOLOGIES:
        raise UserError(unknown_name("device", name, TECHNOLOGIES))
    return TECHNOLOGIES[name]


def find_device(name: str) -> Device:
    """Return the device called ``name``.

    Raises
    ------
    UserError
        If no device is called so.
    """
    if name not in DEVICES:
        raise UserError(unknown_name("device", name, DEVICES))
    return DEVICES[name]
