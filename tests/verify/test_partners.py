from __future__ import annotations

from typing import Any

from nomul.verify.mapped import Mapped
from nomul.verify.module import Module
from nomul.verify.partners import alike, namesakes
from nomul.verify.words import Words


def signal(*bits: int | str) -> dict[str, Any]:
    return {"hide_name": 0, "bits": list(bits), "attributes": {}}


def module(cells: list[tuple[str, dict[str, Any]]], **signals: Any) -> Module:
    """Return a module with the input ports ``i``, the nets 2 and 3, and ``clk``."""
    ports = {
        "i": {"direction": "input", "bits": [2, 3]},
        "clk": {"direction": "input", "bits": [9]},
    }
    content = {
        str(number): {"type": kind, "parameters": {"CLK_POLARITY": "1"}, "connections": connections}
        for number, (kind, connections) in enumerate(cells)
    }
    return Module({"ports": ports, "cells": content, "netnames": signals})


VERILOG = Words(
    module(
        [
            ("$dff", {"CLK": [9], "D": [2], "Q": [10]}),
            ("$dff", {"CLK": [9], "D": [2, 10, 3, "0"], "Q": [11, 12, 13, 14]}),
        ],
        a=signal(10),
        b=signal(11, 12, 13, 14),
    )
)
NETLIST = Mapped(
    module(
        [
            ("SB_DFF", {"C": [9], "D": [2], "Q": [20]}),
            ("SB_DFF", {"C": [9], "D": [20], "Q": [22]}),
            ("SB_DFF", {"C": [9], "D": [3], "Q": [23]}),
        ],
        a=signal(20),
        b=signal("x", 99, 23, "0"),
    )
)


def test_registers_and_constants_are_found_by_name() -> None:
    assert namesakes(VERILOG, NETLIST) == {10: 20, 13: 23, 14: 0}


def test_registers_without_a_name_are_found_by_what_they_do() -> None:
    assert alike(VERILOG, NETLIST, {11, 12, 13}) == ({11: 20, 12: 22, 13: 23}, {})


def test_registers_that_do_the_same_are_told() -> None:
    twins: list[tuple[str, dict[str, Any]]] = [
        ("SB_DFF", {"C": [9], "D": [2], "Q": [net]}) for net in (20, 21, 22)
    ]
    netlist = Mapped(module([*twins, ("SB_DFF", {"C": [9], "D": [3], "Q": [23]})]))
    assert alike(VERILOG, netlist, {10, 11, 12}) == ({10: 20, 11: 20}, {21: 20, 22: 20})
