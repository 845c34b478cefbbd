"""The least and greatest accumulators are exactly those that inputs attain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nomul.network import Dense, accumulator_bounds
from tests.networks import random_network

INT32_MAX = 2**31 - 1


@pytest.mark.parametrize("factored", [False, True])
@pytest.mark.parametrize(
    ("n_inputs", "n_neurons", "n_levels", "n_centres"),
    [(1, 1, 2, 1), (1, 3, 256, 5), (3, 4, 3, 5), (5, 2, 2, 2), (2, 3, 7, 4)],
)
def test_bounds_are_attained_and_never_passed(
    n_inputs: int, n_neurons: int, n_levels: int, n_centres: int, factored: bool
) -> None:
    network = random_network(
        (n_inputs, n_neurons), (n_levels,), n_centres=n_centres, factored=factored
    )
    (layer,) = network.layers
    accumulators = [
        [
            int(layer.bias[o])
            + sum(int(layer.product_table[levels[k], layer.weight_index[o, k]]) for k in columns)
            for o in range(n_neurons)
        ]
        for columns in [range(n_inputs)]
        for levels in itertools.product(range(n_levels), repeat=n_inputs)
    ]
    least, greatest = accumulator_bounds(layer)
    assert least.tolist() == np.min(accumulators, axis=0).tolist()
    assert greatest.tolist() == np.max(accumulators, axis=0).tolist()


@pytest.mark.parametrize("entry", [INT32_MAX, -INT32_MAX - 1])
def test_bounds_of_the_largest_entries_do_not_overflow(entry: int) -> None:
    layer = Dense(
        np.zeros((1, 3), np.uint8),
        np.full((2, 1), entry, np.int32),
        np.full(1, entry, np.int32),
    )
    least, greatest = accumulator_bounds(layer)
    assert least.tolist() == greatest.tolist() == [4 * entry]
    assert least.dtype == greatest.dtype == np.int64
