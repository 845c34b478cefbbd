"""What the tests and benchmarks of other folders need of the data sets."""

from __future__ import annotations

import pytest

from nomul.train.data import DATASETS, data_folder

__all__ = ["needs_data"]


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skip the test where the files of a named data set are absent."""
    folder = data_folder()
    present = all((folder / file).is_file() for file in DATASETS[name].files)
    return pytest.mark.skipif(
        not present, reason=f"the data set {name!r} is not in {folder}: set NOMUL_DATA"
    )
