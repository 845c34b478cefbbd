"""The data sets."""

from __future__ import annotations

import numpy as np
import pytest

from nomul.network import UserError
from nomul.train.data import Dataset, load_dataset


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def test_digits_are_1437_to_train_on_and_360_to_test_on(digits: Dataset) -> None:
    assert digits.name == "digits"
    assert digits.train_features.shape == (1437, 64)
    assert digits.train_classes.shape == (1437,)
    assert digits.test_features.shape == (360, 64)
    assert digits.test_classes.shape == (360,)
    assert digits.n_classes == 10


def test_features_are_float64_and_classes_int64(digits: Dataset) -> None:
    for features in (digits.train_features, digits.test_features):
        assert features.dtype == np.float64
        assert set(np.unique(features)) == set(range(17))
    assert digits.train_classes.dtype == digits.test_classes.dtype == np.int64


def test_every_class_has_its_share_of_the_test_samples(digits: Dataset) -> None:
    train, test = np.bincount(digits.train_classes), np.bincount(digits.test_classes)
    assert len(train) == len(test) == 10
    assert (np.abs(test - 360 * (train + test) / 1797) < 1).all()


def test_the_parts_are_the_whole_set_once(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    features, classes = load_digits(return_X_y=True)
    parts = np.vstack([digits.train_features, digits.test_features])
    part_classes = np.concatenate([digits.train_classes, digits.test_classes])
    found = np.column_stack([parts, part_classes])
    expected = np.column_stack([features, classes])
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_the_split_is_always_the_same(digits: Dataset) -> None:
    assert np.array_equal(load_dataset("digits").test_features, digits.test_features)


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        load_dataset("digit")
    assert str(refused.value) == (
        "Unknown data set 'digit': did you mean 'digits'? The known ones are digits."
    )
