"""How good a network is on a data set's test part."""

from __future__ import annotations

import torch
from torch import nn

from nomul.train.batches import chunks
from nomul.train.dataset import Dataset
from nomul.train.exact_layers import ExactNetwork
from nomul.train.layers import InputLevels

__all__ = ["accuracy", "squared_error"]


@torch.no_grad()
def accuracy(module: nn.Module, dataset: Dataset) -> float:
    """Return the share of the test samples whose class the module gives, 0 to 1."""
    _, classes = dataset.classes
    answers = torch.cat([module(x).flatten(1).argmax(dim=1) for x in chunks(dataset.test_features)])
    return float((answers.numpy() == classes).mean())


@torch.no_grad()
def squared_error(module: nn.Module, dataset: Dataset, inputs: InputLevels) -> float:
    """Return the mean squared difference of the test samples' features and what is given for them.

    Parameters
    ----------
    inputs
        Says what features are scaled to: 0..1 over their range in the training part.
    """
    scale = module.unit if isinstance(module, ExactNetwork) else 1.0
    total, count = 0.0, 0
    for x in chunks(dataset.test_features):
        given = module(x).flatten(1).double() * scale
        difference = given - inputs.scaled(x).flatten(1).double()
        total += float(difference.square().sum())
        count += difference.numel()
    return total / count
