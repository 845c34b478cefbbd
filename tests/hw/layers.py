"""Dense layers of every form that the hardware treats in its own way."""

from __future__ import annotations

import numpy as np

from nomul.network import Dense
from tests.hw.benches import dense

__all__ = ["EXTREME", "LAYERS", "MIXED", "THRESHOLDS", "with_thresholds"]

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
    "the widest entry": dense([[-EXTREME - 1, EXTREME], [-1, 0]], [[0], [1]]),
    "neurons of very different fan-in": dense(
        [ZERO, WIRE, FALLING, PEAK],
        [[0] * 20, [1] + [0] * 19, [1, 2, 3, 3] * 5, [2] * 20],
        bias=[1, -1, 0, 3],
    ),
    "seventeen operands": dense([[0, 1], [1, 0]], [[0] * 17, [1] * 17, [0] * 8 + [1] * 9]),
    "neurons that are alike": dense([WIRE, PEAK, [0, -3, -6, -9]], [[0, 1, 2]] * 3),
    "neurons that have a part in common": dense(
        [WIRE, DOUBLE, [0, -1, -2, -3], [0, 5, 10, 15]],
        [[0, 1, 2, 3], [0, 1, 3, 2], [2, 0, 0, 1], [1, 0, 2, 2]],
    ),
    "weights of many digits, levels too wide for a table": dense(
        [[1365 * level for level in range(256)], [-85 * level for level in range(256)]],
        [[0, 1], [1, 0]],
    ),
}


def with_thresholds(layer: Dense, thresholds: list[int] | list[list[int]]) -> Dense:
    return Dense(
        layer.weight_index,
        layer.product_table,
        layer.bias,
        np.array(thresholds, np.int32),
    )


# The accumulators of the first neuron are -23..23, those of the second -27..22.
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
