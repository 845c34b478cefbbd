from __future__ import annotations

from typing import Any

import pytest

from nomul.verify.mapped import Mapped
from nomul.verify.module import Module
from nomul.verify.sides import Sides, pair
from nomul.verify.words import Words

# A register of two bits: the input's, and the input's and the register's first bit.
VERILOG: dict[str, Any] = {
    "ports": {
        "clk": {"direction": "input", "bits": [99]},
        "i": {"direction": "input", "bits": [2]},
        "o": {"direction": "output", "bits": [5]},
    },
    "cells": {
        "and": {
            "type": "$and",
            "parameters": {"Y_WIDTH": "1"},
            "connections": {"A": [2], "B": [4], "Y": [3]},
        },
        "r": {
            "type": "$dff",
            "parameters": {"CLK_POLARITY": "1"},
            "connections": {"CLK": [99], "D": [2, 3], "Q": [4, 5]},
        },
    },
    "netnames": {
        "r": {"hide_name": 0, "bits": [4, 5], "attributes": {"init": "00"}},
        "kept": {"hide_name": 0, "bits": [3], "attributes": {"keep": "1"}},
        "o": {"hide_name": 0, "bits": [5], "attributes": {}},
    },
}


def mapped(d: int = 7, table: str = "1000", output: int | str = 9) -> Mapped:
    cells = {
        "lut": ("SB_LUT4", {"I0": 2, "I1": 8, "O": 7}),
        "r0": ("SB_DFF", {"C": 99, "D": 2, "Q": 8}),
        "r1": ("SB_DFF", {"C": 99, "D": d, "Q": 9}),
    }
    return Mapped(
        Module(
            {
                "ports": {
                    "clk": {"direction": "input", "bits": [99]},
                    "i": {"direction": "input", "bits": [2]},
                    "o": {"direction": "output", "bits": [output]},
                },
                "cells": {
                    name: {
                        "type": kind,
                        "parameters": {"LUT_INIT": table},
                        "connections": {port: [net] for port, net in nets.items()},
                    }
                    for name, (kind, nets) in cells.items()
                },
                "netnames": {
                    "r": {"hide_name": 0, "bits": [8, 9], "attributes": {}},
                    "kept": {"hide_name": 0, "bits": [7], "attributes": {"keep": "1"}},
                },
            }
        )
    )


def equal(sides: Sides) -> dict[tuple[str, str, int], bool]:
    """Return which claims are true: gates as small as these are equal only if they are one."""
    return {(claim.kind, *claim.name): claim.expected == claim.found for claim in sides.claims}


def test_sums_registers_and_outputs_are_compared() -> None:
    sides = pair(Words(Module(VERILOG)), mapped())
    assert equal(sides) == {
        ("sum", "kept", 0): True,
        ("output", "o", 0): True,
        ("register", "r", 0): True,
        ("register", "r", 1): True,
    }
    assert sorted(sides.free.values()) == [("clk", 0), ("i", 0), ("r", 0), ("r", 1)]
    assert sides.strangers == frozenset()


@pytest.mark.parametrize(
    ("netlist", "wrong"),
    [
        (mapped(table="1110"), {("sum", "kept", 0), ("register", "r", 1)}),
        (mapped(d=2), {("register", "r", 1)}),
        (mapped(output=8), {("output", "o", 0)}),
        (mapped(output="x"), {("output", "o", 0)}),
    ],
)
def test_what_differs_is_claimed_to_be_equal_all_the_same(
    netlist: Mapped, wrong: set[tuple[str, str, int]]
) -> None:
    claims = equal(pair(Words(Module(VERILOG)), netlist))
    assert {name for name, is_equal in claims.items() if not is_equal} == wrong


def test_a_register_that_starts_otherwise_differs() -> None:
    names = VERILOG["netnames"] | {
        "r": {"hide_name": 0, "bits": [4, 5], "attributes": {"init": "10"}}
    }
    sides = pair(Words(Module(VERILOG | {"netnames": names})), mapped())
    wrong = [claim for claim in sides.claims if claim.expected != claim.found]
    assert [(claim.name, claim.expected, claim.found) for claim in wrong] == [(("r", 1), 1, 0)]
