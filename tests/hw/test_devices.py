from __future__ import annotations

import re

import pytest

from nomul.hw.devices import (
    DEVICES,
    ECP5_DEVICES,
    TECHNOLOGIES,
    find_device,
    find_technology,
)
from nomul.hw.targets import TARGETS
from nomul.network import UserError

# Lattice FPGA-DS-02008, FPGA-DS-02029, FPGA-DS-02012: logic cells, block RAMs, SPRAMs, DSP blocks.
DATA_SHEETS = {
    **{"up5k": (5280, 30, 4, 8), "hx8k": (7680, 32, 0, 0)},
    **{"ecp5-25": (24288, 56, 0, 28), "ecp5-85": (83640, 208, 0, 156)},
}


def test_devices_have_what_their_data_sheets_say() -> None:
    assert {
        name: (device.logic_cells, device.block_rams, device.sprams, device.dsps)
        for name, device in (DEVICES | ECP5_DEVICES).items()
    } == DATA_SHEETS


def test_devices_of_ecp5_are_of_that_family() -> None:
    for name, device in ECP5_DEVICES.items():
        assert device.name == name
        assert (device.target, device.timing) == (
            TECHNOLOGIES["ecp5"].target,
            TECHNOLOGIES["ecp5"].timing,
        )


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_stands_under_its_name(name: str) -> None:
    device = find_device(name)
    assert device is DEVICES[name]
    assert device.name == name
    assert device.title == f"iCE40{name.upper()}"
    assert device.yosys_device in ("hx", "lp", "u")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("up5", "did you mean 'up5k'? The known ones are"),
        ("HX8K-CT256", "choose one of"),
        ("", "choose one of"),
    ],
)
def test_an_unknown_device_is_refused(name: str, hint: str) -> None:
    sentence = f"Unknown device {name!r}: {hint} hx8k, up5k."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        find_device(name)


def test_every_device_and_family_is_a_technology() -> None:
    assert set(TECHNOLOGIES) == {*DEVICES, "ecp5", "xilinx", "asic"}
    for name, technology in TECHNOLOGIES.items():
        assert find_technology(name) is technology
        assert technology.name == name
        assert technology.target is TARGETS["ice40" if name in DEVICES else name]
        assert technology.timing.lut_ns > technology.timing.carry_ns > 0
        assert technology.timing.register_ns > 0


def test_an_unknown_technology_is_refused() -> None:
    sentence = (
        "Unknown device 'up5': did you mean 'up5k'? The known ones are asic, ecp5, hx8k, up5k, "
        "xilinx."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        find_technology("up5")
