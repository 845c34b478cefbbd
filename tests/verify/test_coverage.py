"""Coverage, held to what changes when a table's entry is changed, and to counts by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    Lookup,
    MaxPool2d,
    Network,
    Output,
    Weighted,
)
from nomul.verify.coverage import LayerCoverage, Tally, coverage
from tests.hw.benches import all_or_some_levels
from tests.networks import random_levels, random_network
from tests.strategies import ENGINE, networks, sample_levels
from tests.torch_network import torch_answers, torch_outcomes

# Small tables, and room for one more.
SMALL_TABLES = dataclasses.replace(
    ENGINE, level_counts=(2, 3, 5), least_sum=-1000, greatest_sum=1000
)


WithTable = Dense | Conv2d | ConvTranspose2d | Lookup


def sums_of(
    network: Network, number: int, layer: WithTable, levels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return PyTorch's sums, or a lookup layer's levels, of ``layer`` in the place of another."""
    kind = Output("levels" if isinstance(layer, Lookup) else "accumulators")
    cut = Network(network.input, (*network.layers[:number], layer), kind)
    return torch_answers(cut, levels)


def entries_that_matter(network: Network, number: int, levels: NDArray[np.int64]) -> Tally:
    """Count the entries that change some sum, or level of a lookup layer, when they change."""
    layer = network.layers[number]
    changed: list[WithTable] = []
    plain: WithTable
    if isinstance(layer, Lookup):
        plain = layer
        for place in np.ndindex(layer.level_table.shape):
            levels_table = layer.level_table.copy()
            levels_table[place] = (levels_table[place] + 1) % layer.levels
            changed.append(dataclasses.replace(layer, level_table=levels_table))
    else:
        assert isinstance(layer, (Dense, Conv2d, ConvTranspose2d))
        plain = dataclasses.replace(layer, thresholds=None, level_value=None, centre=None)
        for level in range(layer.n_levels_in):
            for value in np.unique(layer.weight_index).tolist():
                table = plain.product_table.copy()
                table[level, value] += 1
                changed.append(dataclasses.replace(plain, product_table=table))
    before = sums_of(network, number, plain, levels)
    n_seen = sum(
        not np.array_equal(sums_of(network, number, other, levels), before) for other in changed
    )
    return Tally(n_seen, len(changed))


def thresholds_that_part(network: Network, number: int, levels: NDArray[np.int64]) -> int:
    """Count the thresholds with sums on both sides, one by one."""
    layer = network.layers[number]
    assert isinstance(layer, (Dense, Conv2d, ConvTranspose2d))
    assert layer.thresholds is not None
    sums = sums_of(network, number, dataclasses.replace(layer, thresholds=None), levels)
    by_channel = sums.reshape(len(levels), layer.n_channels, -1)
    own = np.broadcast_to(layer.thresholds, (layer.n_channels, layer.thresholds.shape[-1]))
    return sum(
        len(set((by_channel[:, channel] >= threshold).ravel().tolist())) == 2
        for channel in range(layer.n_channels)
        for threshold in own[channel].tolist()
    )


