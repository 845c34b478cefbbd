"""The golden model against nested loops and PyTorch, and at the edges of its comparisons."""

from __future__ import annotations

import dataclasses
import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from nomul.network import (
    Add,
    Conv2d,
    Dense,
    Input,
    Lookup,
    MaxPool2d,
    Network,
    Output,
    UserError,
)
from nomul.network.model import Encoding
from nomul.sim.golden import evaluate, evaluate_levels, input_levels
from tests.network.reader import answer
from tests.network.strategies import graphs, networks
from tests.networks import random_levels, random_lookup, random_network


@settings(deadline=None, max_examples=100)
@given(network=networks() | graphs(max_size=3), seed=st.integers(0, 1000))
def test_answers_are_those_of_nested_loops(network: Network, seed: int) -> None:
    levels = random_levels(network, 4, seed)
    answers = evaluate_levels(network, levels)
    document = network.document()
    assert answers.tolist() == [
        answer(document.description, document.tensors, sample) for sample in levels.tolist()
    ]
    assert answers.dtype == np.int64


@settings(deadline=None, max_examples=100)
@given(network=graphs(), seed=st.integers(0, 1000))
def test_sums_are_pytorchs(network: Network, seed: int) -> None:
    """PyTorch has the same layers, and its sums of integers are exact in float64."""
    torch.set_num_threads(1)  # tensors this small only wait for each other on more
    grids = {
        "input": torch.from_numpy(
            random_levels(network, 3, seed).reshape(3, *network.shapes["input"])
        ).double()
    }
    for number, layer in enumerate(network.layers):
        name = f"layers.{number}"
        sources = [grids[source] for source in layer.sources]
        if isinstance(layer, Lookup):
            result = pytorch_lookup(layer, sources[0], network.level_counts[layer.source])
        elif isinstance(layer, MaxPool2d):
            result = functional.max_pool2d(sources[0], layer.size, layer.stride, layer.padding)
        else:
            result = pytorch_sums(layer, sources) + torch.tensor(layer.bias)[:, None, None]
            if layer.thresholds is not None:
                own = np.atleast_2d(layer.thresholds)[:, None, None]
                result = (result[..., None] >= torch.tensor(own)).double().sum(-1)
        assert result.shape[1:] == network.shapes[name]
        grids[name] = result
    answers = evaluate_levels(network, grids["input"].long().numpy().reshape(3, -1))
    flat = result.reshape(3, -1)
    expected = flat.numpy().argmax(1) if network.output.kind == "class" else flat.long().numpy()
    assert answers.tolist() == expected.tolist()


