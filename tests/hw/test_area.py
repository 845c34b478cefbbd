from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from nomul.hw.area import Area, Target, measure_area
from nomul.hw.tools import ToolFailed
from nomul.network import CheckFailed, UserError

TARGETS: tuple[Target, ...] = get_args(Target)

ADDER = """
module adder(input [7:0] a, input [7:0] b, output [8:0] o);
  assign o = a + b;
endmodule
"""
REGISTERED = """
module registered(input clk, input rst, input [3:0] a, input [3:0] b, output reg [3:0] o);
  always @(posedge clk) if (rst) o <= 0; else o <= a & b;
endmodule
"""
WORDS = np.random.default_rng(0).integers(0, 1 << 16, 256).tolist()
ROM = f"""
module rom(input clk, input [7:0] a, output reg [15:0] o);
  reg [15:0] words [0:255];
  initial begin {" ".join(f"words[{i}] = {word};" for i, word in enumerate(WORDS))} end
  always @(posedge clk) o <= words[a];
endmodule
"""
PARITY = "module parity(input [{last}:0] i, output o); assign o = ^i; endmodule"


@pytest.mark.parametrize(
    ("target", "n_inputs", "n_luts"),
    [("ice40", 4, 1), ("ice40", 16, 5), ("ecp5", 4, 1), ("xilinx", 6, 1)],
)
def test_a_parity_takes_as_many_luts_as_it_must(
    tmp_path: Path, target: Target, n_inputs: int, n_luts: int
) -> None:
    area = measure_area(PARITY.format(last=n_inputs - 1), "parity", target, tmp_path)
    constant = 1 if target == "ice40" else 0
    assert area == Area(target, n_luts + constant, n_luts, 0, 0, 0)


def test_a_chain_of_an_ice40_takes_a_cell_more_than_its_luts(tmp_path: Path) -> None:
    """One for the carry out to become a signal, beside the two for the constants."""
    area = measure_area(ADDER, "adder", "ice40", tmp_path)
    assert (area.carry, area.mux, area.ff) == (8, 0, 0)
    assert area.lut == 8
    assert area.logic_cells == 8 + 1 + 2


def test_two_bits_of_a_chain_of_an_ecp5_are_two_luts(tmp_path: Path) -> None:
    area = measure_area(ADDER, "adder", "ecp5", tmp_path)
    assert area.logic_cells == area.lut + 2 * area.carry
    assert area.logic_cells in range(8, 13)


@pytest.mark.parametrize("target", TARGETS)
def test_flip_flops_are_counted(tmp_path: Path, target: Target) -> None:
    area = measure_area(REGISTERED, "registered", target, tmp_path)
    assert area.ff == 4
    if target in ("ice40", "ecp5", "xilinx"):
        assert (area.logic_cells, area.lut) == (4 + 2 * (target == "ice40"), 4)


def test_gates_of_an_asic_are_nands_of_two_inputs(tmp_path: Path) -> None:
    nand = "module nand2(input a, input b, output o); assign o = ~(a & b); endmodule"
    assert measure_area(nand, "nand2", "asic", tmp_path) == Area("asic", 1, 1, 0, 0, 0)


@pytest.mark.parametrize("target", TARGETS)
def test_a_memory_is_made_of_logic(tmp_path: Path, target: Target) -> None:
    """A block RAM would hide it: 256 words of 16 bits are some hundred LUTs."""
    area = measure_area(ROM, "rom", target, tmp_path, fast=True)
    assert area.lut > 64
    assert area.logic_cells > 64


@pytest.mark.parametrize("target", TARGETS)
def test_a_design_is_not_limited_by_pins(tmp_path: Path, target: Target) -> None:
    text = "module wide(input [999:0] a, output [499:0] o);"
    text += "assign o = a[999:500] ^ a[499:0]; endmodule"
    area = measure_area(text, "wide", target, tmp_path)
    assert area.lut == 500


def test_the_fast_mapping_counts_as_much_where_there_is_nothing_to_optimize(
    tmp_path: Path,
) -> None:
    full, fast = (measure_area(ADDER, "adder", "ice40", tmp_path, fast=f) for f in (False, True))
    assert full == fast


def test_a_cell_that_is_not_logic_is_refused(tmp_path: Path) -> None:
    text = """
    module hidden(input [15:0] a, input [15:0] b, output [31:0] o);
      SB_MAC16 mac(.A(a), .B(b), .O(o));
    endmodule
    """
    sentence = "The netlist of hidden holds 1 SB_MAC16: the area of ice40 is of logic alone."
    with pytest.raises(CheckFailed, match=f"^{re.escape(sentence)}$"):
        measure_area(text, "hidden", "ice40", tmp_path)


def test_bad_verilog_is_refused_with_the_first_error(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="syntax error"):
        measure_area("module broken(;", "broken", "ice40", tmp_path)


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown target 'ice41': did you mean 'ice40'"):
        measure_area(ADDER, "adder", "ice41", tmp_path)  # type: ignore[arg-type]
