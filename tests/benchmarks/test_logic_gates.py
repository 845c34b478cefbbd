from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare.logic_gates import GateNetwork, GateSettings, gate_design, train_gates
from tests.benchmarks.helpers import assert_answers


def test_the_netlist_answers_as_the_tables(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes, n_bits = (12, 9), 5 * 3
    wires, tables = [], []
    for size in sizes:
        wires.append(rng.integers(0, n_bits, (4, size)))
        tables.append(rng.integers(0, 2, (16, size)).astype(np.bool_))
        n_bits = size
    network = GateNetwork(tuple(wires), tuple(tables), n_features=5, n_levels=4, n_classes=3)
    levels = rng.integers(0, 4, (1000, 5))
    expected = network.classes(levels)
    assert len(np.unique(expected)) == 3
    assert_answers(gate_design(network), levels, expected, tmp_path)


@pytest.mark.skipif(find_spec("torchlogix") is None, reason='needs `pip install -e ".[compare]"`')
def test_a_trained_network_has_the_sums_of_its_model() -> None:
    """:func:`train_gates` compares them, and learns what is easy."""
    levels = np.random.default_rng(0).integers(0, 4, (300, 4))
    classes = (levels[:, 0] > 1).astype(np.int64)
    network = train_gates(levels, classes, GateSettings((8, 4), steps=200), n_levels=4)
    assert [table.shape for table in network.tables] == [(16, 8), (16, 4)]
    assert (network.classes(levels) == classes).mean() > 0.9
