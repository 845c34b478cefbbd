from __future__ import annotations

import itertools

import numpy as np
import pytest

from nomul.hw.graph import Builder, Constant, Table
from nomul.hw.truth_tables import BITS_MAX, lookup_neurons, truth_table, used_sources
from nomul.network import Dense, Input, Lookup, Network, Output
from nomul.sim.golden import evaluate_levels
from tests.hw.benches import all_or_some_levels, dense, expected_answers, network_of
from tests.hw.layers import LAYERS, MIXED, THRESHOLDS, with_thresholds
from tests.networks import random_lookup


def bits_needed(layer: Dense) -> int:
    most = max(len(used_sources(layer, neuron)) for neuron in range(layer.n_outputs))
    return most * (layer.n_levels_in - 1).bit_length()


def check(layer: Dense) -> None:
    """Assert that the table of each neuron is the neuron."""
    builder = Builder()
    levels = [builder.input(source, layer.n_levels_in) for source in range(layer.n_inputs)]
    nodes = []
    for neuron in range(layer.n_outputs):
        node = truth_table(builder, layer, neuron, levels, BITS_MAX, f"neuron_{neuron}")
        assert node is not None
        assert not isinstance(builder.node(node), Table) or builder.maximum(node) > 0
        nodes.append(node)
    samples = all_or_some_levels(layer.n_levels_in, layer.n_inputs, 4096)
    expected = expected_answers(network_of(layer), samples)
    assert np.array_equal(builder.graph(nodes).evaluate(samples), expected)


@pytest.mark.parametrize("case", THRESHOLDS)
def test_a_table_is_the_neuron(case: str) -> None:
    check(with_thresholds(MIXED, THRESHOLDS[case]))


@pytest.mark.parametrize("case", [c for c in LAYERS if bits_needed(LAYERS[c]) <= BITS_MAX])
def test_a_table_is_any_neuron_of_few_level_bits(case: str) -> None:
    check(with_thresholds(LAYERS[case], [-9, -1, 0, 1, 6, 12]))


def test_sources_that_change_nothing_are_not_used() -> None:
    layer = dense([[7, 7], [0, 1], [0, 0]], [[0, 1, 2, 1], [0, 2, 2, 0]])
    assert used_sources(layer, 0).tolist() == [1, 3]
    assert used_sources(layer, 1).tolist() == []


def test_a_neuron_of_too_many_level_bits_has_no_table() -> None:
    layer = dense([list(range(16)), [0] * 16], [[0, 0, 0, 1]], thresholds=[20])
    builder = Builder()
    levels = [builder.input(source, 16) for source in range(4)]
    assert truth_table(builder, layer, 0, levels, 11, "n") is None
    assert truth_table(builder, layer, 0, levels, 12, "n") is not None


def test_inputs_that_are_one_node_are_one_address() -> None:
    layer = dense([[0, 1, 2, 3], [0, -1, -2, -3]], [[0, 0, 1]], thresholds=[1, 3, 5])
    builder = Builder()
    a, b = builder.input(0, 4), builder.input(1, 4)
    node = truth_table(builder, layer, 0, [a, a, b], 4, "n")
    assert node is not None
    samples = np.array(list(itertools.product(range(4), repeat=2)))
    total = 2 * samples[:, 0] - samples[:, 1]
    expected = sum(total >= bound for bound in (1, 3, 5))
    assert np.array_equal(builder.graph([node]).evaluate(samples)[:, 0], expected)


def check_lookup(layer: Lookup, n_inputs: int, n_levels_in: int) -> Builder:
    network = Network(
        Input((n_inputs,), np.arange(1, n_levels_in, dtype=np.float64) - 0.5),
        (layer,),
        Output("levels"),
    )
    builder = Builder()
    levels = [builder.input(source, n_levels_in) for source in range(n_inputs)]
    width = (n_levels_in - 1).bit_length()
    nodes = lookup_neurons(builder, layer, levels, width, "layer_0")
    samples = all_or_some_levels(n_levels_in, n_inputs, 512)
    found = builder.graph(nodes).evaluate(samples)
    assert np.array_equal(found, evaluate_levels(network, samples))
    return builder


@pytest.mark.parametrize("n_address_bits", [1, 2, 4, 6, 8])
@pytest.mark.parametrize(("n_inputs", "n_levels_in"), [(6, 2), (3, 4), (2, 5), (1, 17)])
def test_lookup_neurons_are_their_tables(
    n_inputs: int, n_levels_in: int, n_address_bits: int
) -> None:
    n_level_bits = n_inputs * (n_levels_in - 1).bit_length()
    check_lookup(random_lookup(5, n_address_bits, n_level_bits, 3), n_inputs, n_levels_in)


def test_a_level_bit_that_is_two_address_bits_is_one() -> None:
    table = np.array([[1, 9, 9, 0, 9, 9, 9, 9]], np.uint8)
    layer = Lookup(np.array([[2, 2, 0]], np.int32), table, 10)
    builder = check_lookup(layer, 3, 2)
    # Bit 2 is the two low address bits: 0 or 3, and from 4 up all is 9.
    (node,) = lookup_neurons(builder, layer, [0, 1, 2], 1, "again")
    assert builder.node(node) == Table(((2, 0), (0, 0)), (1, 0, 9, 9))


def test_level_bits_that_never_occur_are_0() -> None:
    layer = Lookup(np.array([[0, 1]], np.int32), np.array([[4, 5, 6, 7]], np.uint8), 8)
    builder = Builder()
    (node,) = lookup_neurons(builder, layer, [builder.input(0, 2)], 2, "n")
    assert builder.node(node) == Table(((0, 0),), (4, 5))
    (node,) = lookup_neurons(builder, layer, [builder.constant(2)], 2, "n")
    assert builder.node(node) == Constant(6)
