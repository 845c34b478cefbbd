from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import unsigned

from nomul.hw.dense import UnrolledDense
from nomul.hw.widths import accumulator_width, level_width
from nomul.network import Dense
from tests.hw.benches import check_dense, dense, elaborated

EXTREME = 2**31 - 1
THIRD = EXTREME // 3  # three of them are the greatest accumulator

# Columns over four levels, of every form that a term can take.
WIRE, DOUBLE, FALLING, PEAK, COMMON = (
    [0, 1, 2, 3],
    [0, 2, 4, 6],
    [9, 6, 2, -4],
    [1, 5, -2, 0],
    [0, 24, -8, 16],
)
ZERO, CONSTANT = [0, 0, 0, 0], [7, 7, 7, 7]

LAYERS: dict[str, Dense] = {
    "one input, one neuron, wires alone": dense([WIRE], [[0]]),
    "one input, one neuron, one falling column": dense([FALLING], [[0]], bias=[-3]),
    "a column that neither rises nor falls": dense([PEAK], [[0, 0]]),
    "columns with common factors of two": dense([COMMON, DOUBLE], [[0, 1], [1, 1]]),
    "operands that do not overlap": dense([WIRE, [0, 64, 128, 192]], [[0, 1], [1, 0]]),
    "operands with a gap between": dense([WIRE, [0, 256, 512, 768]], [[0, 1]]),
    "all products zero": dense([ZERO], [[0, 0], [0, 0]]),
    "all products zero, with biases": dense([ZERO], [[0], [0], [0]], bias=[5, 0, -5]),
    "constant columns": dense([CONSTANT], [[0, 0, 0]], bias=[-20]),
    "falling columns alone": dense([FALLING], [[0, 0, 0]]),
    "negative biases": dense([WIRE, FALLING], [[0, 1], [0, 0]], bias=[-9, -1]),
    "a bias that all else cancels": dense([WIRE], [[0, 0]], bias=[-6]),
    "two levels": dense([[0, 1], [0, -1], [3, -4]], [[0, 1, 2, 2], [1, 1, 1, 1]]),
    "three levels": dense([[-1, 0, 1], [2, 0, -2]], [[0, 1, 0], [1, 0, 1]]),
    "five levels": dense([[-3, 1, 4, 1, 5], [9, 2, 6, 5, 3]], [[0, 1], [1, 1]]),
    "256 levels": dense([list(range(256)), list(range(127, -129, -1))], [[0, 1], [1, 1]]),
    "the greatest entries": dense([[-THIRD, THIRD], [THIRD, -THIRD - 1]], [[0, 1, 0]]),
    "the greatest bias": dense([[0, THIRD]], [[0, 0]], bias=[THIRD]),
    "the least bias": dense([[0, -THIRD]], [[0, 0]], bias=[-THIRD - 2]),
    "neurons of very different fan-in": dense(
        [ZERO, WIRE, FALLING, PEAK],
        [[0] * 20, [1] + [0] * 19, [1, 2, 3, 3] * 5, [2] * 20],
        bias=[1, -1, 0, 3],
    ),
    "seventeen operands": dense([[0, 1], [1, 0]], [[0] * 17, [1] * 17, [0] * 8 + [1] * 9]),
}


@pytest.mark.parametrize("case", LAYERS)
def test_accumulators_are_the_golden_models(case: str) -> None:
    hardware = check_dense(LAYERS[case])
    assert hardware.o.payload.shape().elem_shape.width == accumulator_width(LAYERS[case])


def with_thresholds(layer: Dense, thresholds: list[int] | list[list[int]]) -> Dense:
    return Dense(
        layer.weight_index,
        layer.product_table,
        layer.bias,
        np.array(thresholds, np.int32),
    )


# The accumulators of the first layer are -23..23, those of the second -27..22.
MIXED = dense([WIRE, FALLING, PEAK], [[0, 1, 2], [1, 1, 0]], bias=[5, -10])
THRESHOLDS: dict[str, list[int] | list[list[int]]] = {
    "one": [0],
    "one apart": [-1, 0, 1, 2, 3],
    "repeated": [3, 3, 3],
    "some repeated": [-4, -4, 0, 5, 5, 5, 9],
    "below all": [-1000, -999],
    "above all": [998, 999],
    "below, inside and above": [-EXTREME - 1, 0, EXTREME],
    "for each neuron its own": [[-3, 0, 3], [-14, 1, 2]],
    "for one neuron below and for one above": [[-99, -98], [98, 99]],
    "as many as 255": list(range(-120, 135)),
    "every accumulator's own": list(range(-40, 41)),
}


@pytest.mark.parametrize("case", THRESHOLDS)
def test_levels_are_the_golden_models(case: str) -> None:
    layer = with_thresholds(MIXED, THRESHOLDS[case])
    hardware = check_dense(layer)
    assert layer.n_levels is not None
    element = hardware.o.payload.shape().elem_shape
    assert element == unsigned(level_width(layer.n_levels))


@pytest.mark.parametrize("case", LAYERS)
def test_thresholds_absorb_the_constant_of_any_layer(case: str) -> None:
    layer = LAYERS[case]
    check_dense(with_thresholds(layer, [-9, -1, 0, 1, 6, 12]), n_samples_max=32)


@pytest.mark.parametrize("n_levels", [2, 3, 4, 5, 9, 40])
@pytest.mark.parametrize("n_levels_in", [2, 3, 6, 17, 256])
def test_any_number_of_levels_comes_in_and_goes_out(n_levels_in: int, n_levels: int) -> None:
    rng = np.random.default_rng([n_levels_in, n_levels])
    columns = rng.integers(-20, 21, (2, n_levels_in)).tolist()
    thresholds = np.sort(rng.integers(-45, 46, n_levels - 1)).tolist()
    check_dense(dense(columns, [[0, 1], [1, 1]], thresholds=thresholds), n_samples_max=12)


# One cycle for each factor of four in the largest tree, at least one; one for the subtraction; and
# one for the comparison.
@pytest.mark.parametrize(
    ("n_operands", "n_cycles"), [(0, 2), (1, 2), (4, 2), (5, 3), (16, 3), (17, 4), (65, 5)]
)
def test_the_latency_follows_from_the_largest_tree(n_operands: int, n_cycles: int) -> None:
    unused = 65 - n_operands
    layer = dense([[0, 0], [0, 1]], [[1] * n_operands + [0] * unused])
    hardware = elaborated(UnrolledDense(layer))
    assert (hardware.latency, hardware.initiation_interval) == (n_cycles, 1)
    assert elaborated(UnrolledDense(with_thresholds(layer, [1]))).latency == n_cycles + 1


def test_positive_and_negative_terms_make_two_trees() -> None:
    layer = dense([[0, 1], [0, -1]], [[0] * 16 + [1] * 16])
    assert elaborated(UnrolledDense(layer)).latency == 3