def levels_that_are_read(network: Network, number: int, levels: NDArray[np.int64]) -> Tally:
    """Count the levels of each input, but for those of channels without any product."""
    layer = network.layers[number]
    assert not isinstance(layer, Add)
    given = [levels, *torch_outcomes(network, levels)]
    source = given[0 if layer.source == "input" else 1 + int(layer.source.removeprefix("layers."))]
    source = source.reshape(len(levels), *network.shapes[layer.source])
    n_levels = network.level_counts[layer.source]
    assert n_levels is not None
    if isinstance(layer, (Dense, Lookup)):
        source = source.reshape(len(levels), -1, 1, 1)
    read = set(range(source.shape[1]))
    if isinstance(layer, Lookup):
        bits = len(f"{n_levels - 1:b}")
        read = {bit // bits for bit in layer.address_bit.ravel().tolist()}
    elif isinstance(layer, Weighted):
        groups, transposed = getattr(layer, "groups", 1), isinstance(layer, ConvTranspose2d)
        read = set()
        for place in np.ndindex(layer.weight_index.shape):
            if not layer.product_table[:, layer.weight_index[place]].any():
                continue
            own = 0 if transposed else place[0] // (layer.n_channels // groups)
            first = own * layer.weight_index.shape[1]
            read.add(place[0] if transposed else first + place[1])
    pairs = {
        (channel, y, x, level)
        for sample in source
        for (channel, y, x), level in np.ndenumerate(sample)
        if channel in read
    }
    return Tally(len(pairs), len(read) * source[0, 0].size * n_levels)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(networks(("dense", "conv", "transposed", "pool", "lookup"), SMALL_TABLES, max_size=3))
def test_entries_and_thresholds_that_are_seen_are_those_that_matter(network: Network) -> None:
    levels = sample_levels(network, 4)
    found = coverage(network, levels)
    for number, (layer, counted) in enumerate(zip(network.layers, found.layers, strict=True)):
        assert counted.levels == levels_that_are_read(network, number, levels)
        if isinstance(layer, MaxPool2d):
            assert counted == LayerCoverage(f"layers.{number}", counted.levels, None, None)
            continue
        assert counted.entries == entries_that_matter(network, number, levels)
        if counted.thresholds is not None:
            assert counted.thresholds.seen == thresholds_that_part(network, number, levels)
            total = counted.thresholds.exist + counted.n_unreachable
            assert total == layer.n_channels * ((layer.n_levels or 0) - 1)


def test_all_samples_there_are_cross_all_thresholds_that_can_be_crossed() -> None:
    network = random_network((4, 3), (3, 5), output="levels")
    found = coverage(network, all_or_some_levels(3, 4, 81)).layers[0]
    assert found.thresholds is not None
    assert found.thresholds.seen == found.thresholds.exist > 5
    assert found.n_unreachable == 12 - found.thresholds.exist > 0


def residual() -> Network:
    """Return the sum of two neurons' sums, each the level of its input, against 2 and 9."""
    table, bias = np.array([[0, 0], [0, 1], [0, 2]], np.int32), np.zeros(1, np.int32)
    made = [Dense(np.array([[n, 1 - n]], np.uint8), table, bias) for n in (0, 1)]
    added = Add(np.zeros(1, np.int32), np.array([2, 9], np.int32), ("layers.0", "layers.1"))
    return Network(Input((2,), np.array([1.0, 2.0])), (*made, added), Output("levels"))


def test_sums_of_sums_cross_thresholds() -> None:
    few, more = (coverage(residual(), np.array(levels)) for levels in ([[0, 1]], [[0, 1], [1, 1]]))
    assert few.layers[2] == LayerCoverage("layers.2", None, None, Tally(0, 1), 1)
    assert more.layers[2] == LayerCoverage("layers.2", None, None, Tally(1, 1), 1)
    # The first neuron has the first weight value, all zeros, at the first input.
    assert few.layers[0].entries == Tally(2, 6)
    assert more.layers[0].entries == Tally(3, 6)
    assert more.classes is None
    assert more.lines() == [
        "layers.0: levels at inputs 1 of 3 (33.3 %), table entries 3 of 6 (50.0 %)",
        "layers.1: levels at inputs 2 of 3 (66.7 %), table entries 3 of 6 (50.0 %)",
        "layers.2: thresholds crossed 1 of 1 (100.0 %), 1 more are out of reach",
    ]


def test_classes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network((6, 5, 3), (4, 4))
    levels = random_levels(network, 300)
    whole = coverage(network, levels)
    assert whole.n_samples == 300
    assert whole.classes == Tally(len(set(torch_answers(network, levels).tolist())), 3)
    assert coverage(network, levels[:1]).classes == Tally(1, 3)
    monkeypatch.setattr("nomul.sim.golden._BYTES_AT_ONCE", 1000)
    assert coverage(network, levels) == whole


def test_no_sample_covers_nothing() -> None:
    network = random_network((6, 5, 3), (4, 4))
    found = coverage(network, np.zeros((0, 6), np.int64))
    assert found.classes == Tally(0, 3)
    assert [layer.entries.seen for layer in found.layers if layer.entries] == [0, 0]
    assert [layer.thresholds.seen for layer in found.layers if layer.thresholds] == [0]
