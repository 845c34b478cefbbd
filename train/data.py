"""Data sets, each already split into a training and a test part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import UserError, unknown_name

__all__ = ["DATASETS", "Dataset", "load_dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and their classes.

    Attributes
    ----------
    train_features, test_features
        float64, shape (samples, *feature shape).
    train_classes, test_classes
        int64, shape (samples,), numbers from 0.
    """

    name: str
    train_features: NDArray[np.float64]
    train_classes: NDArray[np.int64]
    test_features: NDArray[np.float64]
    test_classes: NDArray[np.int64]

    @property
    def n_classes(self) -> int:
        return int(self.train_classes.max()) + 1


def _digits() -> Dataset:
    """Return scikit-learn's 8×8 handwritten digits: 1,437 to train on and 360 to test on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    features, classes = load_digits(return_X_y=True)
    parts = train_test_split(features, classes, test_size=360, random_state=0, stratify=classes)
    train_features, test_features, train_classes, test_classes = parts
    return Dataset(
        "digits",
        np.asarray(train_features, np.float64),
        np.asarray(train_classes, np.int64),
        np.asarray(test_features, np.float64),
        np.asarray(test_classes, np.int64),
    )


DATASETS: dict[str, Callable[[], Dataset]] = {"digits": _digits}


def load_dataset(name: str) -> Dataset:
    """Return the data set called ``name``.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name not in DATASETS:
        raise UserError(unknown_name("data set", name, DATASETS))
    return DATASETS[name]()
