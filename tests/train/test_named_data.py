"""The data sets by name: from small files of their formats, and as they are published."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nomul.network import UserError
from nomul.train.data import DATASETS, Dataset, data_folder, load_dataset
from tests.data import needs_data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the data, still empty."""
    monkeypatch.setenv("NOMUL_DATA", str(tmp_path))
    return tmp_path


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


def numbers(dataset: Dataset) -> list[list[int]]:
    return [classes.tolist() for classes in dataset.classes]


def save(folder: Path, name: str, **arrays: Any) -> Path:
    path = folder / DATASETS[name].files[0]
    path.parent.mkdir()
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_pictures_have_one_channel(name: str, folder: Path) -> None:
    (folder / name).mkdir()
    train, test = noise(2, 28, 28), noise(1, 28, 28)
    contents = [
        b"\0\0\x08\3\0\0\0\2\0\0\0\x1c\0\0\0\x1c" + train.tobytes(),
        b"\0\0\x08\1\0\0\0\2\0\1",
        b"\0\0\x08\3\0\0\0\1\0\0\0\x1c\0\0\0\x1c" + test.tobytes(),
        b"\0\0\x08\1\0\0\0\1\1",
    ]
    for file, content in zip(DATASETS[name].files, contents, strict=True):
        (folder / file).write_bytes(gzip.compress(content))
    dataset = load_dataset(name)
    assert np.array_equal(dataset.train_features[:], train[:, np.newaxis])
    assert np.array_equal(dataset.test_features[:], test[:, np.newaxis])
    assert numbers(dataset) == [[0, 1], [1]]
    (folder / DATASETS[name].files[2]).write_bytes(b"")
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte.gz' "):
        load_dataset(name)


def test_objects_are_decoded_with_the_channels_first(folder: Path) -> None:
    colours = {"red": (254, 0, 0), "green": (0, 255, 1), "blue": (0, 0, 254)}
    files = []
    for colour in colours.values():
        buffer = io.BytesIO()
        Image.new("RGB", (32, 32), colour).save(buffer, "jpeg", quality=100)
        files.append(buffer.getvalue())
    ends = np.cumsum([0, *map(len, files)])
    save(
        folder,
        "cifar10",
        jpeg_train=np.frombuffer(b"".join(files[:2]), np.uint8),
        offsets_train=ends[:3],
        y_train=np.array([1, 0], np.uint8),
        jpeg_test=np.frombuffer(files[2], np.uint8),
        offsets_test=np.array([0, len(files[2])]),
        y_test=np.array([1], np.uint8),
    )
    dataset = load_dataset("cifar10")
    assert dataset.train_features.shape == (2, 3, 32, 32)
    assert dataset.train_features[:][:, :, 9, 9].tolist() == [[254, 0, 0], [0, 255, 1]]
    assert dataset.test_features[:][:, :, 9, 9].tolist() == [[0, 0, 254]]
    assert numbers(dataset) == [[1, 0], [1]]


def test_heartbeats_have_one_channel(folder: Path) -> None:
    x = np.arange(256, dtype=np.int16).reshape(2, 128)
    y = np.array([0, 1], np.uint8)
    save(folder, "ecg_mitbih", x_train=x, y_train=y, x_test=x[1:], y_test=y[1:])
    dataset = load_dataset("ecg_mitbih")
    assert dataset.train_features.shape == (2, 1, 128)
    assert dataset.train_features.dtype == np.int16
    assert np.array_equal(dataset.test_features[:], x[1:, np.newaxis])
    assert numbers(dataset) == [[0, 1], [1]]


def test_beans_are_split_as_the_file_says(folder: Path) -> None:
    x = np.arange(6.0).reshape(3, 2)
    y, is_test = np.array([1, 1, 0], np.uint8), np.array([False, True, False])
    save(folder, "dry_bean", x=x, y=y, is_test=is_test)
    dataset = load_dataset("dry_bean")
    assert dataset.train_features[:].tolist() == [[0, 1], [4, 5]]
    assert dataset.test_features[:].tolist() == [[2, 3]]
    assert numbers(dataset) == [[1, 0], [1]]


def test_spoken_digits_are_cut_and_split_as_the_file_says(folder: Path) -> None:
    audio = np.concatenate([np.full(700, 1), np.full(900, 9000), np.full(800, 1)])
    path = save(
        folder,
        "fsdd",
        audio=audio.astype(np.int16),
        offsets=np.array([0, 700, 1600, 2400]),
        label=np.array([0, 0, 1], np.uint8),
        is_test=np.array([False, True, False]),
    )
    dataset = load_dataset("fsdd")
    assert dataset.train_features.shape == (2, 1, 32, 32)
    assert dataset.test_features.shape == (1, 1, 32, 32)
    # Only the loud recording reaches the top of the scale.
    assert dataset.test_features[:].max() == 255
    assert dataset.train_features[:].max() < 255
    assert numbers(dataset) == [[0, 1], [0]]
    np.savez(path, audio=audio)
    with pytest.raises(UserError) as refused:
        load_dataset("fsdd")
    assert str(refused.value) == (
        f"{str(path)!r} has no array offsets: expected audio, offsets, label, is_test."
    )


