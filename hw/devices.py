"""FPGA devices that bitstreams are made for."""

from __future__ import annotations

from dataclasses import dataclass

from nomul.network.errors import UserError, unknown_name

__all__ = ["DEVICES", "Device", "find_device", "smallest_device"]


@dataclass(frozen=True)
class Device:
    """What one device has.

    Attributes
    ----------
    name
        Short name, as nextpnr-ice40 spells its option.
    title
        The maker's name for it.
    yosys_device
        What ``synth_ice40 -device`` calls its timing.
    logic_cells
        Cells of one LUT4, one carry and one flip-flop.
    block_rams
        Of 4,096 bits each.
    sprams
        Of 262,144 bits each.
    dsps
        Multiplier blocks; nomul uses none.
    """

    name: str
    title: str
    yosys_device: str
    logic_cells: int
    block_rams: int
    sprams: int
    dsps: int


# Counts: Lattice FPGA-DS-02008 (iCE40 UltraPlus) and FPGA-DS-02029 (iCE40 LP/HX); what nextpnr
# 0.11.1 reports as available agrees with them.
DEVICES = {
    device.name: device
    for device in (
        Device("up5k", "iCE40UP5K", "u", 5280, 30, 4, 8),
        Device("hx8k", "iCE40HX8K", "hx", 7680, 32, 0, 0),
    )
}


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


def smallest_device(logic_cells: int, block_rams: int) -> Device | None:
    """Return the smallest device that has at least so much; None if none has."""
    large_enough = [
        device
        for device in DEVICES.values()
        if device.logic_cells >= logic_cells and device.block_rams >= block_rams
    ]
    return min(large_enough, key=lambda device: device.logic_cells, default=None)
