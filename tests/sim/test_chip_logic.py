from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomul.network import CheckFailed, UserError
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
        "always @(posedge clk, posedge n3) if (1'b1) n2 <= n3 ? 1'b0 : n4;",
        "/* FF 1 2 3 */ always @(posedge n5) if (1'b1) n2 <= n3 ? 1'b0 : n4;",
        "SB_MAC16 something (.A(n1));",
    ],
)
def test_what_is_not_known_is_refused(line: str) -> None:
    with pytest.raises(CheckFailed, match="The bitstream holds what its simulation does not"):
        decoded_logic(DECODED.format(line), PINS)


@pytest.mark.parametrize("name", ["SB_RAM40_4K", "SB_SPRAM256KA"])
def test_a_chip_with_rams_is_left_to_others(name: str, tmp_path: Path) -> None:
    assert decoded_logic(DECODED.format(f"{name} ram (\n  .WE(n1)\n);"), PINS) is None
    assert netlist_logic(written(tmp_path, {"ram": cell(name)}), PINS) is None


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


@pytest.mark.parametrize("table", ["1010101010101010", "0101010101010101"])
def test_a_clock_that_is_made_within_is_refused(table: str, tmp_path: Path) -> None:
    source = 5 if table.startswith("0") else 7
    made = cell("SB_LUT4", {"LUT_INIT": table}, I0=source, O=8)
    cells = {"clock": CLOCK, "made": made, "late": cell("SB_DFF", C=8, D=7, Q=9)}
    with pytest.raises(CheckFailed, match="flip-flop late has another clock than the pin's"):
        netlist_logic(written(tmp_path, cells), PINS)


def test_a_pad_of_another_kind_is_refused(tmp_path: Path) -> None:
    cells = {"in": cell("SB_IO", {"PIN_TYPE": "000000"}, PACKAGE_PIN=3, D_IN_0=7)}
    with pytest.raises(UserError, match="holds a cell SB_IO"):
        netlist_logic(written(tmp_path, cells), PINS)
