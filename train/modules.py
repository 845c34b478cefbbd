"""From an experiment's settings to a PyTorch module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from nomul.train.activations import Activation, ReluD, TanhD
from nomul.train.data import Dataset
from nomul.train.experiment import Experiment
from nomul.train.layers import Dense, InputLevels, Scale

__all__ = ["build_module", "dense_layers"]

ACTIVATIONS: dict[str, Callable[[int | None], Activation]] = {"tanhd": TanhD, "relud": ReluD}


def build_module(experiment: Experiment, dataset: Dataset, *, discretized: bool) -> nn.Sequential:
    """Return the experiment's network, its weights drawn from the experiment's seed.

    Parameters
    ----------
    discretized
        False for the float twin: the same layers with the same start, but continuous inputs and
        activations.
    """
    settings = experiment.network
    levels = settings.levels if discretized else None
    features = dataset.train_features
    n_inputs = features[0].size
    modules: list[nn.Module] = [
        InputLevels(
            float(features.min()),
            float(features.max()),
            experiment.input.levels if discretized else None,
        )
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.training.seed)
        for n_neurons in settings.hidden:
            modules.append(Dense(n_inputs, n_neurons, bias=not settings.batch_norm))
            if settings.batch_norm:
                modules.append(nn.BatchNorm1d(n_neurons))
            modules.append(ACTIVATIONS[settings.activation](levels))
            n_inputs = n_neurons
        modules.append(Dense(n_inputs, dataset.n_classes))
        if settings.batch_norm:
            modules.append(Scale())
    return nn.Sequential(*modules)


def dense_layers(module: nn.Module) -> list[Dense]:
    """Return the dense layers of ``module`` in order."""
    return [layer for layer in module.modules() if isinstance(layer, Dense)]