def test_photographs_are_cut_into_squares(folder: Path) -> None:
    (folder / "kodak").mkdir()
    pictures = noise(24, 32, 48, 3)
    for file, picture in zip(DATASETS["kodak"].files, pictures, strict=True):
        Image.fromarray(picture).save(folder / file)
    dataset = load_dataset("kodak")
    assert dataset.train_features.shape == (18 * 6, 3, 16, 16)
    assert dataset.test_features.shape == (6 * 6, 3, 16, 16)
    assert dataset.n_classes == 0
    # Row by row: the fourth patch of six is the first of the second row.
    patch = pictures[1, 16:32, 0:16].transpose(2, 0, 1)
    assert np.array_equal(dataset.train_features[:][6 + 3], patch)
    patch = pictures[18, 0:16, 32:48].transpose(2, 0, 1)
    assert np.array_equal(dataset.test_features[:][2], patch)


@pytest.mark.parametrize(
    ("name", "n_features", "counts"),
    [("iris", 4, [50, 50, 50]), ("wine", 13, [59, 71, 48]), ("breast_cancer", 30, [212, 357])],
)
def test_each_class_of_a_small_table_has_its_share_of_a_fifth(
    name: str, n_features: int, counts: list[int]
) -> None:
    dataset = load_dataset(name)
    train, test = map(np.bincount, dataset.classes)
    assert (train + test).tolist() == counts
    assert (np.abs(test - test.sum() * np.array(counts) / sum(counts)) < 1).all()
    assert test.sum() == -(-sum(counts) // 5)
    for features in (dataset.train_features, dataset.test_features):
        assert features.shape[1:] == (n_features,)
        assert features.dtype == np.float64


# Samples, shape, type, and how many of each class, as the publishers or our data's page say.
PUBLISHED = {
    "mnist": (
        ((1, 28, 28), "uint8"),
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "fashion_mnist": (((1, 28, 28), "uint8"), [6000] * 10, [1000] * 10),
    "cifar10": (((3, 32, 32), "uint8"), [5000] * 10, [1000] * 10),
    "ecg_mitbih": (
        ((1, 128), "int16"),
        [45824, 943, 3788, 414, 8],
        [44218, 1836, 3219, 388, 7],
    ),
    "fsdd": (((1, 32, 32), "uint8"), [270] * 10, [30] * 10),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[needs_data(name)] + [pytest.mark.slow] * (name == "cifar10"))
        for name in PUBLISHED
    ],
)
def test_the_counts_are_the_published_ones(name: str) -> None:
    (shape, dtype), train, test = PUBLISHED[name]
    dataset = load_dataset(name)
    assert [np.bincount(classes).tolist() for classes in dataset.classes] == [train, test]
    for features, counts in ((dataset.train_features, train), (dataset.test_features, test)):
        assert features.shape == (sum(counts), *shape)
        assert features.dtype == np.dtype(dtype)


@needs_data("dry_bean")
def test_the_beans_are_the_published_ones() -> None:
    dataset = load_dataset("dry_bean")
    train, test = map(np.bincount, dataset.classes)
    assert (train + test).tolist() == [1322, 522, 1630, 3546, 1928, 2027, 2636]
    assert dataset.train_features.shape == (10_891, 16)
    assert dataset.test_features.shape == (2_720, 16)


@needs_data("kodak")
def test_a_photograph_gives_1536_patches() -> None:
    dataset = load_dataset("kodak")
    assert dataset.train_features.shape == (18 * 1536, 3, 16, 16)
    assert dataset.test_features.shape == (6 * 1536, 3, 16, 16)


@pytest.mark.slow
@needs_data("cifar10")
def test_cifar10_is_near_the_lossless_pictures() -> None:
    """The k-th lossless picture of a class is the k-th of it in the copy."""
    lossless = np.load(data_folder() / "cifar10" / "cifar10_lossless_first4000.npz")
    x, y = lossless["x"].transpose(0, 3, 1, 2).astype(np.float64), lossless["y"]
    dataset = load_dataset("cifar10")
    psnr = []
    for number in range(10):
        expected = x[y == number]
        places = np.flatnonzero(dataset.classes[0] == number)[: len(expected)]
        error = np.mean((dataset.train_features[places] - expected) ** 2, axis=(1, 2, 3))
        psnr.extend(10 * np.log10(255**2 / error))
    assert round(float(np.mean(psnr)), 1) == 30.5
    assert round(float(np.min(psnr)), 1) == 23.1


@needs_data("fsdd")
def test_spectrograms_tell_the_spoken_digits_apart() -> None:
    from sklearn.svm import SVC

    def halved(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the means of 2×2 cells, one row for each picture, from 0 to 1."""
        means: NDArray[np.float64] = pictures.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))
        return means.reshape(-1, 256) / 255

    dataset = load_dataset("fsdd")
    train_classes, test_classes = dataset.classes
    classifier = SVC(C=10).fit(halved(dataset.train_features[:]), train_classes)
    assert classifier.score(halved(dataset.test_features[:]), test_classes) > 0.98
