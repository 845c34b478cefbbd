"""Short trainings on little data, and how to compare what came out of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import nn

from nomul.train.data import load_dataset
from nomul.train.dataset import Dataset
from nomul.train.experiment import (
    CodebookSettings,
    Experiment,
    InputSettings,
    NetworkSettings,
    TrainingSettings,
)
from nomul.train.layer_settings import ConvSettings, DropoutSettings, MaxPoolSettings

__all__ = ["CONVOLUTIONS", "assert_same_state", "digits", "experiment", "pictures"]

SIX_NEURONS = NetworkSettings(hidden=(6,))
NINE_CENTRES = CodebookSettings(size=9)
SIXTEEN_LEVELS = InputSettings(levels=16)

CONVOLUTIONS = NetworkSettings(
    layers=(
        ConvSettings(4, 3, padding=1),
        MaxPoolSettings(2),
        DropoutSettings(0.3),
        ConvSettings(4, 3, padding=1, groups=2),
    ),
    levels=4,
    batch_norm=True,
)


def experiment(
    *,
    network: NetworkSettings = SIX_NEURONS,
    codebook: CodebookSettings = NINE_CENTRES,
    input: InputSettings = SIXTEEN_LEVELS,  # noqa: A002
    **training: Any,
) -> Experiment:
    """Return an experiment of twelve steps."""
    settings = {"steps": 12, "batch_size": 16, "cluster_every": 4} | training
    return Experiment(
        input=input, network=network, codebook=codebook, training=TrainingSettings(**settings)
    )


def digits(n_samples: int = 200) -> Dataset:
    """Return the digits as rows of a table, fewer to train on."""
    known = load_dataset("digits")
    assert known.train_classes is not None
    return dataclasses.replace(
        known,
        train_features=known.train_features[:n_samples].reshape(n_samples, -1),
        train_classes=known.train_classes[:n_samples],
        test_features=known.test_features[:].reshape(len(known.test_features), -1),
    )


def pictures(
    shape: tuple[int, ...] = (2, 6, 6), n_samples: int = 120, *, n_classes: int = 3, seed: int = 0
) -> Dataset:
    """Return random bytes; a sample's class says where it is bright. 0 classes: none."""
    generator = np.random.default_rng(seed)
    features = generator.integers(0, 128, (n_samples + 30, *shape), dtype=np.uint8)
    classes = generator.integers(0, max(n_classes, 1), n_samples + 30)
    for number in range(n_classes):
        features[classes == number, ..., number] += 100
    train, test = (classes[:n_samples], classes[n_samples:]) if n_classes else (None, None)
    return Dataset("random", features[:n_samples], train, features[n_samples:], test)


def assert_same_state(one: nn.Module, other: nn.Module) -> None:
    """Compare parameters, buffers and codebooks to the bit."""
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
