from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nomul.hw.netlist import (
    CellCounts,
    PlaceAndRoute,
    count_cells,
    multiplier_cells,
    read_netlist,
    read_place_and_route,
    verilog_multipliers,
)


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_cells_are_counted_through_the_hierarchy(tmp_path: Path) -> None:
    def module(*types: str, **attributes: str) -> dict[str, Any]:
        cells = {f"cell{number}": {"type": name} for number, name in enumerate(types)}
        return {"attributes": attributes, "cells": cells}

    netlist = {
        "modules": {
            "SB_MAC16": module("$mul", blackbox="00000001"),
            "SB_LUT4": module("$lut", whitebox="00000001"),
            "leaf": module("SB_LUT4", "SB_DFF", "SB_DFFESR"),
            "middle": module("leaf", "leaf", "SB_MAC16"),
            "top": module("middle", "leaf", "SB_CARRY", top="00000001"),
        }
    }
    cells = read_netlist(write(tmp_path / "netlist.json", netlist))
    assert cells == {"SB_LUT4": 3, "SB_DFF": 3, "SB_DFFESR": 3, "SB_MAC16": 1, "SB_CARRY": 1}
    assert multiplier_cells(cells) == {"SB_MAC16": 1}


def test_cells_are_read_from_a_stat_file(tmp_path: Path) -> None:
    stat = {"design": {"num_cells_by_type": {"SB_LUT4": 7, "$scopeinfo": 2}}}
    assert read_netlist(write(tmp_path / "stat.json", stat)) == {"SB_LUT4": 7, "$scopeinfo": 2}


def test_cells_are_sorted_by_kind() -> None:
    types = Counter(
        SB_LUT4=9,
        SB_CARRY=8,
        SB_DFF=1,
        SB_DFFESR=2,
        SB_DFFNSS=4,
        SB_RAM40_4K=3,
        SB_RAM40_4KNR=1,
        SB_SPRAM256KA=2,
        SB_MAC16=1,
        SB_IO=2,
    )
    assert count_cells(types) == CellCounts(lut4=9, carry=8, ff=7, bram=4, spram=2, dsp=1)
    assert count_cells(
        {"LUT4": 9, "CCU2C": 8, "TRELLIS_FF": 7, "DP16KD": 3, "PDPW16KD": 1, "MULT18X18D": 2}
        | {"ALU54B": 1, "L6MUX21": 5, "PFUMX": 6}
    ) == CellCounts(lut4=9, carry=8, ff=7, bram=4, spram=0, dsp=3)
    assert count_cells({}) == CellCounts(lut4=0, carry=0, ff=0, bram=0, spram=0, dsp=0)


@pytest.mark.parametrize(
    "name",
    [
        "$mul",
        "$macc",
        "$macc_v2",
        "$div",
        "$mod",
        "$divfloor",
        "$modfloor",
        "$pow",
        "$__mul",
        "SB_MAC16",
        "MULT18X18D",
        "MULT9X9D",
        "MULT12X12",
        "MULT27X36",
        "MULTALU27X18",
        "MULTADDALU18X18",
        "ALU54B",
        "ALU24B",
        "ALU54D",
        "PADD18",
        "DSP48E1",
        "DSP48E2",
        "DSP58",
        "MULTPREADD9X9",
        "MULT18X18",
        "MISTRAL_MUL27X27",
        "cyclonev_mac",
        "lpm_mult",
        "MACC_PA",
        "EFX_MULT",
        "EFX_DSP48",
        "NX_DSP_L",
        "CC_MULT",
        "QL_DSP2",
        "dsp_t1_20x18x64",
    ],
)
def test_multipliers_of_every_family_are_noticed(name: str) -> None:
    assert multiplier_cells({name: 2, "SB_LUT4": 1}) == {name: 2}


@pytest.mark.parametrize(
    "name",
    [
        "SB_LUT4",
        "SB_CARRY",
        "SB_DFFESR",
        "SB_RAM40_4K",
        "SB_SPRAM256KA",
        "SB_IO",
        "SB_GB_IO",
        "$scopeinfo",
        "$add",
        "$alu",
        "$mux",
        "$pmux",
        "$shiftx",
        "LUT4",
        "CCU2C",
        "TRELLIS_FF",
        "DP16KD",
        "ALU",
        "CARRY4",
        "FDRE",
        "MUXF7",
        "MISTRAL_ALUT_ARITH",
        "RAMB18E1",
        "SDPB",
        "MUX2_LUT5",
    ],
)
def test_other_cells_are_no_multipliers(name: str) -> None:
    assert multiplier_cells({name: 2}) == {}


def test_a_count_of_zero_is_no_multiplier() -> None:
    assert multiplier_cells({"SB_MAC16": 0}) == {}


@pytest.mark.parametrize("cell", ["ICESTORM_LC", "TRELLIS_COMB"])
@pytest.mark.parametrize(
    ("fmax", "expected"),
    [({}, None), ({"a": {"achieved": 20.5}, "b": {"achieved": 18.25}}, 18.25)],
)
def test_the_slowest_clock_counts(
    tmp_path: Path, fmax: dict[str, Any], expected: float | None, cell: str
) -> None:
    utilization = {cell: {"used": 12, "available": 5280}, "TRELLIS_FF": {"used": 7}}
    path = write(tmp_path / "report.json", {"fmax": fmax, "utilization": utilization})
    assert read_place_and_route(path) == PlaceAndRoute(12, expected)


VERILOG = r"""
// a * b
/* a
   * b */
(* src = "a.py:1*2" *) module top(a, b);
  (* keep, note = "*)" *)
  wire [7:0] \a*b ;
  always @* begin $display("a * b \" * "); end
  always @(*) begin end
  always @ ( * ) begin end
  leaf inner (.*);
  assign x = a * b;  // a product
  assign y = (a*2) + /* * */ 3;
  assign z = a ** 2;
endmodule
"""


def test_products_are_found_and_nothing_else() -> None:
    assert verilog_multipliers(VERILOG) == [
        "assign x = a * b;  // a product",
        "assign y = (a*2) + /* * */ 3;",
        "assign z = a ** 2;",
    ]
    assert verilog_multipliers("") == []
