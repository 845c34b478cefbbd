from __future__ import annotations

import numpy as np
import pytest

from nomul.hw.cost import KINDS, count_parts, widest_sum
from nomul.hw.widths import accumulator_width
from nomul.network import Dense
from tests.hw.benches import dense, network_of
from tests.networks import dense_layers, random_network

WIRE, TABLE = [0, 1, 2, 3], [0, 3, 1, 2]


def count(layer: Dense) -> dict[str, int]:
    parts = count_parts(network_of(layer))
    assert tuple(parts) == KINDS
    assert parts.pop("link") == 1
    return {kind: number for kind, number in parts.items() if number}


def with_thresholds(layer: Dense, *thresholds: int) -> Dense:
    return Dense(
        layer.weight_index, layer.product_table, layer.bias, np.array(thresholds, np.int32)
    )


def test_a_wire_costs_its_registers_alone() -> None:
    # Two bits behind the tree and two behind the subtraction, which there is none of.
    assert count(dense([WIRE], [[0]])) == {"input_bits": 2, "register_bits": 4, "waiting_bits": 4}


def test_all_products_zero_cost_nothing() -> None:
    assert count(dense([[0] * 4], [[0, 0], [0, 0]])) == {"input_bits": 4}


def test_a_table_is_counted_once_for_all_neurons_that_use_it() -> None:
    once = count(dense([TABLE], [[0]]))
    assert once["table_luts"] == 2
    assert count(dense([TABLE], [[0]] * 5))["table_luts"] == 2
    assert count(dense([TABLE], [[0, 0]]))["table_luts"] == 4


@pytest.mark.parametrize(
    ("n_levels", "n_luts"),
    [(3, 1), (4, 1), (16, 1), (17, 2), (32, 2), (64, 5), (128, 10), (256, 21)],
)
def test_a_bit_of_a_table_takes_more_luts_with_more_levels(n_levels: int, n_luts: int) -> None:
    one_bit = [0, 1] + [0] * (n_levels - 2)
    three_bits = [0, 5] + [0] * (n_levels - 2)
    assert count(dense([one_bit], [[0]]))["table_luts"] == n_luts
    assert count(dense([three_bits], [[0]]))["table_luts"] == 3 * n_luts


def test_narrow_adders_are_gates_and_wide_ones_chains() -> None:
    narrow = count(dense([list(range(8))], [[0, 0]]))  # 3 bits and 3 bits make 4
    assert (narrow["gate_luts"], narrow["adders"], narrow.get("chain_bits", 0)) == (5, 1, 0)
    wide = count(dense([list(range(16))], [[0, 0]]))  # 4 bits and 4 bits make 5
    assert (wide["chain_bits"], wide["adders"], wide.get("gate_luts", 0)) == (5, 1, 0)


def test_operands_that_do_not_overlap_need_no_adder() -> None:
    parts = count(dense([WIRE, [0, 4, 8, 12]], [[0, 1]]))
    assert not parts.keys() & {"gate_luts", "chain_bits", "adders"}


def test_two_signs_need_one_subtraction() -> None:
    parts = count(dense([WIRE, [0, -1, -2, -3]], [[0, 1]]))
    assert (parts["adders"], parts["chain_bits"]) == (1, 3)


def test_thresholds_that_are_always_or_never_reached_cost_nothing() -> None:
    layer = dense([WIRE], [[0]])  # 0 to 3
    inner = count(with_thresholds(layer, 1, 3))
    assert inner["comparison_bits"] == 2 * 2
    assert count(with_thresholds(layer, -5, 0, 1, 3, 4, 90)) == inner
    assert count(with_thresholds(layer, 1, 1, 3, 3)) == inner


def test_an_arg_max_has_one_match_less_than_values() -> None:
    network = random_network((3, 7), (4,))
    (layer,) = dense_layers(network)
    layers = count_parts(network_of(layer))["register_bits"]
    parts = count_parts(network)
    width = accumulator_width(layer)
    assert parts["arg_max_bits"] == 6 * (2 * width + 3)
    # Four, two and one entry stay; in the first round one of them has no match.
    assert parts["register_bits"] - layers == (4 + 2 + 1) * (width + 3)


def test_a_larger_network_has_at_least_as_many_parts() -> None:
    (layer,) = dense_layers(random_network((6, 9), (4,)))
    for n_neurons in range(1, 9):
        fewer, more = (
            count_parts(
                network_of(Dense(layer.weight_index[:n], layer.product_table, layer.bias[:n]))
            )
            for n in (n_neurons, n_neurons + 1)
        )
        grown = {kind: more[kind] - fewer[kind] for kind in KINDS}
        if grown.pop("table_luts") >= 0:
            assert all(number >= 0 for number in grown.values())


def test_the_widest_sum_is_over_all_layers() -> None:
    network = random_network((5, 4, 3), (4, 3))
    widths = [accumulator_width(layer) for layer in dense_layers(network)]
    assert widest_sum(network) == max(widths)
