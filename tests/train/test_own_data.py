"""The user's own data."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nomul.network import UserError
from nomul.train.data import load_dataset
from nomul.train.own_data import read_own


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        load_dataset(str(path))
    return str(refused.value)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


def save_npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "own.npz"
    np.savez(path, **arrays)
    return path


def test_an_npz_is_taken_as_it_is(tmp_path: Path) -> None:
    x, y = noise(4, 3, 8, 8), np.array([1, 0, 1, 0], np.uint8)
    parts = read_own(save_npz(tmp_path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2], z=1))
    assert np.array_equal(parts.train_features[:], x)
    assert np.array_equal(parts.test_features[:], x[:2])
    for found, expected in ((parts.train_classes, y), (parts.test_classes, y[:2])):
        assert found is not None
        assert found.dtype == np.int64
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("saved", "taken"),
    [
        ("u1", "u1"),
        ("i2", "i2"),
        ("?", "u1"),
        ("f2", "f4"),
        ("f4", "f4"),
        ("f8", "f8"),
        (">f4", "f4"),
        ("longdouble", "f8"),
    ],
)
def test_features_keep_their_type_where_others_know_it(
    saved: str, taken: str, tmp_path: Path
) -> None:
    x = np.array([[0, 1], [1, 0]], saved)
    dataset = load_dataset(str(save_npz(tmp_path, x_train=x, x_test=x)))
    for features in (dataset.train_features, dataset.test_features):
        assert features.dtype == np.dtype(taken)
        assert features[:].tolist() == [[0, 1], [1, 0]]


def test_an_npz_may_have_no_classes(tmp_path: Path) -> None:
    x = np.ones((2, 3))
    parts = read_own(save_npz(tmp_path, x_train=x, x_test=x))
    assert parts.train_classes is parts.test_classes is None


def test_an_npz_without_features_is_refused(tmp_path: Path) -> None:
    path = save_npz(tmp_path, x_train=np.ones((2, 3)), xtest=np.ones((2, 3)))
    assert refusal(path) == (
        f"{str(path)!r} has no array x_test: expected x_train, x_test, and y_train and y_test "
        "where there are classes."
    )


def test_an_npz_with_classes_of_one_part_is_refused(tmp_path: Path) -> None:
    path = save_npz(
        tmp_path, x_train=np.ones((2, 3)), x_test=np.ones((2, 3)), y_train=np.ones(2, int)
    )
    assert refusal(path) == (
        f"The data set {str(path)!r} has no classes in its test part: give the classes of both "
        "parts, or of none."
    )


def test_classes_are_integers(tmp_path: Path) -> None:
    x, y = np.ones((2, 3)), np.array([0.0, 1.0])
    path = save_npz(tmp_path, x_train=x, x_test=x, y_train=y, y_test=y)
    assert refusal(path) == (
        f"{str(path)!r} has classes of type float64: expected integers from 0."
    )


def idx(array: NDArray[np.uint8]) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


IDX = {
    "train-images-idx3-ubyte": noise(3, 5, 4),
    "train-labels-idx1-ubyte": np.array([1, 0, 1], np.uint8),
    "t10k-images-idx3-ubyte": noise(2, 5, 4),
    "t10k-labels-idx1-ubyte": np.array([1, 1], np.uint8),
}


@pytest.mark.parametrize("compressed", [0, 2, 4])
def test_a_folder_of_idx_files_is_read_compressed_or_not(compressed: int, tmp_path: Path) -> None:
    for number, (name, array) in enumerate(IDX.items()):
        if number < compressed:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (tmp_path / name).write_bytes(idx(array))
    dataset = load_dataset(str(tmp_path))
    assert np.array_equal(dataset.train_features[:][:, 0], IDX["train-images-idx3-ubyte"])
    assert np.array_equal(dataset.test_features[:][:, 0], IDX["t10k-images-idx3-ubyte"])
    assert dataset.train_features.shape == (3, 1, 5, 4)
    assert [part.tolist() for part in dataset.classes] == [[1, 0, 1], [1, 1]]


def test_an_idx_file_that_is_absent_is_named(tmp_path: Path) -> None:
    for name, array in list(IDX.items())[:3]:
        (tmp_path / name).write_bytes(idx(array))
    assert refusal(tmp_path) == (
        f"The folder {str(tmp_path)!r} has no file t10k-labels-idx1-ubyte, compressed or not: "
        "expected train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        "t10k-labels-idx1-ubyte."
    )


def test_idx_pictures_need_as_many_classes(tmp_path: Path) -> None:
    for name, array in (IDX | {"t10k-labels-idx1-ubyte": np.array([0], np.uint8)}).items():
        (tmp_path / name).write_bytes(idx(array))
    assert refusal(tmp_path) == (
        f"The data set {str(tmp_path)!r} has 2 test samples and classes of shape (1,): expected "
        "one class for each sample."
    )


def save_picture(path: Path, values: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Cats and dogs: two and one to train on, one dog to test on."""
    save_picture(tmp_path / "train" / "dog" / "a.png", noise(4, 6, 3))
    save_picture(tmp_path / "train" / "cat" / "b.PNG", noise(4, 6, 3) // 2)
    save_picture(tmp_path / "train" / "cat" / "a.jpeg", noise(4, 6))
    save_picture(tmp_path / "test" / "dog" / "z.png", noise(4, 6, 3) // 3)
    (tmp_path / "train" / "cat" / "notes.txt").touch()
    (tmp_path / "train" / "list.csv").touch()
    (tmp_path / "train" / ".thumbnails").mkdir()
    (tmp_path / "train" / "dog" / "._a.png").touch()
    return tmp_path


def test_a_folder_of_pictures_has_a_class_per_folder(pictures: Path) -> None:
    dataset = load_dataset(str(pictures))
    assert dataset.train_features.shape == (3, 3, 4, 6)
    assert dataset.train_features.dtype == np.uint8
    assert [part.tolist() for part in dataset.classes] == [[0, 0, 1], [1]]
    found = dataset.train_features[np.array([1, 2])]
    expected = np.stack([noise(4, 6, 3) // 2, noise(4, 6, 3)])
    assert np.array_equal(found, expected.transpose(0, 3, 1, 2))
    assert np.array_equal(dataset.test_features[:][0], (noise(4, 6, 3) // 3).transpose(2, 0, 1))


def test_a_picture_of_another_size_is_named(pictures: Path) -> None:
    save_picture(pictures / "test" / "cat" / "a.png", noise(5, 6, 3))
    assert refusal(pictures) == (
        f"{str(pictures / 'test' / 'cat' / 'a.png')!r} is 6×5 and "
        f"{str(pictures / 'train' / 'cat' / 'a.jpeg')!r} is 6×4: all pictures must have one size."
    )


def test_a_folder_without_training_pictures_is_named(pictures: Path) -> None:
    (pictures / "train" / "horse").mkdir()
    assert refusal(pictures) == (
        f"The folder {str(pictures / 'train' / 'horse')!r} has no .png or .jpg picture: every "
        "class needs training pictures."
    )


def test_a_class_of_the_test_part_alone_is_named(pictures: Path) -> None:
    save_picture(pictures / "test" / "horse" / "a.png", noise(4, 6, 3))
    assert refusal(pictures) == (
        f"The folder {str(pictures / 'test' / 'horse')!r} has no counterpart in the training part, "
        "whose classes are cat, dog: every class needs training pictures."
    )


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_without_pictures_is_named(part: str, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    if part == "test":
        save_picture(tmp_path / "train" / "cat" / "a.png", noise(4, 6))
    assert refusal(tmp_path) == (
        f"The folder {str(tmp_path / part)!r} has no pictures: expected {part}/CLASS/*.png or "
        "*.jpg, a folder for each class."
    )


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_anything_else_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.mkdir() if kind == "folder" else path.touch()
    assert refusal(path) == (
        f"{str(path)!r} holds no data set: expected an .npz file, a folder with "
        "train-images-idx3-ubyte and so on, or a folder of pictures train/CLASS/*.png and "
        "test/CLASS/*.png."
    )
