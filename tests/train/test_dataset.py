"""The checks that every data set passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import UserError
from nomul.train.dataset import Dataset, check_dataset

FEATURES = np.arange(12.0).reshape(4, 3)
CLASSES = np.array([0, 1, 2, 1])


def dataset(**changes: Any) -> Dataset:
    fields: dict[str, Any] = {
        "train_features": FEATURES,
        "train_classes": CLASSES,
        "test_features": FEATURES[:2],
        "test_classes": CLASSES[:2],
    }
    return Dataset("mine", **(fields | changes))


def refusal(**changes: Any) -> str:
    with pytest.raises(UserError) as refused:
        check_dataset(dataset(**changes))
    return str(refused.value)


def test_a_data_set_that_passes_is_returned() -> None:
    whole = dataset()
    assert check_dataset(whole) is whole
    assert whole.n_classes == 3
    assert whole.classes == (whole.train_classes, whole.test_classes)


def test_a_class_may_lack_test_samples() -> None:
    check_dataset(dataset(test_classes=np.array([2, 2])))


def test_without_classes_there_are_none() -> None:
    whole = check_dataset(dataset(train_classes=None, test_classes=None))
    assert whole.n_classes == 0
    with pytest.raises(UserError) as refused:
        _ = whole.classes
    assert str(refused.value) == (
        "The data set 'mine' has no classes: train a network that reconstructs its input on it, or "
        "choose a data set with classes."
    )


@pytest.mark.parametrize("part", ["train", "test"])
def test_classes_of_one_part_alone_are_refused(part: str) -> None:
    word = {"train": "training", "test": "test"}[part]
    assert refusal(**{f"{part}_classes": None}) == (
        f"The data set 'mine' has no classes in its {word} part: give the classes of both parts, "
        "or of none."
    )


@pytest.mark.parametrize(
    ("value", "row", "in_all"), [(np.nan, [1], 1), (np.inf, [2, 3], 2), (-np.inf, [0], 1)]
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_feature_that_is_not_finite_is_found(
    part: str, value: float, row: list[int], in_all: int
) -> None:
    features = FEATURES.astype(np.float32)
    features[row, 1] = value
    word = {"train": "training", "test": "test"}[part]
    parts = {"train_features": FEATURES.astype(np.float32), "test_features": features}
    if part == "train":
        parts = {"train_features": features, "test_features": FEATURES.astype(np.float32)}
    assert refusal(**parts, test_classes=CLASSES) == (
        f"The data set 'mine' has a feature that is not a finite number in {word} sample {row[0]} "
        f"(from 0), and in {in_all} of 4 samples in all: replace or remove them."
    )


@pytest.mark.parametrize(
    "features", [np.zeros((0, 3)), np.zeros((4, 0)), np.zeros(4), np.zeros((4, 1, 0, 8))]
)
def test_a_part_without_samples_or_features_is_refused(features: NDArray[np.float64]) -> None:
    assert refusal(train_features=features) == (
        f"The data set 'mine' has training features of shape {features.shape}: expected (samples, "
        "features), (samples, channels, length) or (samples, channels, height, width), all above 0."
    )


@pytest.mark.parametrize("dtype", [np.complex128, "U1", "datetime64[s]"])
def test_features_that_are_no_numbers_are_refused(dtype: str) -> None:
    features = np.zeros((2, 3), dtype)
    assert refusal(test_features=features) == (
        f"The data set 'mine' has test features of type {features.dtype}: expected integers or "
        "floats."
    )


@pytest.mark.parametrize("features", [np.zeros((4, 3)), FEATURES[[1, 1, 1, 1]], np.ones((4, 1, 2))])
def test_training_samples_that_are_all_the_same_are_refused(features: NDArray[np.float64]) -> None:
    assert refusal(train_features=features, test_features=features[:2] + 1) == (
        "The data set 'mine' has the same features in all of its 4 training samples: there is "
        "nothing to learn from them."
    )


def test_one_feature_that_differs_is_enough() -> None:
    features = np.zeros((4, 3), np.uint8)
    features[3, 2] = 1
    check_dataset(dataset(train_features=features, test_features=np.zeros((2, 3), np.uint8)))


def test_parts_of_different_shape_are_refused() -> None:
    assert refusal(test_features=np.zeros((2, 4))) == (
        "The data set 'mine' has test samples of shape (4,) and training samples of shape (3,): "
        "both must be the same."
    )


@pytest.mark.parametrize("classes", [CLASSES[:3], CLASSES[:, np.newaxis]])
def test_each_sample_has_one_class(classes: NDArray[np.int64]) -> None:
    assert refusal(train_classes=classes) == (
        f"The data set 'mine' has 4 training samples and classes of shape {classes.shape}: "
        "expected one class for each sample."
    )


def test_a_negative_class_is_found() -> None:
    assert refusal(test_classes=np.array([1, -1])) == (
        "The data set 'mine' has class -1 at test sample 1 (from 0): classes are numbers from 0."
    )


def test_a_class_without_training_samples_is_found() -> None:
    assert refusal(train_classes=np.array([0, 1, 3, 3])) == (
        "The data set 'mine' has training samples of class 3 and none of class 2: number the 3 "
        "classes from 0 without a gap."
    )


def test_classes_as_large_as_they_come_do_not_fill_the_memory() -> None:
    assert refusal(train_classes=np.array([0, 1, 2, 2**62])) == (
        f"The data set 'mine' has training samples of class {2**62} and none of class 3: number "
        "the 4 classes from 0 without a gap."
    )


def test_a_test_class_that_training_lacks_is_found() -> None:
    assert refusal(test_classes=np.array([2, 3])) == (
        "The data set 'mine' has class 3 at test sample 1 (from 0), and its training part only the "
        "classes 0 to 2: every class needs training samples."
    )


class Undecoded:
    """Samples that must not be decoded."""

    shape = (4, 3)
    dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: slice | NDArray[np.integer[Any]], /) -> NDArray[Any]:
        raise AssertionError(f"decoded: {index}")


def test_samples_decoded_on_demand_are_not_decoded_by_the_checks() -> None:
    check_dataset(dataset(train_features=Undecoded()))
