"""``Network`` is immutable and answers questions about its tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from nomul.network import Dense, Input, InvalidNetwork, Network, Output
from tests.network.strategies import networks
from tests.networks import random_network


@settings(deadline=None, max_examples=50)
@given(network=networks())
def test_a_network_equals_what_its_document_builds(network: Network) -> None:
    assert Network.from_document(network.document()) == network


def test_a_network_keeps_its_own_copy_of_a_tensor() -> None:
    bias = np.zeros(1, np.int32)
    layer = Dense(np.zeros((1, 1), np.uint8), np.zeros((2, 1), np.int32), bias)
    bias[0] = 5
    assert layer.bias.tolist() == [0]


@pytest.mark.parametrize(
    "name",
    ["weight_index", "product_table", "bias", "thresholds", "level_value", "centre"],
)
def test_a_tensor_cannot_be_written(name: str) -> None:
    layer = random_network((2, 2, 2), (3, 3), factored=True).layers[0]
    with pytest.raises(ValueError, match="read-only"):
        getattr(layer, name)[...] = 0


def test_input_thresholds_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        random_network((2, 2), (3,)).input.thresholds[...] = 0


def test_a_field_cannot_be_set() -> None:
    network = random_network((2, 2), (3,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.layers = ()  # type: ignore[misc]


@pytest.mark.parametrize("name", ["weight_index", "product_table", "bias", "thresholds"])
def test_networks_that_differ_in_one_entry_differ(name: str) -> None:
    network = random_network((2, 2, 2), (2, 2))
    layer = network.layers[0]
    entry = getattr(layer, name)
    changed = (entry + 1) % 5 if name == "weight_index" else entry + 1
    other = dataclasses.replace(layer, **{name: changed.astype(entry.dtype)})
    assert dataclasses.replace(network, layers=(other, network.layers[1])) != network


def test_networks_whose_indices_differ_in_dtype_differ() -> None:
    network = random_network((2, 2), (2,))
    layer = network.layers[0]
    wide = dataclasses.replace(layer, weight_index=layer.weight_index.astype(np.uint16))
    assert dataclasses.replace(network, layers=(wide,)) != network


@pytest.mark.parametrize(
    "output", [Output("accumulators", 2.0), Output("accumulators", 1.0, 3.0), Output("class")]
)
def test_networks_whose_outputs_differ_differ(output: Output) -> None:
    network = random_network((2, 2), (2,), output="accumulators")
    assert dataclasses.replace(network, output=output) != network


def test_a_network_differs_from_anything_else() -> None:
    assert random_network((2, 2), (2,)) != "network"


def test_a_network_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(random_network((2, 2), (2,)))


def test_a_network_built_in_python_is_checked() -> None:
    with pytest.raises(InvalidNetwork) as refused:
        Network(Input((2,), np.array([0.5])), ())
    assert str(refused.value) == "The network has no layers: it needs at least one."


def test_sizes_are_those_of_the_tables() -> None:
    network = random_network((3, 4, 2), (5, 6))
    first, last = network.layers
    assert (network.n_inputs, network.n_outputs, network.input.n_levels) == (3, 2, 5)
    assert (first.n_inputs, first.n_outputs, first.n_levels_in, first.n_levels) == (3, 4, 5, 6)
    assert (last.n_inputs, last.n_outputs, last.n_levels_in, last.n_levels) == (4, 2, 6, None)


def test_inputs_of_several_axes_are_counted_together() -> None:
    layer = random_network((12, 2), (3,)).layers[0]
    network = Network(Input((3, 2, 2), np.array([0.0, 1.0])), (layer,))
    assert network.n_inputs == 12


def test_shared_thresholds_are_every_neurons() -> None:
    layer = random_network((3, 4), (2, 3), output="levels").layers[0]
    shared = dataclasses.replace(layer, thresholds=np.array([1, 2], np.int32))
    assert shared.neuron_thresholds().tolist() == [[1, 2]] * 4


def test_fan_in_counts_the_products_that_are_not_all_zero() -> None:
    layer = Dense(
        np.array([[0, 0, 0], [1, 0, 2], [1, 1, 2], [2, 2, 2]], np.uint8),
        np.array([[0, 0, 3], [0, 5, 3]], np.int32),
        np.zeros(4, np.int32),
    )
    assert layer.fan_in().tolist() == [0, 2, 3, 3]
