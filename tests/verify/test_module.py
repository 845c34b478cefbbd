from __future__ import annotations

import json
from pathlib import Path

from nomul.verify.gates import Gates
from nomul.verify.module import Logic, Module, Part

CONTENT = {
    "ports": {
        "i": {"direction": "input", "bits": [2, 3]},
        "o": {"direction": "output", "bits": [4, "1", "x"]},
    },
    "cells": {
        "one": {
            "type": "SB_LUT4",
            "parameters": {"LUT_INIT": "10"},
            "connections": {"I0": [2], "O": [4], "I1": ["x"], "I2": ["0"]},
        }
    },
    "netnames": {
        "sum": {"hide_name": 0, "bits": [3, 4], "attributes": {"keep": "01", "init": "1x"}},
        "alias": {"hide_name": 0, "bits": [4], "attributes": {}},
        "$1": {"hide_name": 1, "bits": [9], "attributes": {}},
    },
}


def test_a_module_tells_its_nets_by_name(tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text(json.dumps({"modules": {"top": CONTENT}}))
    module = Module.read(tmp_path / "n.json", "top")
    assert module.ports("input") == {("i", 0): 2, ("i", 1): 3}
    assert module.ports("output") == {("o", 0): 4, ("o", 1): 1}
    assert module.signals == {("sum", 0): 3, ("sum", 1): 4, ("alias", 0): 4}
    assert module.names == {3: ("sum", 0), 4: ("sum", 1)}
    assert module.kept == {("sum", 0): 3, ("sum", 1): 4}
    assert module.starts == {4: 1}
    assert list(module.cells()) == [
        ("SB_LUT4", {"LUT_INIT": "10"}, {"I0": (2,), "O": (4,), "I1": (-1,), "I2": (0,)})
    ]
    assert next(module.new_nets()) == 5


def test_logic_is_built_from_what_is_known() -> None:
    gates = Gates()
    a, b = gates.free(), gates.free()
    parts = [
        Part((7, 3), (8,), lambda inputs: [gates.or_(*inputs)]),
        Part((2, 3), (6, 7), lambda inputs: [gates.and_(*inputs), gates.xor(*inputs)]),
    ]
    logic = Logic(gates, parts, {2: a, 3: b})
    assert logic.literal(8) == gates.or_(gates.xor(a, b), b)
    assert logic.literal(6) == gates.and_(a, b)
    assert [logic.is_driven(net) for net in (0, 2, 8, 9)] == [True, True, True, False]


def test_a_net_that_nothing_drives_may_have_any_value() -> None:
    gates = Gates()
    literal = Logic(gates, [], {}).literal(-1)
    assert gates.is_free(literal >> 1)
