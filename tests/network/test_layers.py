"""Layers are immutable, and say of themselves what a network file holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nomul.network import Add, Conv2d, ConvTranspose2d, Dense, Layer, Lookup, MaxPool2d
from nomul.network.layers import LAYER_KINDS, layer_from_entry, layer_name
from tests.networks import dense_layers, random_lookup, random_network, random_tables

BIAS = np.array([1, 2], np.int32)

ENTRIES: list[tuple[Layer, dict[str, Any]]] = [
    (Dense(**random_tables((2, 3), 2, 2, None)), {"kind": "dense", "input": "input"}),
    (
        Conv2d(**random_tables((2, 3, 1, 1), 2, 2, 3), source="layers.0", padding=(1, 0)),
        {
            "kind": "conv2d",
            "input": "layers.0",
            "stride": [1, 1],
            "padding": [1, 0],
            "groups": 1,
        },
    ),
    (
        ConvTranspose2d(**random_tables((2, 1, 1, 1), 2, 2, None), stride=(2, 3), groups=2),
        {
            "kind": "conv_transpose2d",
            "input": "input",
            "stride": [2, 3],
            "padding": [0, 0],
            "output_padding": [0, 0],
            "groups": 2,
        },
    ),
    (
        MaxPool2d((2, 3), (1, 2), source="layers.7"),
        {
            "kind": "max_pool2d",
            "input": "layers.7",
            "size": [2, 3],
            "stride": [1, 2],
            "padding": [0, 0],
        },
    ),
    (
        random_lookup(3, 2, 7, 5, source="layers.2"),
        {"kind": "lookup", "input": "layers.2", "levels": 5},
    ),
    (
        Add(BIAS, sources=("layers.0", "layers.1")),
        {"kind": "add", "inputs": ["layers.0", "layers.1"]},
    ),
]


@pytest.mark.parametrize(("layer", "entry"), ENTRIES, ids=lambda value: getattr(value, "kind", ""))
def test_an_entry_and_its_tensors_make_the_layer_again(layer: Layer, entry: dict[str, Any]) -> None:
    assert layer.entry() == entry
    again = layer_from_entry(entry, layer.tensors())
    assert type(again) is type(layer)
    assert again.entry() == entry
    assert again.tensors().keys() == layer.tensors().keys()
    assert all(np.array_equal(again.tensors()[n], t) for n, t in layer.tensors().items())


def test_every_kind_has_an_entry() -> None:
    assert {entry["kind"] for _, entry in ENTRIES} == LAYER_KINDS.keys()


def test_layers_are_counted_from_zero() -> None:
    assert [layer_name(number) for number in (0, 10)] == ["layers.0", "layers.10"]


def test_a_layer_keeps_its_own_copy_of_a_tensor() -> None:
    bias = np.zeros(1, np.int32)
    layer = Dense(np.zeros((1, 1), np.uint8), np.zeros((2, 1), np.int32), bias)
    added = Add(bias, sources=("layers.0", "layers.0"))
    bias[0] = 5
    assert layer.bias.tolist() == added.bias.tolist() == [0]


@pytest.mark.parametrize(
    "name",
    ["weight_index", "product_table", "bias", "thresholds", "level_value", "centre"],
)
def test_a_tensor_cannot_be_written(name: str) -> None:
    layer = random_network((2, 2, 2), (3, 3), factored=True).layers[0]
    with pytest.raises(ValueError, match="read-only"):
        getattr(layer, name)[...] = 0


def test_the_tables_of_a_lookup_layer_cannot_be_written() -> None:
    layer = random_lookup(2, 3, 4, 2)
    for tensor in (layer.address_bit, layer.level_table):
        with pytest.raises(ValueError, match="read-only"):
            tensor[...] = 0


def test_sizes_of_a_lookup_layer_are_those_of_its_tables() -> None:
    layer = random_lookup(5, 3, 7, 4)
    assert (layer.n_channels, layer.n_outputs, layer.n_address_bits, layer.n_levels) == (5, 5, 3, 4)
    assert layer.sources == ("input",)


def test_levels_of_numpy_integers_become_pythons() -> None:
    made = random_lookup(1, 1, 1, 2)
    layer = Lookup(made.address_bit, made.level_table, np.int64(2))  # type: ignore[arg-type]
    assert type(layer.levels) is int


def test_geometry_of_numpy_integers_becomes_pythons() -> None:
    layer = MaxPool2d((np.int64(2), 3), (np.int64(1), np.uint8(2)))  # type: ignore[arg-type]
    assert [type(n) for n in layer.size + layer.stride] == [int] * 4


def test_channels_out_are_counted_over_all_groups() -> None:
    conv, transposed = (
        kind(**random_tables((4, 3, 1, 1), n_out, 2, None), groups=2)
        for kind, n_out in ((Conv2d, 4), (ConvTranspose2d, 6))
    )
    assert (conv.n_channels, transposed.n_channels) == (4, 6)
    assert Add(BIAS, sources=("layers.0", "layers.1")).n_channels == 2


def test_levels_are_one_more_than_thresholds() -> None:
    thresholds = np.array([1, 2], np.int32)
    assert Add(BIAS, thresholds, ("layers.0", "layers.1")).n_levels == 3
    assert Add(BIAS, None, ("layers.0", "layers.1")).n_levels is None
    layer = Dense(**random_tables((2, 3), 2, 4, 5))
    assert (layer.n_levels_in, layer.n_levels) == (4, 5)


def test_shared_thresholds_are_every_neurons() -> None:
    (layer,) = dense_layers(random_network((3, 4), (2, 3), output="levels"))
    shared = dataclasses.replace(layer, thresholds=np.array([1, 2], np.int32))
    assert shared.neuron_thresholds().tolist() == [[1, 2]] * 4


def test_fan_in_counts_the_products_that_are_not_all_zero() -> None:
    layer = Dense(
        np.array([[0, 0, 0], [1, 0, 2], [1, 1, 2], [2, 2, 2]], np.uint8),
        np.array([[0, 0, 3], [0, 5, 3]], np.int32),
        np.zeros(4, np.int32),
    )
    assert layer.fan_in().tolist() == [0, 2, 3, 3]
