"""The golden model against three nested loops, and at the edges of its comparisons."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.network import Dense, Input, Network, Output, UserError
from nomul.sim.golden import evaluate, evaluate_levels, input_levels
from tests.network.strategies import networks
from tests.networks import random_levels, random_network


def looped(network: Network, levels: list[int]) -> Any:
    """Answer one sample, one product after the other, in Python's integers."""
    sums: list[int] = []
    for layer in network.layers:
        sums = layer.bias.tolist()
        for o in range(layer.n_outputs):
            for k in range(layer.n_inputs):
                sums[o] += int(layer.product_table[levels[k], layer.weight_index[o, k]])
        if layer.thresholds is not None:
            own = layer.neuron_thresholds().tolist()
            levels = [sum(sums[o] >= threshold for threshold in own[o]) for o in range(len(own))]
    if network.output.kind == "class":
        return min(o for o in range(len(sums)) if sums[o] == max(sums))
    return sums if network.output.kind == "accumulators" else levels


@settings(deadline=None, max_examples=100)
@given(network=networks(), seed=st.integers(0, 1000))
def test_answers_are_those_of_three_nested_loops(network: Network, seed: int) -> None:
    levels = random_levels(network, 10, seed)
    answers = evaluate_levels(network, levels)
    assert answers.tolist() == [looped(network, sample) for sample in levels.tolist()]
    assert answers.dtype == np.int64


@settings(deadline=None, max_examples=50)
@given(network=networks(max_layers=2), seed=st.integers(0, 1000))
def test_features_are_evaluated_by_way_of_their_levels(network: Network, seed: int) -> None:
    features = np.random.default_rng(seed).uniform(-2, 8.0, (5, network.n_inputs))
    levels = input_levels(network, features)
    thresholds = np.broadcast_to(
        network.input.thresholds, (network.n_inputs, network.input.n_levels - 1)
    ).tolist()
    for sample, found in zip(features.tolist(), levels.tolist(), strict=True):
        for feature, own, level in zip(sample, thresholds, found, strict=True):
            assert level == sum(feature >= threshold for threshold in own)
    assert evaluate(network, features).tolist() == evaluate_levels(network, levels).tolist()


def identity(thresholds: NDArray[np.float64], shape: tuple[int, ...] = (1,)) -> Network:
    """Return a network whose first accumulator is the sum of the input levels."""
    n_inputs, n_levels = int(np.prod(shape)), thresholds.shape[-1] + 1
    layer = Dense(
        np.zeros((1, n_inputs), np.uint8),
        np.arange(n_levels, dtype=np.int32)[:, None],
        np.zeros(1, np.int32),
    )
    return Network(Input(shape, thresholds), (layer,), Output("accumulators"))


@pytest.mark.parametrize(
    ("feature", "level"),
    [
        (-np.inf, 0),
        (np.nextafter(-1.0, -2.0), 0),
        (-1.0, 1),
        (np.nextafter(0.1, 0.0), 1),
        (0.1, 2),
        (2.0, 4),
        (np.inf, 4),
    ],
)
def test_a_feature_on_a_threshold_reaches_it(feature: float, level: int) -> None:
    network = identity(np.array([-1.0, 0.1, 2.0, 2.0]))
    assert input_levels(network, [[feature]]).tolist() == [[level]]
    assert evaluate(network, [[feature]]).tolist() == [[level]]


def test_zero_reaches_a_threshold_of_either_sign() -> None:
    assert evaluate(identity(np.array([-0.0])), [[0.0], [-0.0]]).tolist() == [[1], [1]]


def test_features_in_float32_are_compared_in_float64() -> None:
    """The float32 next to 0.1 is greater than 0.1, that next to 0.3 likewise; 0.7 is not."""
    network = identity(np.array([0.1]))
    assert evaluate(network, np.array([[0.1]], np.float32)).tolist() == [[1]]
    network = identity(np.array([0.7]))
    assert evaluate(network, np.array([[0.7]], np.float32)).tolist() == [[0]]


