from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomul.sim.cells import FlipFlop, Lookup
from nomul.sim.chip import Pins
from nomul.sim.chip_logic import decoded_logic, netlist_logic

PINS = Pins("clk", "rx", "tx")
DECODED = """\
// Reading file 'chip.asc'..

module top (clk, rx, tx);
input clk;
input rx;
output tx;

wire n1;
// (0, 0, 'glb_netwk_1')
reg n2 = 0;
{}
endmodule
"""


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("(n3 ? (n4 ? n5 : !n5) : (n4 ? !n5 : n5))", lambda a, b, c, _: a ^ b ^ c),
        ("n6 ? (n3 ? 1'b1 : !n4) : (n5 ? n4 : 1'b0)", lambda a, b, c, d: a | ~b if d else b & c),
        ("/* CARRY 11 19  2 */ (n3 & n4) | ((n3 | n4) & n5)", lambda a, b, c, _: a + b + c > 1),
        ("!n3", lambda a, *_: 1 - a),
        ("/* LUT    9 22  3 */ n3", lambda a, *_: a),
        ("/* LUT    9 22  3 */ 1'b1", lambda *_: 1),
        ("0", lambda *_: 0),
    ],
)
def test_expressions_of_a_decoded_bitstream_are_tables(
    text: str, function: Callable[..., int]
) -> None:
    logic = decoded_logic(DECODED.format(f"assign tx = {text};"), PINS)
    assert logic is not None
    (cell,) = logic.cells
    assert isinstance(cell, Lookup)
    assert cell.output == logic.tx
    # Inputs come in the order of their names.
    n_inputs = sum(name in text for name in ("n3", "n4", "n5", "n6"))
    assert len(set(cell.inputs[:n_inputs])) == n_inputs
    assert not any(cell.inputs[n_inputs:])
    for bits in itertools.product((0, 1), repeat=4):
        address = sum(bit << place for place, bit in enumerate(bits[:n_inputs]))
        assert cell.table >> address & 1 == function(*bits) & 1, bits


def test_flip_flops_of_a_decoded_bitstream_clear_preset_and_wait() -> None:
    lines = [
        "/* FF 22 24  1 */ always @(posedge clk) if (n3) n2 <= n4 ? 1'b0 : rx;",
        "/* FF 22 24  2 */ always @(posedge clk) if (1'b1) n7 <= n4 ? 1'b1 : n2;",
        "/* FF 22 24  3 */ assign n3 = n7;",
        "assign tx = n3 ? n2 : 1'bz;",
    ]
    logic = decoded_logic(DECODED.format("\n".join(lines)), PINS)
    assert logic is not None
    cleared, preset, wire, pad = logic.cells
    assert isinstance(cleared, FlipFlop)
    assert isinstance(preset, FlipFlop)
    assert isinstance(wire, Lookup)
    assert isinstance(pad, Lookup)
    assert cleared == FlipFlop(
        logic.rx, cleared.q, enable=wire.output, clear=preset.preset, preset=0
    )
    assert preset == FlipFlop(cleared.q, wire.inputs[0], enable=1, preset=cleared.clear)
    assert (set(pad.inputs[:2]), pad.output) == ({wire.output, cleared.q}, logic.tx)
    assert [pad.table >> address & 1 for address in range(4)] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    "line",
    [
        "assign n1 = n3 + n4;",
        "assign n1 = n3 & n4 & n5 & n6 & n7;",
        "assign n1 = (n3 & n4;",
        "assign n1 = n3 & n4);",
        "assign n1 = n3 & ;",
        "assign n1 = n3 n4;",
        "assign n1 = n3 ? n4 | n5;",
        "assign n1 = (n3 ? n4 ) n5);",
        "assign n1 = (n3 : n4;",
        "assign n1 = 2;",
        "assign n1 = 1'b2;",
        "assign n1 = n3 & ' n4;",
        "assign n1 = n3 ? 2 : 1'bz;",
        "assign n1 = clk;",
        "always @(posedge clk, posedge n3) if (1'b1) n2 <= n3 ? 1'b0 : n4;",
        "always @(posedge clk) if (n3&n4) n2 <= n3 ? 1'b0 : n4;",
        "always @(posedge clk) if (clk) n2 <= n3 ? 1'b0 : n4;",
        "/* FF 1 2 3 */ always @(posedge n5) if (1'b1) n2 <= n3 ? 1'b0 : n4;",
        "SB_MAC16 something (.A(n1));",
        "SB_RAM40_4K ram (\n  .WE(n1)\n);",
    ],
)
def test_a_line_of_another_form_is_left_to_others(line: str) -> None:
    known = "assign tx = rx;"
    assert decoded_logic(DECODED.format(known), PINS) is not None
    assert decoded_logic(DECODED.format(f"{known}\n{line}"), PINS) is None


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("SB_RAM40_4K", {}),
        ("SB_SPRAM256KA", {}),
        ("SB_DFFR", {}),
        ("SB_PLL40_CORE", {}),
        ("SB_IO", {"PIN_TYPE": "000000"}),
        ("SB_IO", {}),
        ("TRELLIS_FF", {}),
    ],
)
def test_a_cell_of_another_kind_is_left_to_others(
    kind: str, parameters: dict[str, str], tmp_path: Path
) -> None:
    nets = {"PACKAGE_PIN": 3, "D_IN_0": 7, "Q": 8}
    assert netlist_logic(written(tmp_path, {"it": cell(kind, parameters, **nets)}), PINS) is None