def pytorch_lookup(layer: Lookup, source: Any, n_levels: int | None) -> Any:
    """Return PyTorch's: all level bits as one row, a matrix of powers of two, and a gather."""
    width = len(f"{n_levels - 1:b}") if n_levels else 0
    flat = source.flatten(1).long()
    bits = torch.stack([flat // 2**place % 2 for place in range(width)], -1).flatten(1)
    powers = torch.zeros(bits.shape[1], layer.n_outputs, dtype=torch.long)
    for o, places in enumerate(layer.address_bit.tolist()):
        for j, place in enumerate(places):
            powers[place, o] += 2**j
    table = torch.tensor(layer.level_table.T).double()
    return table.gather(0, bits @ powers)[..., None, None]


def pytorch_sums(layer: Any, sources: list[Any]) -> Any:
    """Return PyTorch's sums in float64, level by level where the table has no factors."""
    if isinstance(layer, Add):
        return sum(sources)
    total: Any = 0
    for level, row in enumerate(layer.product_table):
        at_level = (sources[0] == level).double()
        weights = torch.from_numpy(row[layer.weight_index]).double()
        if isinstance(layer, Dense):
            total = total + functional.linear(at_level.flatten(1), weights)[..., None, None]
        elif isinstance(layer, Conv2d):
            total = total + functional.conv2d(
                at_level, weights, None, layer.stride, layer.padding, groups=layer.groups
            )
        else:
            total = total + functional.conv_transpose2d(
                at_level,
                weights,
                None,
                layer.stride,
                layer.padding,
                layer.output_padding,
                layer.groups,
            )
    return total


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


def identity(
    thresholds: NDArray[np.float64],
    shape: tuple[int, ...] = (1,),
    encoding: Encoding = "level",
) -> Network:
    """Return a network whose first accumulator is the sum of the input levels."""
    source = Input(shape, thresholds, encoding)
    layer = Dense(
        np.zeros((1, int(np.prod(source.level_shape))), np.uint8),
        np.arange(source.n_levels, dtype=np.int32)[:, None],
        np.zeros(1, np.int32),
    )
    return Network(source, (layer,), Output("accumulators"))


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


@pytest.mark.parametrize("factored", [False, True])
def test_partial_sums_beyond_32_bits_do_not_overflow(factored: bool) -> None:
    """Half of the products cancel the others: the accumulator is what the last one makes it."""
    largest = 2**31 - 1
    factors: dict[str, Any] = {
        "level_value": np.array([1, 1], np.int32),
        "centre": np.array([largest, -largest, 7], np.int32),
    }
    layer = Dense(
        np.array([[0] * 1000 + [1] * 1000 + [2]], np.uint8),
        np.array([[largest, -largest, 7]] * 2, np.int32),
        np.full(1, -largest, np.int32),
        **(factors if factored else {}),
    )
    network = Network(Input((2001,), np.array([0.5])), (layer,), Output("accumulators"))
    assert evaluate(network, np.zeros((1, 2001))).tolist() == [[7 - largest]]


def test_padding_is_no_level() -> None:
    """A level 0 adds 5, a level 1 adds 1; a padded position adds nothing."""
    layer = Conv2d(
        np.zeros((1, 1, 1, 3), np.uint8),
        np.array([[5], [1]], np.int32),
        np.zeros(1, np.int32),
        padding=(1, 1),
    )
    network = Network(Input((1, 3), np.array([0.5])), (layer,), Output("accumulators"))
    assert network.shapes["layers.0"] == (1, 3, 3)
    assert evaluate(network, [[[0.0, 1.0, 1.0]]]).tolist() == [[0, 0, 0, 6, 7, 2, 0, 0, 0]]


def test_a_padded_position_never_is_the_greatest_level() -> None:
    pool = MaxPool2d((2, 2), (1, 1), (1, 1))
    network = Network(Input((1, 1, 2), np.array([0.5, 1.5])), (pool,), Output("levels"))
    assert evaluate(network, [[[[0.0, 2.0]]]]).tolist() == [[0, 2, 2, 0, 2, 2]]


# Features of 4 levels have 2 bits, 1 of 2; 3 neurons of 2 address bits.
HAND_MADE = Lookup(
    np.array([[0, 1], [3, 0], [2, 2]], np.int32),
    np.array([[0, 1, 2, 3], [4, 3, 2, 1], [0, 9, 9, 4]], np.uint8),
    10,
)


@pytest.mark.parametrize(
    ("levels", "answer"),
    [
        # Neuron 0 reads level 0 itself. Neuron 1 reads bit 1 of level 1 first, then bit 0 of
        # level 0. Neuron 2 reads bit 0 of level 1 twice: its address is 0 or 3.
        ([0, 0], [0, 4, 0]),
        ([1, 0], [1, 2, 0]),
        ([2, 0], [2, 4, 0]),
        ([3, 0], [3, 2, 0]),
        ([0, 1], [0, 4, 4]),
        ([0, 2], [0, 3, 0]),
        ([3, 3], [3, 1, 4]),
    ],
)
def test_a_lookup_neuron_answers_what_its_table_has(levels: list[int], answer: list[int]) -> None:
    network = Network(Input((2,), np.arange(1.0, 4)), (HAND_MADE,), Output("levels"))
    assert evaluate(network, [levels]).tolist() == [answer]


def test_levels_of_several_bits_are_read_from_channels_in_c_order() -> None:
    """Of 3 levels each, the last of (2, 1, 2) has the bits 6 and 7; neuron 1 is a constant."""
    layer = Lookup(np.array([[6, 7], [0, 1]], np.int32), np.array([[7, 8, 9, 0], [5] * 4]), 10)
    layer = dataclasses.replace(layer, level_table=layer.level_table.astype(np.uint8))
    network = Network(Input((2, 1, 2), np.array([1.0, 2.0])), (layer,), Output("levels"))
    features = [[[[1, 2]], [[0, level]]] for level in range(3)]
    assert evaluate(network, features).tolist() == [[7, 5], [8, 5], [9, 5]]


def test_all_twelve_address_bits_count() -> None:
    """Neurons whose table is 1 at a single address: of all 4,096, each answers to its own."""
    addresses = [0, 1, 2047, 2048, 4094, 4095]
    table = np.zeros((len(addresses), 4096), np.uint8)
    table[np.arange(len(addresses)), addresses] = 1
    layer = Lookup(np.tile(np.arange(12, dtype=np.int32), (len(addresses), 1)), table, 2)
    network = Network(Input((12,), np.array([0.5])), (layer,), Output("levels"))
    levels = np.arange(4096)[:, None] >> np.arange(12) & 1
    answers = evaluate_levels(network, levels)
    assert np.argwhere(answers).tolist() == [[address, o] for o, address in enumerate(addresses)]


def test_the_greatest_level_leaves_a_lookup_layer() -> None:
    table = np.array([[255, 0], [0, 255]], np.uint8)
    first = Lookup(np.array([[0], [0]], np.int32), table, 256)
    bits = Lookup(np.arange(16, dtype=np.int32)[:, None], np.array([[0, 1]] * 16, np.uint8), 2)
    layers = (first, dataclasses.replace(bits, source="layers.0"))
    network = Network(Input((1,), np.array([0.5])), layers, Output("levels"))
    assert evaluate(network, [[0], [1]]).tolist() == [[1] * 8 + [0] * 8, [0] * 8 + [1] * 8]


def test_thermometer_bits_follow_their_channel() -> None:
    thresholds = np.array([0.0, 1.0, 2.0])
    network = identity(thresholds, (2, 2), "thermometer")
    features = [[[0.0, 1.0], [2.0, -1.0]]]
    assert network.input.level_shape == (6, 2)
    bits = input_levels(network, features).reshape(6, 2)
    assert bits.tolist() == [[1, 1], [0, 1], [0, 0], [1, 0], [1, 0], [1, 0]]
    assert evaluate(network, features).tolist() == [[6]]


def test_thermometer_bits_have_their_features_own_thresholds() -> None:
    network = identity(np.array([[0.0, 1.0], [10.0, 20.0]]), (2,), "thermometer")
    assert input_levels(network, [[0.5, 20.0], [1.0, 5.0]]).tolist() == [[1, 0, 1, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.bool_])
def test_features_may_be_of_any_dtype(dtype: Any) -> None:
    network = identity(np.array([0.5]))
    assert evaluate(network, np.array([[0], [1]], dtype)).tolist() == [[0], [1]]


@pytest.mark.parametrize("n_samples", [1, 7])
def test_samples_are_answered_alike_in_chunks(
    n_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network((6, 5, 3), (4, 4), output="accumulators")
    features = np.random.default_rng(0).uniform(0, 4, (n_samples, 6))
    at_once = evaluate(network, features)
    monkeypatch.setattr("nomul.sim.golden._BYTES_AT_ONCE", 100)
    assert np.array_equal(evaluate(network, features), at_once)


def test_lookup_layers_answer_alike_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = (random_lookup(40, 6, 18, 4), random_lookup(9, 5, 80, 7, source="layers.0"))
    network = Network(Input((9,), np.array([1.0, 2.0])), layers, Output("levels"))
    levels = random_levels(network, 50)
    at_once = evaluate_levels(network, levels)
    # Of 40 neurons, three numbers each, 2 samples at once.
    monkeypatch.setattr("nomul.sim.golden._BYTES_AT_ONCE", 8 * 3 * 40 * 2)
    assert np.array_equal(evaluate_levels(network, levels), at_once)


def test_lookup_layers_take_no_more_memory_for_more_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All samples at once would take 17 MB: an address of 8 bytes for each of 1,000 neurons."""
    layers = (random_lookup(1000, 6, 64, 2), random_lookup(1, 6, 1000, 2, source="layers.0"))
    network = Network(Input((64,), np.array([0.5])), layers, Output("levels"))
    monkeypatch.setattr("nomul.sim.golden._BYTES_AT_ONCE", 1 << 20)
    levels = random_levels(network, 1000).astype(np.uint8)
    tracemalloc.start()
    evaluate_levels(network, levels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


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
