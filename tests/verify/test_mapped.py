from __future__ import annotations

from typing import Any

import pytest

from nomul.network import CheckFailed, UserError
from nomul.verify.gates import FALSE, Gates
from nomul.verify.mapped import Mapped
from nomul.verify.module import Module
from tests.verify.test_gates import bit, values

Cell = tuple[str, dict[str, str], dict[str, int]]


def mapped(**cells: Cell) -> Mapped:
    """Return a netlist whose input port ``i`` is the nets 2 to 6."""
    content: dict[str, Any] = {
        "ports": {
            "clk": {"direction": "input", "bits": [99]},
            "i": {"direction": "input", "bits": [2, 3, 4, 5, 6]},
        },
        "cells": {
            name: {
                "type": kind,
                "parameters": parameters,
                "connections": {port: [net] for port, net in nets.items()},
            }
            for name, (kind, parameters, nets) in cells.items()
        },
        "netnames": {},
    }
    return Mapped(Module(content))


def test_a_lut_and_a_carry() -> None:
    lut: Cell = (
        "SB_LUT4",
        {"LUT_INIT": "0110100110010111"},
        {"I0": 2, "I1": 3, "I2": 4, "I3": 5, "O": 7},
    )
    carry: Cell = ("SB_CARRY", {}, {"I0": 7, "I1": 2, "CI": 6, "CO": 8})
    gates = Gates()
    free = [gates.free() for _ in range(5)]
    inputs = {("i", place): literal for place, literal in enumerate(free)} | {("clk", 0): FALSE}
    logic, following = mapped(lut=lut, carry=carry).build(gates, inputs, {})
    assert following == {}
    literal = logic.literal(8)
    words = values(gates, free)
    for address in range(32):
        ones = address & 15
        value = 0b0110100110010111 >> ones & 1
        assert bit(words, literal, address) == int(value + (address & 1) + (address >> 4) >= 2)


@pytest.mark.parametrize(
    ("kind", "parameters", "ports"),
    [
        ("SB_DFFESR", {}, ("D", "Q", "E", "R", "C")),
        ("TRELLIS_FF", {"REGSET": "RESET", "CEMUX": "CE"}, ("DI", "Q", "CE", "LSR", "CLK")),
        ("TRELLIS_FF", {"REGSET": "SET", "CEMUX": "CE"}, ("DI", "Q", "CE", "LSR", "CLK")),
    ],
)
def test_a_flip_flop_is_enabled_and_reset(
    kind: str, parameters: dict[str, str], ports: tuple[str, ...]
) -> None:
    netlist = mapped(r=(kind, parameters, dict(zip(ports, (2, 9, 3, 4, 99), strict=True))))
    is_set = parameters.get("REGSET") == "SET"
    assert netlist.starts == {9: int(is_set)}
    gates = Gates()
    free = [gates.free() for _ in range(4)]
    inputs = {("i", place): literal for place, literal in enumerate([*free[:3], *free[:2]])}
    inputs[("clk", 0)] = FALSE
    _, following = netlist.build(gates, inputs, {9: free[3]})
    words = values(gates, free)
    for address in range(16):
        data, enable, reset, held = (address >> place & 1 for place in range(4))
        # The iCE40's reset counts where the flip-flop is enabled, ECP5's always.
        resets = reset and (enable or kind == "TRELLIS_FF")
        expected = int(is_set) if resets else data if enable else held
        assert bit(words, following[9], address) == expected


def test_a_flip_flop_with_another_clock_is_refused() -> None:
    for clock in (2, 9):
        with pytest.raises(CheckFailed, match="another clock"):
            mapped(r=("SB_DFF", {}, {"D": 3, "Q": 9, "C": clock}))


def test_a_cell_that_is_not_known_is_refused() -> None:
    with pytest.raises(UserError, match="SB_RAM40_4K"):
        mapped(ram=("SB_RAM40_4K", {}, {}))
