"""The memory account adds up what a hand count gives."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import (
    Add,
    Conv2d,
    Dense,
    Input,
    Lookup,
    MaxPool2d,
    MemoryAccount,
    Network,
    Output,
    memory_account,
)
from nomul.network.memory import index_counts
from tests.networks import random_network


def one_layer(
    *, index: list[list[int]], table: list[list[int]], bias: list[int], levels: int = 2
) -> Network:
    return Network(
        Input((len(index[0]),), np.arange(0.5, levels - 1)),
        (
            Dense(
                np.array(index, np.uint8),
                np.array(table, np.int32),
                np.array(bias, np.int32),
            ),
        ),
    )


def test_every_item_is_counted() -> None:
    layers = (
        Dense(
            np.array([[0, 1, 2], [2, 1, 0]], np.uint8),  # 6 indices of 2 bits
            np.array([[0, 3, -4], [0, 1, -1]], np.int32),  # 6 entries of 3 bits
            np.array([7, -8], np.int32),  # 2 entries of 4 bits
            np.array([0, 1], np.int32),  # 2 entries of 2 bits
        ),
        Dense(
            np.array([[1, 0]], np.uint8),  # 2 indices of 1 bit
            np.array([[0, -2], [0, 0], [0, 2]], np.int32),  # by its factors
            np.array([-1], np.int32),  # 1 entry of 1 bit
            level_value=np.array([-1, 0, 1], np.int32),  # equally spaced: 2 of 2 bits
            centre=np.array([0, 2], np.int32),  # 2 entries of 3 bits
            source="layers.0",
        ),
    )
    network = Network(Input((3,), np.array([0.5])), layers, Output("class"))
    account = memory_account(network)
    assert account == MemoryAccount(
        weight_indices=6 * 2 + 2 * 1,
        product_tables=6 * 3 + 2 * 2 + 2 * 3,
        biases=2 * 4 + 1,
        thresholds=2 * 2,
        input_thresholds=64,
        index_entropy=account.index_entropy,
        paper_entries=3 * 3 + 4 * 2,
        float_network=32 * (6 + 2 + 2 + 1),
    )
    assert account.index_entropy == pytest.approx(6 * math.log2(3) + 2)
    assert account.total == 14 + 28 + 9 + 68
    assert account.ratio == account.total / 352


@pytest.mark.parametrize(
    ("entry", "bits"), [(0, 0), (1, 2), (-1, 1), (-2, 2), (127, 8), (-128, 8), (128, 9), (-129, 9)]
)
def test_an_entry_takes_the_bits_of_twos_complement(entry: int, bits: int) -> None:
    network = one_layer(index=[[0]], table=[[0], [0]], bias=[entry])
    assert memory_account(network).biases == bits


@pytest.mark.parametrize(
    ("n_centres", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)]
)
def test_an_index_takes_the_bits_that_number_the_centres(n_centres: int, bits: int) -> None:
    network = one_layer(index=[[0]], table=[[1] * n_centres] * 2, bias=[0])
    assert memory_account(network).weight_indices == bits


@pytest.mark.parametrize("factored", [False, True])
def test_a_table_that_layers_share_is_counted_once(factored: bool) -> None:
    first = random_network((3, 3), (4,), output="class", factored=factored).layers[0]
    assert isinstance(first, Dense)
    thresholds = np.arange(3, dtype=np.int32)
    twice = Network(
        Input((3,), np.arange(0.5, 3)),
        (
            dataclasses.replace(first, thresholds=thresholds),
            dataclasses.replace(first, source="layers.0"),
        ),
    )
    once = Network(twice.input, (first,))
    assert memory_account(twice).product_tables == memory_account(once).product_tables > 0


def test_tables_that_differ_are_both_counted() -> None:
    network = random_network((3, 3, 3), (4, 4))
    apart = [
        memory_account(
            Network(
                Input((3,), np.arange(0.5, 3)),
                (dataclasses.replace(layer, thresholds=None, source="input"),),
            )
        )
        for layer in network.layers
        if isinstance(layer, Dense)
    ]
    assert memory_account(network).product_tables == sum(part.product_tables for part in apart)


def residual_network() -> Network:
    """Convolution, max-pooling, a residual addition, average pooling and a dense layer."""
    centre = np.array([-1, 0, 2], np.int32)
    level = np.array([0, 1, 2], np.int32)
    learned: dict[str, Any] = {
        "product_table": np.outer(level, centre).astype(np.int32),
        "level_value": level,
        "centre": centre,
    }
    single: dict[str, Any] = {"product_table": level[:, None], "bias": np.zeros(2, np.int32)}
    thresholds = np.array([0, 3], np.int32)
    rng = np.random.default_rng(0)

    def index(*shape: int) -> NDArray[np.uint8]:
        return rng.integers(0, 3, shape).astype(np.uint8)

    def bias(n: int) -> NDArray[np.int32]:
        return np.ones(n, np.int32)

    layers = (
        Conv2d(index(2, 1, 3, 3), **learned, bias=bias(2), thresholds=thresholds, padding=(1, 1)),
        MaxPool2d((2, 2), (2, 2), source="layers.0"),
        Conv2d(index(2, 2, 1, 1), **learned, bias=bias(2), source="layers.1"),
        Conv2d(np.zeros((2, 1, 1, 1), np.uint8), **single, source="layers.1", groups=2),
        Add(bias(2), thresholds, ("layers.2", "layers.3")),
        Conv2d(
            np.zeros((2, 1, 2, 2), np.uint8),
            **single,
            thresholds=thresholds,
            source="layers.4",
            groups=2,
        ),
        Dense(index(3, 2), **learned, bias=bias(3), source="layers.5"),
    )
    return Network(Input((1, 4, 4), np.array([0.5, 1.5])), layers, Output("class"))


def test_a_layer_with_one_centre_has_neither_index_bits_nor_float_weights() -> None:
    account = memory_account(residual_network())
    n_weights = 2 * 9 + 2 * 2 + 3 * 2
    assert account.weight_indices == n_weights * 2
    assert account.product_tables == 2 * 3 + 3 * 3 + 3 * 3  # equally spaced, others, one column
    assert account.biases == (2 + 2 + 2 + 3) * 2
    assert account.thresholds == 3 * 2 * 3
    assert account.input_thresholds == 2 * 64
    assert account.paper_entries == 4 * 3
    assert account.float_network == 32 * (n_weights + 2 + 2 + 3)


def test_a_thousand_centres_take_what_was_published() -> None:
    """10 bits for 32 are 0.3125; a table of 33 rows and 1,000 columns for the whole network."""
    rng = np.random.default_rng(0)
    table = rng.integers(-99, 99, (32, 1000)).astype(np.int32)
    n_in, n_hidden, n_out = 40, 30, 20
    layers = (
        Dense(
            rng.integers(0, 1000, (n_hidden, n_in)).astype(np.uint16),
            table,
            np.zeros(n_hidden, np.int32),
            np.arange(31, dtype=np.int32),
        ),
        Dense(
            rng.integers(0, 1000, (n_out, n_hidden)).astype(np.uint16),
            table,
            np.zeros(n_out, np.int32),
            source="layers.0",
        ),
    )
    account = memory_account(Network(Input((n_in,), np.linspace(0, 1, 31)), layers))
    n_weights = n_hidden * n_in + n_out * n_hidden
    assert account.weight_indices / (32 * n_weights) == 0.3125
    assert account.float_network == 32 * (n_weights + n_hidden + n_out)
    assert account.paper_entries == 33 * 1000


@pytest.mark.parametrize(
    ("index", "bits"),
    [
        ([0, 1, 2, 3, 0, 1, 2, 3], 8 * 2.0),
        ([0, 0, 0, 0, 0, 0, 0, 0], 0.0),
        ([0, 1, 2, 2], 4 * 1.5),
        ([3], 0.0),
    ],
)
def test_the_entropy_is_that_of_each_layer(index: list[int], bits: float) -> None:
    network = one_layer(index=[index], table=[[0, 1, 2, 3]] * 2, bias=[0])
    assert memory_account(network).index_entropy == bits


def test_each_layer_has_its_own_entropy() -> None:
    """Each layer uses one centre, and another one: to know the layer is to know the index."""
    table = np.array([[0, 0], [1, -1]], np.int32)
    first = Dense(np.zeros((2, 2), np.uint8), table, np.zeros(2, np.int32), np.zeros(1, np.int32))
    last = Dense(np.ones((2, 2), np.uint8), table, np.zeros(2, np.int32), source="layers.0")
    network = Network(Input((2,), np.array([0.5])), (first, last))
    assert memory_account(network).index_entropy == 0.0


def test_counts_of_more_indices_than_fit_a_chunk_are_those_of_unique() -> None:
    index = np.random.default_rng(0).integers(0, 7, (3, 500_000)).astype(np.uint8)
    assert index_counts(index, 9).tolist() == [*np.unique(index, return_counts=True)[1], 0, 0]


def lookup_network() -> Network:
    """Two lookup layers of 4 and 2 levels, then two neurons of 3 centres."""
    layers = (
        Lookup(  # 5 features of 3 levels: 10 bits, numbered by 4
            np.zeros((3, 2), np.int32), np.full((3, 4), 3, np.uint8), 4
        ),
        Lookup(  # 3 levels of 4: 6 bits, numbered by 3
            np.zeros((7, 3), np.int32), np.ones((7, 8), np.uint8), 2, "layers.0"
        ),
        Dense(
            np.zeros((2, 7), np.uint8),
            np.zeros((2, 3), np.int32),
            np.zeros(2, np.int32),
            source="layers.1",
        ),
    )
    return Network(Input((5,), np.array([0.5, 1.5])), layers)


def test_lookup_layers_are_counted_by_their_tables_and_connections() -> None:
    account = memory_account(lookup_network())
    assert account == MemoryAccount(
        weight_indices=2 * 7 * 2,
        product_tables=0,
        biases=0,
        thresholds=0,
        input_thresholds=2 * 64,
        index_entropy=0.0,
        paper_entries=3 * 3,
        float_network=32 * (3 * (2 + 1) + 7 * (3 + 1) + 2 * (7 + 1)),
        level_tables=3 * 4 * 2 + 7 * 8 * 1,
        connections=3 * 2 * 4 + 7 * 3 * 3,
    )
    assert account.total == 28 + 128 + 80 + 87


@pytest.mark.parametrize(("n_features", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_a_connection_takes_the_bits_that_number_the_level_bits(n_features: int, bits: int) -> None:
    layer = Lookup(np.zeros((1, 3), np.int32), np.zeros((1, 8), np.uint8), 256)
    network = Network(Input((n_features,), np.array([0.5])), (layer,), Output("levels"))
    account = memory_account(network)
    assert (account.connections, account.level_tables) == (3 * bits, 8 * 8)


def test_the_table_names_what_lookup_layers_take() -> None:
    lines = memory_account(lookup_network()).table().splitlines()
    assert lines[6:9] == [
        "level tables                                 80   0.0472",
        "connections                                  87   0.0513",
        "total                                       323   0.1904",
    ]


def test_the_table_reads_like_an_account() -> None:
    account = MemoryAccount(
        weight_indices=610_000,
        product_tables=1_000,
        biases=200,
        thresholds=7_000,
        input_thresholds=64,
        index_entropy=432_100.6,
        paper_entries=33_000,
        float_network=2_000_000,
    )
    assert account.table() == (
        "                                           bits of float\n"
        "weight indices                          610,000   0.3050\n"
        "product tables                            1,000   0.0005\n"
        "biases                                      200   0.0001\n"
        "thresholds                                7,000   0.0035\n"
        "input thresholds                             64   0.0000\n"
        "total                                   618,264   0.3091\n"
        "weight indices at their entropy         432,101   0.2161\n"
        "float network                         2,000,000   1.0000"
    )


def test_a_network_without_weights_to_learn_is_no_smaller_than_float() -> None:
    account = memory_account(one_layer(index=[[0]], table=[[1], [1]], bias=[0]))
    assert account.float_network == 0
    assert account.ratio == math.inf
    assert "inf" in account.table()
