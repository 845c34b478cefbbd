from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nomul.network import Dense, Network, UserError
from nomul.sim.golden import evaluate_levels
from tests.benchmarks.helpers import assert_answers
from tests.networks import random_levels, random_network

pytest.importorskip("da4ml", reason='needs `pip install -e ".[compare]"`')

from benchmarks.compare.da4ml_design import da4ml_design


@pytest.mark.parametrize(
    ("sizes", "levels"),
    [((6, 4), (4,)), ((8, 5, 3), (4, 3)), ((5, 6, 4, 2), (3, 2, 6)), ((1, 1, 2), (2, 2))],
    ids=str,
)
def test_the_netlist_answers_as_the_golden_model(
    tmp_path: Path, sizes: tuple[int, ...], levels: tuple[int, ...]
) -> None:
    network = random_network(sizes, levels, factored=True, magnitude=3)
    inputs = random_levels(network, 1000)
    expected = evaluate_levels(network, inputs)
    assert_answers(da4ml_design(network), inputs, expected, tmp_path)


def test_a_neuron_without_inputs_is_a_constant(tmp_path: Path) -> None:
    network = random_network((4, 3), (4,), factored=True)
    (layer,) = network.layers
    assert isinstance(layer, Dense)
    table = np.outer(np.arange(4), [0, 2, -4]).astype(np.int32)
    index = np.array([[0, 0, 0, 0], [1, 0, 2, 0], [0, 1, 1, 2]], np.uint8)
    bias = np.array([3, 0, -1], np.int32)
    network = Network(network.input, (Dense(index, table, bias),), network.output)
    inputs = random_levels(network, 500)
    expected = evaluate_levels(network, inputs)
    assert len(np.unique(expected)) == 3
    assert_answers(da4ml_design(network), inputs, expected, tmp_path)


def test_a_table_that_is_no_product_is_refused() -> None:
    with pytest.raises(UserError, match="not linear in the level"):
        da4ml_design(random_network((4, 3), (4,)))
