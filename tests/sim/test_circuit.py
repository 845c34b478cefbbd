"""The evaluation of netlists, on designs whose function is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.hw.area import measure_area
from nomul.hw.tools import run_tool
from nomul.sim.circuit import Circuit


def bits_of(values: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    return ((values[:, None] >> np.arange(width)) & 1).astype(np.bool_)


def values_of(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    values: NDArray[np.int64] = bits @ (1 << np.arange(bits.shape[1], dtype=np.int64))
    return values


def circuit(text: str, folder: Path) -> Circuit:
    measure_area(f"module top{text} endmodule", "top", "ice40", folder, fast=True)
    return Circuit(folder / "top.ice40.json", "top")


def ecp5_circuit(text: str, folder: Path) -> Circuit:
    (folder / "top.v").write_text(f"module top{text} endmodule")
    commands = "read_verilog top.v; synth_ecp5 -nobram -nodsp -top top -json top.json"
    run_tool("yosys", ["-q", "-l", "log", "-p", commands], folder, "log")
    return Circuit(folder / "top.json", "top")


def test_a_table_is_looked_up_for_all_its_addresses(tmp_path: Path) -> None:
    netlist = circuit("(input [3:0] a, output o); assign o = 16'h6a1c >> a;", tmp_path)
    assert netlist.n_luts == 1
    addresses = np.arange(16)
    found = netlist.evaluate({"a": bits_of(addresses, 4)})["o"]
    np.testing.assert_array_equal(found[:, 0], (0x6A1C >> addresses) & 1)


@pytest.mark.parametrize("operator", ["+", "-"])
def test_a_carry_chain_adds_all_pairs(tmp_path: Path, operator: str) -> None:
    text = f"(input [5:0] a, input [5:0] b, output [6:0] o); assign o = a {operator} b;"
    a, b = (grid.reshape(-1) for grid in np.meshgrid(np.arange(64), np.arange(64)))
    found = circuit(text, tmp_path).evaluate({"a": bits_of(a, 6), "b": bits_of(b, 6)})["o"]
    expected = (a + b if operator == "+" else a - b) % 128
    np.testing.assert_array_equal(values_of(found), expected)


@pytest.mark.parametrize("n_samples", [1, 63, 64, 65, 1000])
def test_any_number_of_samples_is_evaluated(tmp_path: Path, n_samples: int) -> None:
    text = "(input [7:0] a, output [7:0] o); assign o = a ^ (a >> 1);"
    values = np.random.default_rng(n_samples).integers(0, 256, n_samples)
    found = circuit(text, tmp_path).evaluate({"a": bits_of(values, 8)})["o"]
    np.testing.assert_array_equal(values_of(found), values ^ (values >> 1))


def test_flip_flops_move_at_the_clock_alone_and_heed_their_controls(tmp_path: Path) -> None:
    text = """(input clk, input rst, input set, input en, input [1:0] d, output [7:0] o);
      reg [1:0] plain = 0, enabled = 0, cleared = 0, preset = 0;
      always @(posedge clk) begin
        plain <= d;
        if (en) enabled <= d;
        if (rst) cleared <= 0; else cleared <= d;
        if (set) preset <= 3; else if (en) preset <= d;
      end
      assign o = {preset, cleared, enabled, plain};"""
    netlist = circuit(text, tmp_path)
    d = np.arange(4)

    def found(cycles: int, **held: int) -> list[int]:
        outputs = netlist.evaluate({"d": bits_of(d, 2)}, cycles, held)
        return [int(value) for value in values_of(outputs["o"])]

    assert found(0, en=1) == [0, 0, 0, 0]
    assert found(1, en=1) == (d * 0b01010101).tolist()
    assert found(2, en=1) == (d * 0b01010101).tolist()
    assert found(1) == (d * 0b00010001).tolist()
    assert found(1, en=1, rst=1) == (d * 0b01000101).tolist()
    assert found(1, set=1) == (d * 0b00010001 + 0b11000000).tolist()


CONTROLS = """(input clk, input rst, input set, input en, input [1:0] d, output [7:0] o);
  reg [1:0] plain = 0, enabled = 0, cleared = 0, preset = 3;
  always @(posedge clk) begin
    plain <= d;
    if (en) enabled <= d;
    if (rst) cleared <= 0; else if (en) cleared <= d;
    if (set) preset <= 3; else if (en) preset <= d;
  end
  assign o = {preset, cleared, enabled, plain};"""


def test_ecp5_flip_flops_move_at_the_clock_alone_and_heed_their_controls(tmp_path: Path) -> None:
    netlist = ecp5_circuit(CONTROLS, tmp_path)
    d = np.arange(4)

    def found(cycles: int, **held: int) -> list[int]:
        outputs = netlist.evaluate({"d": bits_of(d, 2)}, cycles, held)
        return [int(value) for value in values_of(outputs["o"])]

    assert found(0, en=1) == [0b11000000] * 4
    assert found(1, en=1) == (d * 0b01010101).tolist()
    assert found(1) == (d * 0b00000001 + 0b11000000).tolist()
    assert found(1, en=1, rst=1) == (d * 0b01000101).tolist()
    assert found(1, rst=1) == (d * 0b00000001 + 0b11000000).tolist()
    assert found(2, en=1, set=1) == (d * 0b00010101 + 0b11000000).tolist()


@pytest.mark.parametrize("operator", ["+", "-"])
def test_an_ecp5_carry_chain_adds_all_pairs(tmp_path: Path, operator: str) -> None:
    text = f"(input [5:0] a, input [5:0] b, output [6:0] o); assign o = a {operator} b;"
    a, b = (grid.reshape(-1) for grid in np.meshgrid(np.arange(64), np.arange(64)))
    found = ecp5_circuit(text, tmp_path).evaluate({"a": bits_of(a, 6), "b": bits_of(b, 6)})["o"]
    expected = (a + b if operator == "+" else a - b) % 128
    np.testing.assert_array_equal(values_of(found), expected)


def test_an_ecp5_table_of_seven_inputs_is_looked_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = int.from_bytes(rng.bytes(16), "little")
    text = f"(input [6:0] a, output o); wire [127:0] t = 128'h{table:032x}; assign o = t[a];"
    addresses = np.arange(128)
    found = ecp5_circuit(text, tmp_path).evaluate({"a": bits_of(addresses, 7)})["o"][:, 0]
    assert found.tolist() == [bool(table >> address & 1) for address in range(128)]
    kinds = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"].values()
    assert {"PFUMX", "L6MUX21"} <= {cell["type"] for cell in kinds}
