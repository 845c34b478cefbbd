"""The training loop: float training between clusterings, ending on the codebook.

Baluja et al. 2018, section 2: every fixed number of steps the weights are replaced by their
nearest centres; between, training is ordinary. After that, optionally, the codebook is fixed and
the forward pass uses it (straight-through estimation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nomul.train.codebook import Codebook, fit_grid, fit_kmeans
from nomul.train.data import Dataset
from nomul.train.experiment import Experiment, TrainingSettings
from nomul.train.layers import Dense
from nomul.train.modules import build_module, dense_layers
from nomul.train.pruning import prune

__all__ = ["accuracy", "train"]

PRUNING_ROUNDS = (4, 2, 1)
"""Multiples of the final fan-in, reached one after the other at equal distances."""

BATCH_NORM_SCALE_MIN = 1e-3
"""Least scale of a batch-norm: a positive one keeps the step function that it joins rising."""

Progress = Callable[[int, int], None]


def train(
    experiment: Experiment,
    dataset: Dataset,
    *,
    discretized: bool,
    progress: Progress | None = None,
) -> nn.Sequential:
    """Train the experiment's network and return it in evaluation mode.

    The same experiment and data give the same network on the same machine.

    Parameters
    ----------
    discretized
        False for the float twin: same layers, start, batches, noise and budget, but continuous
        activations, free weights and no pruning.
    progress
        Called after each step with the steps done and their number.

    Returns
    -------
    nn.Sequential
        Takes features, shape (samples, inputs), and gives one number for each class. If
        discretized, every weight is a centre of its layer's codebook.
    """
    settings = experiment.training
    module = build_module(experiment, dataset, discretized=discretized)
    layers = dense_layers(module)
    features = torch.from_numpy(dataset.train_features).flatten(1)
    optimizer = torch.optim.Adam(module.parameters(), settings.learning_rate)
    pruned_to = _pruning_schedule(experiment) if discretized else {}
    fix_at = round(settings.straight_through_from * settings.steps)
    module.train()
    for step, (x, classes) in zip(
        range(settings.steps), _batches(features, dataset, settings), strict=False
    ):
        if step in pruned_to:
            prune(module, pruned_to[step], features)
        if discretized and step == fix_at:
            for layer, codebook in _fit(layers, experiment):
                layer.fix_codebook(codebook)
        elif discretized and step < fix_at and _clusters_at(step, settings):
            for layer, codebook in _fit(layers, experiment):
                layer.cluster(codebook)
        for group in optimizer.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            group["lr"] = settings.learning_rate * cosine
        loss = functional.cross_entropy(
            module(x), classes, label_smoothing=settings.label_smoothing
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        _keep_batch_norm_rising(module)
        if progress is not None:
            progress(step + 1, settings.steps)
    if discretized:
        if fix_at >= settings.steps:
            for layer, codebook in list(_fit(layers, experiment)):
                layer.fix_codebook(codebook)
        for layer in layers:
            assert layer.codebook is not None, "it was fixed at fix_at, or just now"
            layer.cluster(layer.codebook)
    return module.eval()


@torch.no_grad()
def accuracy(module: nn.Module, dataset: Dataset) -> float:
    """Return the share of the test samples whose class the module gives, 0 to 1."""
    answers = module(torch.from_numpy(dataset.test_features).flatten(1)).argmax(dim=1)
    return float((answers.numpy() == dataset.test_classes).mean())


def _batches(
    features: Tensor, dataset: Dataset, settings: TrainingSettings
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield noisy features and classes, drawn with replacement, without end."""
    generator = torch.Generator().manual_seed(settings.seed)
    classes = torch.from_numpy(dataset.train_classes)
    while True:
        chosen = torch.randint(len(features), (settings.batch_size,), generator=generator)
        x = features[chosen]
        if settings.noise:
            noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = x + settings.noise * noise
        yield x, classes[chosen]


def _pruning_schedule(experiment: Experiment) -> dict[int, tuple[int, ...]]:
    """Return the steps at which to prune, and the fan-in of each layer from there on."""
    fan_in, settings = experiment.network.fan_in, experiment.training
    if not fan_in:
        return {}
    end = min(settings.prune_until * settings.steps, settings.steps - 1)
    return {
        int(end * (number + 1) / len(PRUNING_ROUNDS)): tuple(multiple * k for k in fan_in)
        for number, multiple in enumerate(PRUNING_ROUNDS)
    }


def _clusters_at(step: int, settings: TrainingSettings) -> bool:
    return (
        settings.cluster_every > 0
        and step >= settings.cluster_from * settings.steps
        and step % settings.cluster_every == 0
    )


def _fit(layers: list[Dense], experiment: Experiment) -> Iterator[tuple[Dense, Codebook]]:
    """Yield every layer with the codebook that its scope gives it."""
    settings = experiment.codebook
    prunes = bool(experiment.network.fan_in)
    scopes = [layers] if settings.scope == "network" else [[layer] for layer in layers]
    for scope in scopes:
        weights = np.concatenate([layer.used_weights() for layer in scope])
        if settings.kind == "grid":
            codebook = fit_grid(weights, settings.size)
        else:
            codebook = fit_kmeans(weights, settings.size, with_zero=prunes)
        for layer in scope:
            yield layer, codebook


@torch.no_grad()
def _keep_batch_norm_rising(module: nn.Sequential) -> None:
    for layer in module:
        if isinstance(layer, nn.BatchNorm1d):
            layer.weight.clamp_(min=BATCH_NORM_SCALE_MIN)
