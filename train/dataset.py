"""What a data set is, and the checks that every data set passes before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import UserError

__all__ = ["Classes", "Dataset", "Samples", "check_dataset"]

Classes = NDArray[np.int64]


class Samples(Protocol):
    """Samples of one shape, as an array has them; they may be decoded only when asked for.

    An ``ndarray`` is one. ``samples[:]`` is an ``ndarray`` of all of them.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | NDArray[np.integer[Any]], /) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and their classes, split into a training and a test part.

    Attributes
    ----------
    train_features, test_features
        Integers or floats, shape (samples, *feature shape). A picture is (channels, height, width),
        a signal (channels, length), a row of a table (features,).
    train_classes, test_classes
        int64, shape (samples,), numbers from 0; None both where there are none, for reconstruction.
    """

    name: str
    train_features: Samples
    train_classes: Classes | None
    test_features: Samples
    test_classes: Classes | None

    @property
    def n_classes(self) -> int:
        """Largest class of the training part plus 1; 0 where there are none."""
        return 0 if self.train_classes is None else int(self.train_classes.max()) + 1

    @property
    def classes(self) -> tuple[Classes, Classes]:
        """Classes of the training and of the test part, for who cannot do without.

        Raises
        ------
        UserError
            If there are none.
        """
        if self.train_classes is None or self.test_classes is None:
            raise UserError(
                f"The data set {self.name!r} has no classes: train a network that reconstructs its "
                "input on it, or choose a data set with classes."
            )
        return self.train_classes, self.test_classes


def check_dataset(dataset: Dataset) -> Dataset:
    """Return ``dataset`` if training can use it.

    Samples that are decoded only when asked for are not decoded here.

    Raises
    ------
    UserError
        If a part has no samples, the parts differ in shape, features and classes in number, a
        feature is not finite, a class is negative or has no training sample, or the training
        samples are all the same.
    """
    _check_features(dataset, "training", dataset.train_features)
    _check_features(dataset, "test", dataset.test_features)
    train_shape, test_shape = dataset.train_features.shape[1:], dataset.test_features.shape[1:]
    if train_shape != test_shape:
        raise UserError(
            f"The data set {dataset.name!r} has test samples of shape {test_shape} and training "
            f"samples of shape {train_shape}: both must be the same."
        )
    if (dataset.train_classes is None) != (dataset.test_classes is None):
        part = "test" if dataset.test_classes is None else "training"
        raise UserError(
            f"The data set {dataset.name!r} has no classes in its {part} part: give the classes of "
            "both parts, or of none."
        )
    if dataset.train_classes is not None and dataset.test_classes is not None:
        _check_classes(dataset, "training", dataset.train_features, dataset.train_classes)
        _check_classes(dataset, "test", dataset.test_features, dataset.test_classes)
        _check_that_classes_are_trained(dataset, dataset.train_classes, dataset.test_classes)
    _check_that_samples_differ(dataset, dataset.train_features)
    return dataset


def _check_features(dataset: Dataset, part: str, features: Samples) -> None:
    if len(features.shape) < 2 or 0 in features.shape:
        raise UserError(
            f"The data set {dataset.name!r} has {part} features of shape {features.shape}: "
            "expected (samples, features), (samples, channels, length) or (samples, channels, "
            "height, width), all above 0."
        )
    if features.dtype.kind not in "iuf":
        raise UserError(
            f"The data set {dataset.name!r} has {part} features of type {features.dtype}: expected "
            "integers or floats."
        )
    if isinstance(features, np.ndarray) and features.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(features).reshape(len(features), -1).all(axis=1))
        if bad.size:
            raise UserError(
                f"The data set {dataset.name!r} has a feature that is not a finite number in "
                f"{part} sample {bad[0]} (from 0), and in {bad.size} of {len(features)} samples in "
                "all: replace or remove them."
            )


def _check_that_samples_differ(dataset: Dataset, features: Samples) -> None:
    # Mostly the second sample ends the search.
    if isinstance(features, np.ndarray) and all((one == features[0]).all() for one in features):
        raise UserError(
            f"The data set {dataset.name!r} has the same features in all of its {len(features)} "
            "training samples: there is nothing to learn from them."
        )


def _check_classes(dataset: Dataset, part: str, features: Samples, classes: Classes) -> None:
    if classes.shape != (len(features),):
        raise UserError(
            f"The data set {dataset.name!r} has {len(features)} {part} samples and classes of "
            f"shape {classes.shape}: expected one class for each sample."
        )
    if classes.min() < 0:
        first = int(np.flatnonzero(classes < 0)[0])
        raise UserError(
            f"The data set {dataset.name!r} has class {classes[first]} at {part} sample {first} "
            "(from 0): classes are numbers from 0."
        )


def _check_that_classes_are_trained(dataset: Dataset, train: Classes, test: Classes) -> None:
    known = np.unique(train)
    # Not by a table of all numbers up to the largest: that one may be 2⁶².
    gap = np.flatnonzero(known != np.arange(len(known)))
    if gap.size:
        raise UserError(
            f"The data set {dataset.name!r} has training samples of class {known[-1]} and none of "
            f"class {gap[0]}: number the {len(known)} classes from 0 without a gap."
        )
    unknown = np.flatnonzero(test >= len(known))
    if unknown.size:
        first = int(unknown[0])
        raise UserError(
            f"The data set {dataset.name!r} has class {test[first]} at test sample {first} (from "
            f"0), and its training part only the classes 0 to {known[-1]}: every class needs "
            "training samples."
        )
