"""Training of networks whose activations take |A| levels and whose weights take |W| values.

Names are imported when first used, so data sets and settings are there without PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nomul.train.activations import (
        Activation,
        FunctionD,
        HardTanhD,
        ReluD,
        SigmoidD,
        SignD,
        TanhD,
    )
    from nomul.train.codebook import fit_codebook
    from nomul.train.data import load_dataset
    from nomul.train.dataset import Dataset
    from nomul.train.exact_mode import exact
    from nomul.train.experiment import Experiment
    from nomul.train.experiment_file import load_experiment, load_variants
    from nomul.train.layers import (
        Conv1d,
        Conv2d,
        ConvTranspose2d,
        Dense,
        InputLevels,
        Residual,
        Scale,
    )
    from nomul.train.lookup import ClassSum, Lookup
    from nomul.train.lowering import lower
    from nomul.train.metrics import accuracy, squared_error
    from nomul.train.trainer import train
    from nomul.train.weighted import weighted_layers

__all__ = [
    "Activation",
    "ClassSum",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dataset",
    "Dense",
    "Experiment",
    "FunctionD",
    "HardTanhD",
    "InputLevels",
    "Lookup",
    "ReluD",
    "Residual",
    "Scale",
    "SigmoidD",
    "SignD",
    "TanhD",
    "accuracy",
    "exact",
    "fit_codebook",
    "load_dataset",
    "load_experiment",
    "load_variants",
    "lower",
    "squared_error",
    "train",
    "weighted_layers",
]

_MODULES = {
    "Activation": "activations",
    "ClassSum": "lookup",
    "Conv1d": "layers",
    "Conv2d": "layers",
    "ConvTranspose2d": "layers",
    "Dataset": "dataset",
    "Dense": "layers",
    "Experiment": "experiment",
    "FunctionD": "activations",
    "HardTanhD": "activations",
    "InputLevels": "layers",
    "Lookup": "lookup",
    "ReluD": "activations",
    "Residual": "layers",
    "Scale": "layers",
    "SigmoidD": "activations",
    "SignD": "activations",
    "TanhD": "activations",
    "accuracy": "metrics",
    "exact": "exact_mode",
    "fit_codebook": "codebook",
    "load_dataset": "data",
    "load_experiment": "experiment_file",
    "load_variants": "experiment_file",
    "lower": "lowering",
    "squared_error": "metrics",
    "train": "trainer",
    "weighted_layers": "weighted",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