def test_every_feature_can_have_its_own_thresholds() -> None:
    network = identity(np.array([[0.0, 1.0], [10.0, 20.0]]), (2,))
    features = [[0.5, 0.5], [10.0, 10.0], [1.0, 20.0]]
    assert input_levels(network, features).tolist() == [[1, 0], [2, 1], [2, 2]]


def test_every_channel_can_have_its_own_thresholds() -> None:
    thresholds = np.array([0.0, 1.0, 2.0]).reshape(3, 1, 1)
    network = identity(thresholds, (3, 2))
    features = np.array([[[0, -1], [0, 1], [1, 2]], [[5, 5], [0, 0], [2, 0]]])
    assert input_levels(network, features).tolist() == [[1, 0, 0, 1, 0, 1], [1, 1, 0, 0, 1, 0]]


def last_layer(biases: list[int], thresholds: list[int] | None, output: Output) -> Network:
    """Return a network of zero weights, so that its accumulators are its biases."""
    layer = Dense(
        np.zeros((len(biases), 1), np.uint8),
        np.zeros((2, 1), np.int32),
        np.array(biases, np.int32),
        None if thresholds is None else np.array(thresholds, np.int32),
    )
    return Network(Input((1,), np.array([0.5])), (layer,), output)


@pytest.mark.parametrize("biases", list(itertools.product((0, 1, 2), repeat=3)))
def test_a_tie_goes_to_the_lowest_class(biases: tuple[int, ...]) -> None:
    network = last_layer(list(biases), None, Output("class"))
    assert evaluate(network, [[0.0]]).tolist() == [biases.index(max(biases))]


def test_an_accumulator_on_a_threshold_reaches_it() -> None:
    network = last_layer([-4, -3, -2, 5, 6, 7], [-3, 6, 6], Output("levels"))
    assert evaluate(network, [[0.0]]).tolist() == [[0, 1, 1, 1, 3, 3]]


def test_the_scale_of_the_output_leaves_the_accumulators() -> None:
    plain = random_network((2, 3), (4,), output="accumulators")
    scaled = dataclasses.replace(plain, output=Output("accumulators", 0.25, -3.0))
    levels = random_levels(plain, 20)
    assert np.array_equal(evaluate_levels(plain, levels), evaluate_levels(scaled, levels))


def test_sums_beyond_32_bits_do_not_overflow() -> None:
    layer = Dense(
        np.zeros((1, 3), np.uint8),
        np.full((2, 1), 2**31 - 1, np.int32),
        np.full(1, 2**31 - 1, np.int32),
    )
    network = Network(Input((3,), np.array([0.5])), (layer,), Output("accumulators"))
    assert evaluate(network, [[0.0, 0.0, 0.0]]).tolist() == [[4 * (2**31 - 1)]]


@pytest.mark.parametrize("output", ["class", "accumulators", "levels"])
def test_no_samples_have_no_answers(output: Any) -> None:
    levels = (2, 2) if output == "levels" else (2,)
    network = random_network((3, 2), levels, output=output)
    shape = (0,) if output == "class" else (0, 2)
    assert evaluate(network, np.zeros((0, 3))).shape == shape


@pytest.mark.parametrize(
    ("features", "shape"),
    [
        (np.zeros((2, 3)), "(2, 3)"),
        (np.zeros(2), "(2,)"),
        (0.0, "()"),
        (np.zeros((1, 2, 1)), "(1, 2, 1)"),
    ],
)
def test_features_of_another_shape_are_refused(
    features: NDArray[np.float64] | float, shape: str
) -> None:
    with pytest.raises(UserError) as refused:
        evaluate(random_network((2, 2), (2,)), features)
    assert str(refused.value) == (
        f"The features have shape {shape}: the network takes ('samples', 2)."
    )


def test_features_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(UserError) as refused:
        evaluate(random_network((2, 2), (2,)), [[0.0, 1.0], [np.nan, 0.0]])
    assert str(refused.value) == (
        "Some features are not numbers (NaN): replace them before evaluation."
    )
