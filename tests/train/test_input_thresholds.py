"""Input thresholds against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomul.network import Input
from nomul.train.input_thresholds import Sharing, ThresholdKind, input_thresholds


def test_uniform_thresholds_lie_half_way_between_equal_steps() -> None:
    features = np.array([[0, 16], [3, 5]], np.uint8)
    assert input_thresholds(features, 5).tolist() == [2.0, 6.0, 10.0, 14.0]


def test_parts_of_bytes_are_their_first_bits() -> None:
    features = np.arange(256, dtype=np.uint8)[:, None]
    for n_bits in (1, 2, 3, 7):
        thresholds = input_thresholds(features, 2**n_bits, "parts")
        levels = (features >= thresholds).sum(axis=1)
        assert levels.tolist() == (features[:, 0] >> (8 - n_bits)).tolist()
    assert input_thresholds(np.array([[0.0], [16.0]]), 4, "parts").tolist() == [4.0, 8.0, 12.0]


def test_quantiles_part_the_samples_evenly() -> None:
    features = np.array([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])
    assert input_thresholds(features, 3, "quantile").tolist() == [3.0, 12.0]
    assert input_thresholds(features, 2, "quantile").tolist() == [6.0]


def test_a_quantile_within_equal_values_goes_to_the_nearer_end_of_them() -> None:
    features = np.array([0] * 6 + [1, 2, 3, 4])[:, None]
    # 2.5, 5 and 7.5 of 10 samples: six of them are 0.
    assert input_thresholds(features, 4, "quantile").tolist() == [0.5, 0.5, 2.5]


def test_between_neighbouring_floats_the_greater_parts_them() -> None:
    low, high = 1.0, np.nextafter(1.0, 2.0)
    assert input_thresholds(np.array([[low], [high]]), 2, "quantile").tolist() == [high]


@pytest.mark.parametrize("kind", ["uniform", "parts", "quantile"])
@pytest.mark.parametrize(
    ("shape", "sharing", "expected"),
    [
        ((6,), "shared", ()),
        ((6,), "per_feature", (6,)),
        ((6,), "per_channel", (6,)),
        ((3, 4, 5), "shared", ()),
        ((3, 4, 5), "per_feature", (3, 4, 5)),
        ((3, 4, 5), "per_channel", (3, 1, 1)),
        ((), "per_feature", ()),
    ],
)
def test_thresholds_have_the_shape_that_a_network_takes(
    kind: ThresholdKind, shape: tuple[int, ...], sharing: Sharing, expected: tuple[int, ...]
) -> None:
    features = np.random.default_rng(0).normal(size=(20, *shape))
    thresholds = input_thresholds(features, 4, kind, sharing)
    assert thresholds.shape == (*expected, 3)
    assert thresholds.dtype == np.float64
    assert (np.diff(thresholds) >= 0).all()
    if shape:
        Input(shape, thresholds)


@pytest.mark.parametrize("kind", ["uniform", "quantile"])
def test_each_feature_and_channel_has_the_thresholds_of_its_own_values(kind: ThresholdKind) -> None:
    features = np.random.default_rng(0).normal(size=(50, 2, 3)) * np.arange(1, 7).reshape(2, 3)
    per_feature = input_thresholds(features, 5, kind, "per_feature")
    per_channel = input_thresholds(features, 5, kind, "per_channel")
    for c in range(2):
        assert np.array_equal(per_channel[c, 0], input_thresholds(features[:, c], 5, kind))
        for i in range(3):
            alone = input_thresholds(features[:, c, i], 5, kind)
            assert np.array_equal(per_feature[c, i], alone)


@pytest.mark.parametrize("kind", ["uniform", "quantile"])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_constant_features_have_equal_thresholds(kind: ThresholdKind, dtype: type) -> None:
    thresholds = input_thresholds(np.ones((4, 3), dtype), 4, kind, "per_feature")
    assert np.array_equal(thresholds, np.ones((3, 3)))


@given(
    values=st.lists(st.integers(-9, 9), min_size=1, max_size=60),
    levels=st.integers(2, 9),
)
def test_each_quantile_threshold_is_the_best_there_is(values: list[int], levels: int) -> None:
    features = np.array(values)
    distinct = sorted(set(values))
    thresholds = input_thresholds(features[:, None], levels, "quantile")
    for k, threshold in enumerate(thresholds.tolist(), 1):
        wanted = len(values) * k / levels
        off = abs(sum(value < threshold for value in values) - wanted)
        for border in distinct[1:]:
            assert off <= abs(sum(value < border for value in values) - wanted) + 1e-9


def test_many_distinct_values_make_levels_equally_frequent() -> None:
    features = np.random.default_rng(0).laplace(size=(1000, 1))
    thresholds = input_thresholds(features, 8, "quantile")
    counts = np.bincount((features >= thresholds).sum(axis=1), minlength=8)
    assert counts.tolist() == [125] * 8
