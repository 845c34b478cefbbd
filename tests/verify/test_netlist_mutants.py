from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nomul.sim.circuit import Circuit
from nomul.verify.netlist_mutants import BROKEN, LutBit, lut_bits, with_broken_bits


def lut(inputs: list[Any], init: int, output: int) -> dict[str, Any]:
    return {
        "type": "SB_LUT4",
        "parameters": {"LUT_INIT": f"{init:016b}"},
        "connections": {**{f"I{k}": [net] for k, net in enumerate(inputs)}, "O": [output]},
    }


XOR, AND = 0x6666, 0x8888
NETLIST = {
    "modules": {
        "top": {
            "ports": {
                "a": {"direction": "input", "bits": [2, 3]},
                "y": {"direction": "output", "bits": [4, 5]},
            },
            "cells": {
                "first": lut([2, 3, "0", "0"], XOR, 4),
                "second": lut([2, 4, "0", "1"], AND, 5),
            },
        }
    }
}
EVERY = np.array([[a & 1, a >> 1] for a in range(4)], np.bool_)


def answers(netlist: Any, folder: Path, broken: int | None = None) -> list[int]:
    (folder / "netlist.json").write_text(json.dumps(netlist))
    held = {} if broken is None else {BROKEN: broken}
    found = Circuit(folder / "netlist.json", "top").evaluate({"a": EVERY}, held=held)
    return [int(a) + 2 * int(b) for a, b in found["y"]]


def test_addresses_that_constants_rule_out_are_no_places() -> None:
    assert list(lut_bits(NETLIST, "top")) == [
        *(LutBit("first", address) for address in range(4)),
        *(LutBit("second", address) for address in range(8, 12)),
    ]


def test_each_fault_alone_is_that_of_a_netlist_with_this_bit_turned(tmp_path: Path) -> None:
    places = list(lut_bits(NETLIST, "top"))
    schema = with_broken_bits(NETLIST, "top", places)
    assert answers(schema, tmp_path, 0) == answers(NETLIST, tmp_path)
    for k, place in enumerate(places):
        single = json.loads(json.dumps(NETLIST))
        parameters = single["modules"]["top"]["cells"][place.cell]["parameters"]
        parameters["LUT_INIT"] = f"{int(parameters['LUT_INIT'], 2) ^ 1 << place.address:016b}"
        assert answers(schema, tmp_path, 1 << k) == answers(single, tmp_path), place
        assert answers(single, tmp_path) != answers(NETLIST, tmp_path), place
