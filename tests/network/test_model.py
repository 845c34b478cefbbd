"""``Network`` is immutable and answers questions about its tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from nomul.network import Conv2d, Dense, Input, InvalidNetwork, Network, Output
from tests.network.strategies import graphs, networks
from tests.networks import dense_layers, random_network, random_tables


@settings(deadline=None, max_examples=50)
@given(network=networks() | graphs())
def test_a_network_equals_what_its_document_builds(network: Network) -> None:
    assert Network.from_document(network.document()) == network


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
    (layer,) = dense_layers(network)
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
    first, last = dense_layers(network)
    assert (network.n_inputs, network.n_outputs, network.input.n_levels) == (3, 2, 5)
    assert (first.n_inputs, first.n_outputs, first.n_levels_in, first.n_levels) == (3, 4, 5, 6)
    assert (last.n_inputs, last.n_outputs, last.n_levels_in, last.n_levels) == (4, 2, 6, None)


def test_inputs_of_several_axes_are_counted_together() -> None:
    layer = random_network((12, 2), (3,)).layers[0]
    network = Network(Input((3, 2, 2), np.array([0.0, 1.0])), (layer,))
    assert network.n_inputs == 12


def test_a_thermometer_makes_bits_of_its_features() -> None:
    layer = Dense(**random_tables((2, 36), 2, 2, None))
    network = Network(Input((3, 2, 2), np.arange(3.0), "thermometer"), (layer,))
    assert (network.input.n_levels, network.input.level_shape) == (2, (9, 2, 2))
    assert network.n_inputs == 36
    assert network.document().description["input"] == {
        "shape": [3, 2, 2],
        "encoding": "thermometer",
    }


def test_levels_are_not_named_in_the_document() -> None:
    """So a file of an input of levels is the same, byte for byte, as before there were others."""
    assert random_network((3, 2), (4,)).document().description["input"] == {"shape": [3]}


def test_outputs_of_several_positions_are_counted_together() -> None:
    layer = Conv2d(**random_tables((4, 2, 3, 3), 4, 3, None), padding=(1, 1))
    network = Network(Input((2, 5, 3), np.arange(2.0)), (layer,), Output("accumulators"))
    assert network.n_outputs == 60
    assert network.shapes == {"input": (2, 5, 3), "layers.0": (4, 5, 3)}
    assert network.level_counts == {"input": 3, "layers.0": None}
