from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nomul.network import Add, Network, Output
from nomul.network.bounds import accumulator_bounds
from nomul.sim.golden import evaluate_levels
from nomul.verify.directed import N_RANDOM, directed_levels, threshold_crossings
from tests.hw.folded import NETWORKS
from tests.networks import dense_layers, random_network

NETWORK = random_network((12, 6, 4), (4, 3), seed=3)


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    return directed_levels(NETWORK)


def hidden_sums(levels: np.ndarray) -> np.ndarray:
    first = dataclasses.replace(dense_layers(NETWORK)[0], thresholds=None)
    return evaluate_levels(Network(NETWORK.input, (first,), Output("accumulators")), levels)


def test_a_seed_gives_the_same_samples_and_another_one_others(levels: np.ndarray) -> None:
    assert np.array_equal(directed_levels(NETWORK), levels)
    assert not np.array_equal(directed_levels(NETWORK, seed=1)[: len(levels)], levels)


def test_they_are_levels_of_the_network(levels: np.ndarray) -> None:
    assert levels.shape[1] == NETWORK.n_inputs
    assert (levels.min(), levels.max()) == (0, NETWORK.input.n_levels - 1)


def test_every_input_has_every_level(levels: np.ndarray) -> None:
    for level in range(NETWORK.input.n_levels):
        assert (levels == level).any(axis=0).all()


def test_sums_reach_both_ends_of_their_ranges(levels: np.ndarray) -> None:
    sums = hidden_sums(levels)
    least, greatest = accumulator_bounds(dense_layers(NETWORK)[0])
    assert np.array_equal(sums.min(axis=0), least)
    assert np.array_equal(sums.max(axis=0), greatest)


def test_what_is_said_to_be_reached_is_in_the_samples() -> None:
    found = threshold_crossings(NETWORK, 0, np.random.default_rng(0))
    layer = dense_layers(NETWORK)[0]
    sums = hidden_sums(found.samples)
    thresholds = layer.neuron_thresholds()
    for neuron, j, side in np.argwhere(found.shown):
        assert (sums[:, neuron] == thresholds[neuron, j] - 1 + side).any()
    assert (found.reached | ~found.shown).all()


def test_all_small_inputs_at_once_say_what_can_be_reached() -> None:
    network = random_network((5, 3, 2), (3, 3), seed=1)
    every = np.stack(np.meshgrid(*[range(3)] * 5), axis=-1).reshape(-1, 5)
    layer = dense_layers(network)[0]
    first = dataclasses.replace(layer, thresholds=None)
    sums = evaluate_levels(Network(network.input, (first,), Output("accumulators")), every)
    wanted = layer.neuron_thresholds()[:, :, None] + np.array([-1, 0])
    possible = (sums[:, :, None, None] == wanted).any(axis=0)
    found = threshold_crossings(network, 0, np.random.default_rng(0))
    assert np.array_equal(found.reached, possible)


def test_two_classes_tie_at_the_top(levels: np.ndarray) -> None:
    sums = evaluate_levels(dataclasses.replace(NETWORK, output=Output("accumulators")), levels)
    greatest = np.sort(sums, axis=1)
    assert (greatest[:, -1] == greatest[:, -2]).any()


def test_residual_networks_get_what_needs_no_search() -> None:
    residual = next(
        network
        for network in NETWORKS.values()
        if any(isinstance(layer, Add) for layer in network.layers)
    )
    levels = directed_levels(residual)
    assert len(levels) == 2 * N_RANDOM + residual.input.n_levels
    assert np.array_equal(directed_levels(residual), levels)
