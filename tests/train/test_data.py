"""The data sets by name and by path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nomul.network import UserError
from nomul.train.data import DATASETS, Dataset, data_folder, load_dataset


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def test_digits_are_1437_to_train_on_and_360_to_test_on(digits: Dataset) -> None:
    train_classes, test_classes = digits.classes
    assert digits.name == "digits"
    assert digits.train_features.shape == (1437, 64)
    assert train_classes.shape == (1437,)
    assert digits.test_features.shape == (360, 64)
    assert test_classes.shape == (360,)
    assert digits.n_classes == 10


def test_features_are_float64_and_classes_int64(digits: Dataset) -> None:
    train_classes, test_classes = digits.classes
    for features in (digits.train_features, digits.test_features):
        assert features.dtype == np.float64
        assert set(np.unique(features[:])) == set(range(17))
    assert train_classes.dtype == test_classes.dtype == np.int64


def test_every_class_has_its_share_of_the_test_samples(digits: Dataset) -> None:
    train, test = map(np.bincount, digits.classes)
    assert len(train) == len(test) == 10
    assert (np.abs(test - 360 * (train + test) / 1797) < 1).all()


def test_the_parts_are_the_whole_set_once(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    features, classes = load_digits(return_X_y=True)
    parts = np.vstack([digits.train_features[:], digits.test_features[:]])
    found = np.column_stack([parts, np.concatenate(digits.classes)])
    expected = np.column_stack([features, classes])
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_the_split_is_always_the_same(digits: Dataset) -> None:
    assert np.array_equal(load_dataset("digits").test_features[:], digits.test_features[:])


def test_the_split_of_the_digits_is_the_published_one(digits: Dataset) -> None:
    """Networks in the documents were trained on it."""
    train_classes, test_classes = digits.classes
    assert train_classes[:8].tolist() == [3, 9, 1, 3, 1, 9, 4, 4]
    assert test_classes[:8].tolist() == [7, 6, 3, 7, 7, 3, 2, 8]
    assert digits.train_features[:][0, :8].tolist() == [0, 0, 8, 16, 16, 12, 0, 0]


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        load_dataset("digit")
    assert str(refused.value) == (
        "Unknown data set 'digit': did you mean 'digits'? The known ones are breast_cancer, "
        "cifar10, digits, dry_bean, ecg_mitbih, fashion_mnist, fsdd, iris, kodak, mnist, wine."
    )


@pytest.mark.parametrize("name", ["no/such", "data.npz", "./mnist", "mnist/", "../iris"])
def test_a_path_that_does_not_exist_is_refused_as_a_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        load_dataset(name)
    assert str(refused.value) == (
        f"There is no file or folder {name!r}: give the path of your data or the name of a data "
        "set, one of breast_cancer, cifar10, digits, dry_bean, ecg_mitbih, fashion_mnist, fsdd, "
        "iris, kodak, mnist, wine."
    )


def test_the_empty_name_is_not_the_path_of_this_folder() -> None:
    with pytest.raises(UserError, match=r"^Unknown data set '': choose one of breast_cancer, "):
        load_dataset("")


def test_the_folder_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMUL_DATA", "elsewhere/data")
    assert data_folder() == Path("elsewhere/data")
    monkeypatch.setenv("NOMUL_DATA", "")
    assert data_folder() == Path("../shared/data")
    monkeypatch.delenv("NOMUL_DATA")
    assert data_folder() == Path("../shared/data")


def test_an_absent_data_set_says_where_it_was_looked_for_and_whence_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NOMUL_DATA", "..")
    with pytest.raises(UserError) as refused:
        load_dataset("mnist")
    assert str(refused.value) == (
        "The data set 'mnist' needs 'mnist/train-images-idx3-ubyte.gz' in the folder "
        f"{str(tmp_path.resolve())!r}, and it is not there: set the environment variable "
        "NOMUL_DATA to the folder that has it (docs/data.md lists the files; the data are from "
        "http://yann.lecun.com/exdb/mnist)."
    )


def test_every_data_set_with_files_is_looked_for_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMUL_DATA", str(tmp_path))
    for name, known in DATASETS.items():
        if known.files:
            with pytest.raises(UserError, match=known.files[0]):
                load_dataset(name)


def test_data_of_the_user_are_found_by_their_path(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])
    np.savez(path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    dataset = load_dataset(str(path))
    assert dataset.name == str(path)
    assert np.array_equal(dataset.train_features[:], x)
    assert [part.tolist() for part in dataset.classes] == [[0, 1, 1], [0, 1]]
    assert dataset.n_classes == 2


def test_data_of_the_user_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    x = np.array([[0.0], [np.nan]])
    np.savez(path, x_train=x, x_test=x[:1])
    with pytest.raises(UserError) as refused:
        load_dataset(str(path))
    assert str(refused.value) == (
        f"The data set {str(path)!r} has a feature that is not a finite number in training sample "
        "1 (from 0), and in 1 of 2 samples in all: replace or remove them."
    )


def test_a_name_goes_before_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert len(load_dataset("digits").train_features) == 1437
    with pytest.raises(UserError, match=r"^'digits' holds no data set: "):
        load_dataset("./digits")
