"""Branches and shortcuts, by enumeration; whole residuals: test_folding.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nomul.hw.residual import branches, is_straight, levels_read, shortcut_taps
from nomul.network import Add, Conv2d, Dense, Network
from tests.hw.folded import NETWORKS
from tests.networks import random_tables


def pointwise(n_out: int, n_in: int, groups: int) -> Conv2d:
    return Conv2d(**random_tables((n_out, n_in, 1, 1), n_out, 4, None), groups=groups)


def added(network: Network) -> Add:
    layer = network.layers[-1]
    assert isinstance(layer, Add)
    return layer


@pytest.mark.parametrize("case", ["a shortcut with strides", "a channel goes straight on"])
def test_the_branch_of_one_position_is_the_shortcut_in_either_order(case: str) -> None:
    network = NETWORKS[case]
    for layer in (
        added(network),
        dataclasses.replace(added(network), sources=added(network).sources[::-1]),
    ):
        found = branches(network, "layers.3", layer)
        assert (found.body_name, found.shortcut_name) == ("layers.1", "layers.2")
        assert (found.body, found.shortcut) == network.layers[1:3]


def test_a_layer_that_is_added_to_itself_is_both_branches() -> None:
    network = NETWORKS["neurons of two sums"]
    twice = dataclasses.replace(added(network), sources=("layers.2", "layers.2"))
    found = branches(network, "layers.3", twice)
    assert found.body is found.shortcut is network.layers[2]


def test_a_residual_reads_what_its_branches_read() -> None:
    network = NETWORKS["a shortcut with strides"]
    assert levels_read(network, network.layers[-1]) == ("layers.0", "layers.0")
    assert levels_read(network, network.layers[0]) == ("input",)


@pytest.mark.parametrize(("n_out", "n_in", "groups"), [(6, 4, 1), (6, 2, 2), (4, 1, 4), (4, 1, 2)])
def test_a_shortcut_s_taps_are_the_products_of_its_groups(
    n_out: int, n_in: int, groups: int
) -> None:
    """Blocks of three channels; where channels go straight on, a block sees its own alone."""
    layer = pointwise(n_out, n_in, groups)
    taps = shortcut_taps(layer, (n_in * groups, 1, 1), n_out, 3)
    levels = np.arange(n_in * groups) % 4
    for channel in range(n_out):
        seen = channel // (n_out // groups) * n_in + np.arange(n_in)
        expected = layer.product_table[levels[seen], layer.weight_index[channel, :, 0, 0]].sum()
        first = channel // 3 * 3 if is_straight(layer) else 0
        behind = np.append(levels, [3, 3, 3])  # another position's, which must not count
        block = behind[first : first + taps.weight_index.shape[1]]
        assert taps.product_table[block, taps.weight_index[channel]].sum() == expected


def test_a_dense_shortcut_sees_its_map_position_by_position() -> None:
    layer = Dense(**random_tables((2, 2 * 3), 2, 4, None))
    taps = shortcut_taps(layer, (2, 1, 3), 2, 2)
    order = [0, 3, 1, 4, 2, 5]
    assert (taps.weight_index == layer.weight_index[:, order]).all()


def test_only_a_channel_that_sees_itself_alone_goes_straight_on() -> None:
    assert is_straight(pointwise(4, 1, 4))
    assert not is_straight(pointwise(4, 1, 2))
    assert not is_straight(pointwise(1, 1, 1))
    assert not is_straight(Dense(**random_tables((2, 2), 2, 4, None)))
