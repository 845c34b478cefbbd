"""The memory account adds up what a hand count gives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nomul.network import Dense, Input, MemoryAccount, Network, Output, memory_account
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
            np.array([[0, -2], [0, 0], [0, 2]], np.int32),  # by its factors: 3 and 2 entries
            np.array([-1], np.int32),  # 1 entry of 1 bit
            level_value=np.array([-1, 0, 1], np.int32),  # of 2 bits
            centre=np.array([0, 2], np.int32),  # of 3 bits
            source="layers.0",
        ),
    )
    network = Network(Input((3,), np.array([0.5])), layers, Output("class"))
    account = memory_account(network)
    assert account == MemoryAccount(
        weight_indices=6 * 2 + 2 * 1,
        product_tables=6 * 3 + 3 * 2 + 2 * 3,
        biases=2 * 4 + 1,
        thresholds=64 + 2 * 2,
        float_network=32 * (6 + 2 + 2 + 1),
    )
    assert account.total == 14 + 30 + 9 + 68
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
    ]
    assert memory_account(network).product_tables == sum(part.product_tables for part in apart)
