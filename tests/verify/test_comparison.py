from __future__ import annotations

import dataclasses

import numpy as np

from nomul.network import Network
from nomul.sim.golden import evaluate_levels
from nomul.verify.comparison import answer_place, compared, first_inside, layer_outputs
from tests.networks import dense_layers, random_levels, random_lookup, random_network

EXPECTED = np.arange(12).reshape(4, 3)


def test_equal_arrays_are_equal() -> None:
    step = compared(EXPECTED, EXPECTED.copy(), lambda *_: "", "why")
    assert (step.compared, step.unit, step.differences) == (4, "samples", 0)
    assert (step.status, step.detail, step.first_difference) == ("equal", "why", None)


def test_a_sample_counts_once_and_the_first_is_named() -> None:
    found = EXPECTED.copy()
    found[1, 2], found[3, 0], found[3, 1] = -5, 0, 0
    step = compared(EXPECTED, found, lambda s, n: f"at {s}.{n}")
    assert (step.differences, step.status) == (2, "different")
    assert step.first_difference == "sample 1, at 1.2: expected 5, found -5"


def test_answers_are_named_by_layer_and_neuron() -> None:
    assert answer_place(random_network((2, 2, 3), (2, 2)))(0, 0) == "the class"
    network = random_network((2, 2, 3), (2, 2), output="accumulators")
    assert answer_place(network)(0, 2) == "layers.1, neuron 2"


def test_layers_outputs_are_what_their_definition_says() -> None:
    network = random_network((5, 4, 3), (4, 3))
    levels = random_levels(network, 10)
    first, last = dense_layers(network)
    (name, found), (last_name, sums) = layer_outputs(network, levels)
    assert (name, last_name) == ("layers.0", "layers.1")
    by_tap = first.product_table[levels[:, None, :], first.weight_index].sum(axis=2) + first.bias
    thresholds = first.neuron_thresholds()
    np.testing.assert_array_equal(found, (by_tap[:, :, None] >= thresholds).sum(axis=2))
    np.testing.assert_array_equal(sums.argmax(axis=1), evaluate_levels(network, levels))
    assert sums.shape == (10, last.n_outputs)


def test_the_first_wrong_neuron_is_found_among_those_that_are_known() -> None:
    (dense,) = dense_layers(random_network((6, 3), (2,)))
    layers = random_lookup(6, 2, 10, 2), dataclasses.replace(dense, source="layers.0")
    network = Network(random_network((5, 3), (4,)).input, layers)
    levels = random_levels(network, 1)
    right = {
        (name, neuron): int(value)
        for name, (row,) in layer_outputs(network, levels)
        for neuron, value in enumerate(row)
    }

    def known(layer: str, neuron: int) -> int | None:
        return found.get((layer, neuron))

    found = dict(right)
    assert first_inside(network, levels, known) is None
    found["layers.1", 1] += 7
    wrong = right["layers.1", 1]
    assert first_inside(network, levels, known) == (
        f"layers.1, neuron 1 (expected {wrong}, found {wrong + 7})"
    )
    found["layers.0", 4] = 1 - right["layers.0", 4]
    assert str(first_inside(network, levels, known)).startswith("layers.0, neuron 4 ")
    del found["layers.0", 4]
    assert str(first_inside(network, levels, known)).startswith("layers.1, neuron 1 ")