def cell(kind: str, parameters: dict[str, str] | None = None, **nets: Any) -> dict[str, Any]:
    connections = {port: [net] for port, net in nets.items()}
    return {"type": kind, "parameters": parameters or {}, "connections": connections}


def written(folder: Path, cells: dict[str, Any]) -> Path:
    """Write a netlist with the pins 2, 3 and 4."""
    ports = {name: {"bits": [2 + place]} for place, name in enumerate(("clk", "rx", "tx"))}
    path = folder / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": {"ports": ports, "cells": cells}}}))
    return path


CLOCK = cell("SB_GB_IO", {"PIN_TYPE": "000001"}, PACKAGE_PIN=2, GLOBAL_BUFFER_OUTPUT=5)


def test_a_netlist_is_its_cells_without_its_clock(tmp_path: Path) -> None:
    cells = {
        "clock": CLOCK,
        "buffer": cell("SB_GB", USER_SIGNAL_TO_GLOBAL_BUFFER=5, GLOBAL_BUFFER_OUTPUT=6),
        "in": cell("SB_IO", {"PIN_TYPE": "000001"}, PACKAGE_PIN=3, D_IN_0=7),
        "kept": cell("SB_DFFE", C=6, D=7, E=3, Q=8),
        "same": cell("SB_DFF", C=5, D="x", Q=9),
        "out": cell(
            *("SB_IO", {"PIN_TYPE": "101001"}), PACKAGE_PIN=4, D_OUT_0=8, OUTPUT_ENABLE="1"
        ),
    }
    logic = netlist_logic(written(tmp_path, cells), PINS)
    assert logic is not None
    assert (logic.rx, logic.tx) == (3, 4)
    pin, out, kept, same = logic.cells
    assert isinstance(pin, Lookup)
    assert isinstance(out, Lookup)
    assert (pin.inputs[0], pin.output, out.inputs[:2], out.output) == (3, 7, (8, 1), 4)
    assert (kept, same) == (FlipFlop(7, 8, enable=3), FlipFlop(0, 9))


SAME, INVERSE, BOTH = "1010101010101010", "0101010101010101", "1000100010001000"


@pytest.mark.parametrize(
    ("table", "first", "second", "clock", "is_modelled"),
    [
        (SAME, 5, 0, 8, True),
        (SAME, 7, 0, 8, False),
        (INVERSE, 5, 0, 8, False),
        (INVERSE, 7, 0, 5, True),
        (BOTH, 7, 5, 5, False),
    ],
)
def test_a_clock_that_is_made_within_or_read_is_left_to_others(
    *, table: str, first: int, second: int, clock: int, is_modelled: bool, tmp_path: Path
) -> None:
    made = cell("SB_LUT4", {"LUT_INIT": table}, I0=first, I1=second, O=8)
    cells = {"clock": CLOCK, "made": made, "late": cell("SB_DFF", C=clock, D=7, Q=9)}
    logic = netlist_logic(written(tmp_path, cells), PINS)
    assert (logic is not None) == is_modelled


def test_what_is_not_connected_is_no_net(tmp_path: Path) -> None:
    chain = cell("SB_CARRY", CI=3, I0=3, I1="1")
    flip_flop = cell("SB_DFF", C=2, D=3)
    cells = {"one": chain, "two": chain, "three": flip_flop, "four": flip_flop}
    logic = netlist_logic(written(tmp_path, cells), PINS)
    assert logic is not None
    assert logic.cells == ()


def test_a_net_within_a_cell_is_no_other_cell_s(tmp_path: Path) -> None:
    tables = {"INIT0": f"{0x96AA:016b}", "INIT1": f"{0x5F0C:016b}"}
    parameters = tables | {"INJECT1_0": "NO", "INJECT1_1": "NO"}
    chain = cell("CCU2C", parameters, A0=3, A1=11, S0=4, S1=9)
    logic = netlist_logic(written(tmp_path, {"chain": chain}), PINS)
    assert logic is not None
    outputs = [part.output for part in logic.cells if isinstance(part, Lookup)]
    within = set(outputs) - {4, 9}
    assert len(outputs) == len(set(outputs)) == len(logic.cells)
    assert min(within) > 11
