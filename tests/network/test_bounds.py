"""The least and greatest accumulators are exactly those that inputs attain."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    Layer,
    Network,
    Output,
    accumulator_bounds,
)
from nomul.network import bounds as module
from nomul.sim.golden import evaluate_levels
from tests.network.strategies import graphs
from tests.networks import dense_layers, random_levels, random_network, random_tables

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
    (layer,) = dense_layers(network)
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


def conv(kernel: tuple[int, int], **geometry: Any) -> Conv2d:
    weights = (4, 2 // geometry.get("groups", 1), *kernel)
    return Conv2d(**random_tables(weights, 4, 2, None), **geometry)


def transposed(kernel: tuple[int, int], **geometry: Any) -> ConvTranspose2d:
    groups = geometry.get("groups", 1)
    return ConvTranspose2d(**random_tables((2, 4 // groups, *kernel), 4, 2, None), **geometry)


@pytest.mark.parametrize(
    "layer",
    [
        conv((1, 1)),
        conv((1, 1), padding=(1, 1)),
        conv((2, 2)),
        conv((3, 3), padding=(1, 1)),
        conv((3, 3), padding=(2, 1), stride=(2, 3), groups=2),
        transposed((2, 2), stride=(2, 2)),
        transposed((3, 3), stride=(2, 1), padding=(1, 1), output_padding=(1, 0)),
        transposed((2, 1), stride=(3, 2), groups=2),
    ],
)
def test_bounds_of_a_convolution_are_attained_at_some_position(
    layer: Conv2d | ConvTranspose2d,
) -> None:
    """All levels of two channels of 2 x 2 positions are tried."""
    network = Network(Input((2, 2, 2), np.array([0.5])), (layer,), Output("accumulators"))
    levels = np.array(list(itertools.product(range(2), repeat=8)))
    sums = evaluate_levels(network, levels).reshape(len(levels), *network.shapes["layers.0"])
    least, greatest = network.bounds["layers.0"]
    assert least.tolist() == sums.min(axis=(0, 2, 3)).tolist()
    assert greatest.tolist() == sums.max(axis=(0, 2, 3)).tolist()


def test_where_padding_alone_is_seen_the_bias_is_the_accumulator() -> None:
    layer = Conv2d(
        np.zeros((1, 1, 1, 1), np.uint8),
        np.array([[3], [5]], np.int32),
        np.array([-1], np.int32),
        padding=(0, 1),
    )
    network = Network(Input((1, 1), np.array([0.5])), (layer,), Output("accumulators"))
    least, greatest = network.bounds["layers.0"]
    assert (least.tolist(), greatest.tolist()) == ([-1], [4])


def test_bounds_of_a_sum_are_the_sums_of_bounds() -> None:
    one, other = (
        Dense(**random_tables((3, 2), 3, 2, None, seed=seed), source="input") for seed in (1, 2)
    )
    bias = np.array([5, 0, -5], np.int32)
    layers: tuple[Layer, ...] = (one, other, Add(bias, None, ("layers.0", "layers.1", "layers.0")))
    bounds = Network(Input((2,), np.array([0.5])), layers).bounds
    for end in (0, 1):
        ends = 2 * bounds["layers.0"][end] + bounds["layers.1"][end] + bias
        assert bounds["layers.2"][end].tolist() == ends.tolist()


@settings(deadline=None, max_examples=50)
@given(network=graphs())
def test_no_accumulator_leaves_its_bounds(network: Network) -> None:
    name = f"layers.{len(network.layers) - 1}"
    if network.output.kind == "accumulators":
        answers = evaluate_levels(network, random_levels(network, 20))
        sums = answers.reshape(20, *network.shapes[name])
        least, greatest = network.bounds[name]
        assert np.all(sums >= least[:, None, None])
        assert np.all(sums <= greatest[:, None, None])
    assert network.bounds.keys() == {
        f"layers.{number}"
        for number, layer in enumerate(network.layers)
        if layer.kind not in ("max_pool2d", "lookup")
    }


def reached(
    size: int, n_out: int, kernel: int, stride: int, padding: int, *, transposed: bool
) -> set[tuple[int, ...]]:
    """Return the sets of taps that meet an input, found position by position."""
    sets = set()
    for position in range(n_out):
        if transposed:
            met = [divmod(position + padding - tap, stride) for tap in range(kernel)]
            taps = [tap for tap, (i, rest) in enumerate(met) if rest == 0 and 0 <= i < size]
        else:
            first = position * stride - padding
            taps = [tap for tap in range(kernel) if 0 <= first + tap < size]
        sets.add(tuple(taps))
    return sets


@pytest.mark.parametrize("kernel", range(1, 8))
@pytest.mark.parametrize("stride", [1, 2, 3, 7, 11])
def test_sums_are_those_of_the_taps_that_some_position_reaches(kernel: int, stride: int) -> None:
    """Each tap counts a power of two, so that a sum names its taps; padding is wide."""
    taps = np.array([[1 << tap for tap in range(kernel)]])
    for size, padding, added in itertools.product((1, 2, 5), range(2 * kernel), range(2)):
        geometry = [(module._reached, (size + 2 * padding - kernel) // stride + 1)]
        if added < stride:
            n_out = (size - 1) * stride - 2 * padding + kernel + added
            geometry.append((module._reached_transposed, n_out))
        for transposed, (find, n_out) in enumerate(geometry):
            if n_out > 0:
                found = find(size, n_out, kernel, stride, padding).sums(taps)[0].tolist()
                sets = reached(size, n_out, kernel, stride, padding, transposed=bool(transposed))
                assert set(found) == {sum(1 << tap for tap in taken) for taken in sets}


@pytest.mark.parametrize("find", [module._reached, module._reached_transposed])
def test_millions_of_positions_are_a_few_sets(find: Any) -> None:
    """So a file of a few bytes takes no more time or memory than its size allows."""
    assert len(find(1 << 23, 1 << 23, 5, 1, 2).first) < 30
