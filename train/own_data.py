"""The user's own data: an .npz file, a folder of IDX files or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import UserError
from nomul.train.data_files import existing_idx, read_idx, read_npz
from nomul.train.dataset import Classes
from nomul.train.named_data import IDX_FILES, Parts
from nomul.train.pictures import picture_files

__all__ = ["read_own"]

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg"}


def read_own(path: Path) -> Parts:
    """Return the parts of the data at ``path``; docs/data.md describes the three forms.

    Raises
    ------
    UserError
        If it has none of the forms, or a file is absent or damaged.
    """
    idx = [name.removesuffix(".gz") for name in IDX_FILES]
    if path.is_dir() and any(existing_idx(path, name) for name in idx):
        return _from_idx(path, idx)
    if path.is_dir() and (path / "train").is_dir():
        return _from_pictures(path)
    if path.is_file() and path.suffix == ".npz":
        return _from_npz(path)
    raise UserError(
        f"{str(path)!r} holds no data set: expected an .npz file, a folder with {idx[0]} and so "
        "on, or a folder of pictures train/CLASS/*.png and test/CLASS/*.png."
    )


def _from_npz(path: Path) -> Parts:
    arrays = read_npz(path, ("x_train", "x_test"), ("y_train", "y_test"))
    return Parts(
        _features(arrays["x_train"]),
        _classes(path, arrays.get("y_train")),
        _features(arrays["x_test"]),
        _classes(path, arrays.get("y_test")),
    )


def _features(array: NDArray[Any]) -> NDArray[Any]:
    """Return floats as float32 or float64: no other kind is there on every machine."""
    if array.dtype.kind != "f" or array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def _classes(path: Path, array: NDArray[Any] | None) -> Classes | None:
    if array is None:
        return None
    if array.dtype.kind not in "iu":
        raise UserError(
            f"{str(path)!r} has classes of type {array.dtype}: expected integers from 0."
        )
    return array.astype(np.int64)


def _from_idx(folder: Path, names: list[str]) -> Parts:
    paths = {name: existing_idx(folder, name) for name in names}
    absent = [name for name, path in paths.items() if path is None]
    if absent:
        raise UserError(
            f"The folder {str(folder)!r} has no file {absent[0]}, compressed or not: expected "
            f"{', '.join(names)}."
        )
    x_train, y_train, x_test, y_test = (
        read_idx(path) for path in paths.values() if path is not None
    )
    return Parts(
        _with_channel(x_train),
        _classes(folder, y_train),
        _with_channel(x_test),
        _classes(folder, y_test),
    )


def _with_channel(pictures: NDArray[Any]) -> NDArray[Any]:
    return pictures[:, np.newaxis] if pictures.ndim == 3 else pictures


def _from_pictures(folder: Path) -> Parts:
    names = [path.name for path in _visible(folder / "train") if path.is_dir()]
    train_paths, train_classes = _labelled(folder / "train", names)
    test_paths, test_classes = _labelled(folder / "test", names)
    train = picture_files(train_paths)
    return Parts(train, train_classes, picture_files(test_paths, like=train), test_classes)


def _labelled(folder: Path, names: list[str]) -> tuple[list[Path], Classes]:
    """Return the pictures of a part and the classes: the places of their folders in ``names``."""
    found = [path.name for path in _visible(folder) if path.is_dir()]
    strange = [name for name in found if name not in names]
    if strange:
        raise UserError(
            f"The folder {str(folder / strange[0])!r} has no counterpart in the training part, "
            f"whose classes are {', '.join(names)}: every class needs training pictures."
        )
    paths: list[Path] = []
    classes: list[int] = []
    for number, name in enumerate(names):
        here = folder / name
        pictures = [path for path in _visible(here) if path.suffix.lower() in PICTURE_SUFFIXES]
        if folder.name == "train" and not pictures:
            raise UserError(
                f"The folder {str(here)!r} has no .png or .jpg picture: every class needs training "
                "pictures."
            )
        paths += pictures
        classes += [number] * len(pictures)
    if not paths:
        raise UserError(
            f"The folder {str(folder)!r} has no pictures: expected {folder.name}/CLASS/*.png or "
            "*.jpg, a folder for each class."
        )
    return paths, np.array(classes, np.int64)


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, but for what desktops and editors hide there."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
