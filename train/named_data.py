"""The data sets that nomul knows by name: what they are, and how their files are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nomul.train.data_files import read_idx, read_npz
from nomul.train.dataset import Classes, Samples
from nomul.train.pictures import decoded
from nomul.train.spoken import log_mel_spectrograms

__all__ = ["DATASETS", "IDX_FILES", "NamedDataset", "Parts"]


class Parts(NamedTuple):
    """The two parts of a data set, as :class:`nomul.train.dataset.Dataset` has them."""

    train_features: Samples
    train_classes: Classes | None
    test_features: Samples
    test_classes: Classes | None


class NamedDataset(NamedTuple):
    """A data set that nomul knows.

    Attributes
    ----------
    description
        One line: the task, the shape of a sample, the sizes of the parts.
    read
        Takes the paths of ``files`` and returns the parts.
    files
        Below the folder of the data; none if scikit-learn ships them.
    source
        Where they come from.
    """

    description: str
    read: Callable[..., Parts]
    files: tuple[str, ...] = ()
    source: str = "scikit-learn"


def _from_scikit_learn(loader: str, test_size: int) -> Parts:
    """Return the table in a fixed split in which every class has its share of both parts."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    features, classes = getattr(datasets, loader)(return_X_y=True)
    split = train_test_split(
        features, classes, test_size=test_size, random_state=0, stratify=classes
    )
    train_features, test_features, train_classes, test_classes = split
    return Parts(
        np.asarray(train_features, np.float64),
        np.asarray(train_classes, np.int64),
        np.asarray(test_features, np.float64),
        np.asarray(test_classes, np.int64),
    )


def _pictures_from_idx(*paths: Path) -> Parts:
    train_features, train_classes, test_features, test_classes = map(read_idx, paths)
    return Parts(
        train_features[:, np.newaxis],
        train_classes.astype(np.int64),
        test_features[:, np.newaxis],
        test_classes.astype(np.int64),
    )


def _heartbeats(path: Path) -> Parts:
    arrays = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    return Parts(
        arrays["x_train"][:, np.newaxis],
        arrays["y_train"].astype(np.int64),
        arrays["x_test"][:, np.newaxis],
        arrays["y_test"].astype(np.int64),
    )


def _beans(path: Path) -> Parts:
    arrays = read_npz(path, ("x", "y", "is_test"))
    return _split(arrays["x"], arrays["y"], arrays["is_test"])


def _split(features: NDArray[Any], classes: NDArray[Any], is_test: NDArray[Any]) -> Parts:
    test, numbers = is_test.astype(bool), classes.astype(np.int64)
    return Parts(features[~test], numbers[~test], features[test], numbers[test])


def _objects(path: Path) -> Parts:
    parts = []
    for part in ("train", "test"):
        names = (f"jpeg_{part}", f"offsets_{part}", f"y_{part}")
        arrays = read_npz(path, names)
        jpeg, offsets, classes = (arrays[name] for name in names)
        files = jpeg.tobytes()
        pictures = np.empty((len(classes), 3, 32, 32), np.uint8)
        for number, (start, end) in enumerate(pairwise(offsets.tolist())):
            pictures[number] = decoded(files[start:end], 3, path)
        parts.append((pictures, classes.astype(np.int64)))
    return Parts(*parts[0], *parts[1])


def _spoken_digits(path: Path) -> Parts:
    arrays = read_npz(path, ("audio", "offsets", "label", "is_test"))
    audio, offsets = arrays["audio"], arrays["offsets"].tolist()
    waves = [audio[start:end] for start, end in pairwise(offsets)]
    return _split(log_mel_spectrograms(waves), arrays["label"], arrays["is_test"])


def _photographs(*paths: Path) -> Parts:
    """Return the patches of the pictures; the last six are to test on."""
    patches = [_patches(decoded(path.read_bytes(), 3, path)) for path in paths]
    return Parts(np.concatenate(patches[:-6]), None, np.concatenate(patches[-6:]), None)


def _patches(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut a picture, (channels, height, width), into squares; (patches, channels, 16, 16)."""
    channels, height, width = picture.shape
    rows, columns = height // PATCH, width // PATCH
    squares = picture.reshape(channels, rows, PATCH, columns, PATCH)
    return squares.transpose(1, 3, 0, 2, 4).reshape(-1, channels, PATCH, PATCH)


PATCH = 16
"""Height and width of a patch of a photograph, in pixels."""

IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

DATASETS: dict[str, NamedDataset] = {
    "mnist": NamedDataset(
        "10 handwritten digits, 28×28 grey; 60,000 to train on, 10,000 to test on",
        _pictures_from_idx,
        tuple(f"mnist/{name}" for name in IDX_FILES),
        "http://yann.lecun.com/exdb/mnist",
    ),
    "fashion_mnist": NamedDataset(
        "10 kinds of clothing, 28×28 grey; 60,000 to train on, 10,000 to test on",
        _pictures_from_idx,
        tuple(f"fashion_mnist/{name}" for name in IDX_FILES),
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
    "cifar10": NamedDataset(
        "10 kinds of object, 32×32 RGB (JPEG q75 copy); 50,000 to train on, 10,000 to test on",
        _objects,
        ("cifar10/cifar10_jpeg75.npz",),
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "ecg_mitbih": NamedDataset(
        "5 kinds of heartbeat, 128 samples at 180 Hz; 50,977 to train on, 49,668 to test on",
        _heartbeats,
        ("ecg_mitbih/ecg_mitbih_beats.npz",),
        "https://physionet.org/content/mitdb",
    ),
    "dry_bean": NamedDataset(
        "7 kinds of bean, 16 features; 10,891 to train on, 2,720 to test on",
        _beans,
        ("dry_bean/dry_bean.npz",),
        "https://archive.ics.uci.edu/dataset/602",
    ),
    "digits": NamedDataset(
        "10 handwritten digits, 64 grey values 0 to 16; 1,437 to train on, 360 to test on",
        partial(_from_scikit_learn, "load_digits", 360),
    ),
    "fsdd": NamedDataset(
        "10 spoken digits, 32 mel bands × 32 frames; 2,700 to train on, 300 to test on",
        _spoken_digits,
        ("fsdd/fsdd.npz",),
        "https://github.com/Jakobovski/free-spoken-digit-dataset",
    ),
    "kodak": NamedDataset(
        "photographs, 16×16 RGB patches without classes; 27,648 to train on, 9,216 to test on",
        _photographs,
        tuple(f"kodak/kodim{number:02d}.png" for number in range(1, 25)),
        "http://r0k.us/graphics/kodak",
    ),
    "iris": NamedDataset(
        "3 kinds of iris, 4 features; 120 to train on, 30 to test on",
        partial(_from_scikit_learn, "load_iris", 30),
    ),
    "wine": NamedDataset(
        "3 kinds of wine, 13 features; 142 to train on, 36 to test on",
        partial(_from_scikit_learn, "load_wine", 36),
    ),
    "breast_cancer": NamedDataset(
        "2 kinds of tumour, 30 features; 455 to train on, 114 to test on",
        partial(_from_scikit_learn, "load_breast_cancer", 114),
    ),
}
