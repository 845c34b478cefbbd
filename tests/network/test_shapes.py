"""Shapes of what layers give; those of windows against PyTorch's in tests/sim/test_golden.py."""

from __future__ import annotations

import numpy as np
import pytest

from nomul.network import Add, Conv2d, ConvTranspose2d, Dense, MaxPool2d
from nomul.network.shapes import (
    Shape,
    all_level_counts,
    all_shapes,
    input_shape,
    layer_shape,
    level_shape,
    level_width,
    n_level_bits,
)
from tests.networks import random_lookup, random_tables


@pytest.mark.parametrize(
    ("levels", "seen"),
    [
        ((7,), (7, 1, 1)),
        ((2, 7), (2, 1, 7)),
        ((2, 3, 7), (2, 3, 7)),
        ((2, 3, 5, 7), (210, 1, 1)),
    ],
)
def test_layers_see_three_axes(levels: tuple[int, ...], seen: Shape) -> None:
    assert input_shape(levels) == seen


@pytest.mark.parametrize("features", [(3,), (3, 2), (3, 2, 4), (3, 1, 2, 4)])
def test_a_thermometer_multiplies_the_channels(features: tuple[int, ...]) -> None:
    thresholds = np.zeros(5)
    assert level_shape(features, thresholds, "level") == features
    assert level_shape(features, thresholds, "thermometer") == (15, *features[1:])


# Sizes worked out by hand: the first and the last window that fit.
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "n_windows"),
    [(5, 3, 1, 0, 3), (5, 3, 2, 1, 3), (6, 3, 2, 0, 2), (4, 5, 1, 0, 0), (1, 1, 3, 2, 2)],
)
def test_windows_are_counted(
    size: int, kernel: int, stride: int, padding: int, n_windows: int
) -> None:
    source = (4, 1, size)
    conv = Conv2d(
        **random_tables((6, 4, 1, kernel), 6, 2, None), stride=(1, stride), padding=(0, padding)
    )
    assert layer_shape(conv, source) == (6, 1, n_windows)
    pool = MaxPool2d((1, kernel), (1, stride), (0, padding))
    assert layer_shape(pool, source) == (4, 1, n_windows)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "added", "n_positions"),
    [(3, 3, 1, 0, 0, 5), (3, 3, 2, 1, 1, 6), (2, 1, 3, 0, 2, 6), (1, 2, 2, 1, 0, 0)],
)
def test_a_transposed_convolution_spreads(
    size: int, kernel: int, stride: int, padding: int, added: int, n_positions: int
) -> None:
    layer = ConvTranspose2d(
        **random_tables((4, 3, kernel, 1), 6, 2, None),
        stride=(stride, 1),
        padding=(padding, 0),
        output_padding=(added, 0),
        groups=2,
    )
    assert layer_shape(layer, (4, size, 1)) == (6, n_positions, 1)


def test_shapes_and_levels_follow_the_graph() -> None:
    layers = (
        Conv2d(**random_tables((2, 3, 1, 1), 2, 4, None)),
        Add(np.zeros(2, np.int32), np.arange(4, dtype=np.int32), ("layers.0", "layers.0")),
        MaxPool2d((2, 2), (2, 2), source="layers.1"),
        MaxPool2d((1, 1), (2, 2), source="layers.2"),
        Dense(**random_tables((7, 18), 7, 5, None), source="layers.2"),
        random_lookup(9, 2, 24, 6, source="layers.3"),
        MaxPool2d((1, 1), (1, 1), source="layers.5"),
    )
    assert all_shapes((3, 6, 7), layers) == {
        "input": (3, 6, 7),
        "layers.0": (2, 6, 7),
        "layers.1": (2, 6, 7),
        "layers.2": (2, 3, 3),
        "layers.3": (2, 2, 2),
        "layers.4": (7, 1, 1),
        "layers.5": (9, 1, 1),
        "layers.6": (9, 1, 1),
    }
    assert all_level_counts(4, layers) == {
        "input": 4,
        "layers.0": None,
        "layers.1": 5,
        "layers.2": 5,
        "layers.3": 5,
        "layers.4": None,
        "layers.5": 6,
        "layers.6": 6,
    }


@pytest.mark.parametrize(
    ("n_levels", "width"), [(2, 1), (3, 2), (4, 2), (5, 3), (128, 7), (129, 8), (256, 8)]
)
def test_a_level_takes_the_bits_of_the_greatest(n_levels: int, width: int) -> None:
    assert level_width(n_levels) == width == len(f"{n_levels - 1:b}")
    assert n_level_bits((3, 2, 5), n_levels) == 30 * width
