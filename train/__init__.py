"""Training of networks whose activations take |A| levels and whose weights take |W| values.

Names are imported when first used, so data sets and settings are there without PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nomul.train.activations import ReluD, TanhD
    from nomul.train.data import Dataset, load_dataset
    from nomul.train.exact_mode import exact
    from nomul.train.experiment import Experiment, load_experiment
    from nomul.train.layers import Dense, InputLevels, Scale
    from nomul.train.lowering import lower
    from nomul.train.trainer import accuracy, train

__all__ = [
    "Dataset",
    "Dense",
    "Experiment",
    "InputLevels",
    "ReluD",
    "Scale",
    "TanhD",
    "accuracy",
    "exact",
    "load_dataset",
    "load_experiment",
    "lower",
    "train",
]

_MODULES = {
    "Dataset": "data",
    "Dense": "layers",
    "Experiment": "experiment",
    "InputLevels": "layers",
    "ReluD": "activations",
    "Scale": "layers",
    "TanhD": "activations",
    "accuracy": "trainer",
    "exact": "exact_mode",
    "load_dataset": "data",
    "load_experiment": "experiment",
    "lower": "lowering",
    "train": "trainer",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
