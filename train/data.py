"""Data sets, each already split into a training and a test part: by name, or the user's own."""

from __future__ import annotations

import os
from pathlib import Path

from nomul.network.errors import UserError, unknown_name
from nomul.train.dataset import Dataset, Samples, check_dataset
from nomul.train.named_data import DATASETS, Parts
from nomul.train.own_data import read_own

__all__ = ["DATASETS", "Dataset", "Samples", "data_folder", "load_dataset"]


def data_folder() -> Path:
    """Return the folder of the named data sets: NOMUL_DATA, or ../shared/data from here."""
    return Path(os.environ.get("NOMUL_DATA") or Path("..", "shared", "data"))


def load_dataset(name: str) -> Dataset:
    """Return a data set that passed :func:`nomul.train.dataset.check_dataset`.

    Parameters
    ----------
    name
        One of ``DATASETS``, or the path of the user's own data: an .npz file, a folder of IDX
        files, a folder of pictures (docs/data.md). A name goes first: ``./mnist`` is a path.

    Raises
    ------
    UserError
        If there is none of that name, its files are absent or damaged, or a check fails.
    """
    if name in DATASETS:
        return check_dataset(Dataset(name, *_named(name)))
    path = Path(name)
    if name and path.exists():
        return check_dataset(Dataset(name, *read_own(path)))
    if any(separator in name for separator in (os.sep, os.altsep or os.sep)) or path.suffix:
        raise UserError(
            f"There is no file or folder {name!r}: give the path of your data or the name of a "
            f"data set, one of {', '.join(sorted(DATASETS))}."
        )
    raise UserError(unknown_name("data set", name, DATASETS))


def _named(name: str) -> Parts:
    known = DATASETS[name]
    folder = data_folder()
    for file in known.files:
        if not (folder / file).is_file():
            raise UserError(
                f"The data set {name!r} needs {file!r} in the folder {str(folder.resolve())!r}, "
                "and it is not there: set the environment variable NOMUL_DATA to the folder that "
                f"has it (docs/data.md lists the files; the data are from {known.source})."
            )
    return known.read(*(folder / file for file in known.files))
