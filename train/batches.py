"""Batches: samples drawn at random, changed a little, as the network takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nomul.network import UserError
from nomul.train.dataset import Dataset, Samples
from nomul.train.experiment import Experiment, TrainingSettings
from nomul.train.layers import InputLevels

__all__ = ["Batch", "Batches", "chunks", "split_validation", "tensor_of"]

MEMORY_MAX = 2**30
"""Bytes of training inputs that are discretized once and kept; more are, batch by batch."""

CHUNK = 500
"""Samples that go through a network at once where no gradient is wanted."""


@dataclass(frozen=True)
class Batch:
    """What one step trains on.

    Attributes
    ----------
    x
        What leaves the network's InputLevels, float32.
    target
        Classes, int64, shape (samples,); or what is to be reconstructed, float32, shape
        (samples, features).
    """

    x: Tensor
    target: Tensor


class Batches:
    """Draws batches with replacement, all from one generator: its state is all their state.

    Without noise, what the inputs become is computed once.

    Parameters
    ----------
    inputs
        The network's first module.
    chosen
        Numbers of the training samples that take part.
    """

    def __init__(
        self, experiment: Experiment, dataset: Dataset, inputs: InputLevels, chosen: Tensor
    ) -> None:
        self._settings = experiment.training
        self._inputs = inputs
        self._features = dataset.train_features
        self._chosen = chosen
        shape = self._features.shape[1:]
        if (self._settings.shift or self._settings.flip) and len(shape) < 2:
            raise UserError(
                "training.shift and training.flip move pictures and signals: leave them out for "
                f"features of shape {shape}."
            )
        self._classes = None
        if experiment.network.task == "classify":
            self._classes = torch.from_numpy(dataset.classes[0])
        self.generator = torch.Generator().manual_seed(experiment.training.seed)
        size = 4 * int(np.prod(self._features.shape))
        size *= inputs.levels - 1 if inputs.encoding == "thermometer" else 1
        self._ready: Tensor | None = None
        self._targets: Tensor | None = None
        if not self._settings.noise and size <= MEMORY_MAX:
            self._ready = torch.cat([inputs(part) for part in chunks(self._features)])
        if self._classes is None and size <= MEMORY_MAX:
            self._targets = torch.cat([inputs.scaled(part) for part in chunks(self._features)])

    def draw(self) -> Batch:
        """Return the next batch."""
        settings, generator = self._settings, self.generator
        drawn = torch.randint(len(self._chosen), (settings.batch_size,), generator=generator)
        numbers = self._chosen[drawn]
        if self._ready is not None:
            x = self._ready[numbers]
        else:
            features = tensor_of(self._features[numbers.numpy()])
            if settings.noise:
                features = features.double()
                noise = torch.randn(features.shape, generator=generator, dtype=features.dtype)
                features = features + settings.noise * noise
            x = self._inputs(features)
        if self._classes is not None:
            (x,) = _augmented(settings, generator, x)
            return Batch(x, self._classes[numbers])
        target = self._target(numbers)
        x, target = _augmented(settings, generator, x, target)
        return Batch(x, target.flatten(1))

    def all_of(self, numbers: Tensor) -> Iterator[Batch]:
        """Yield the samples ``numbers`` in chunks, unchanged: a validation part, say."""
        for part in torch.split(numbers, CHUNK):
            x = self._inputs(tensor_of(self._features[part.numpy()]))
            target = self._target(part).flatten(1) if self._classes is None else self._classes[part]
            yield Batch(x, target)

    def _target(self, numbers: Tensor) -> Tensor:
        if self._targets is not None:
            return self._targets[numbers]
        return self._inputs.scaled(tensor_of(self._features[numbers.numpy()]))


def chunks(features: Samples) -> Iterator[Tensor]:
    """Yield all samples in order, a few at a time."""
    for start in range(0, len(features), CHUNK):
        yield tensor_of(features[start : start + CHUNK])


def tensor_of(features: NDArray[Any]) -> Tensor:
    """Return samples as a tensor; of a memory-mapped or otherwise read-only array, a copy."""
    return torch.from_numpy(np.require(features, requirements=["C", "W"]))


def split_validation(settings: TrainingSettings, n_samples: int) -> tuple[Tensor, Tensor]:
    """Return the numbers of the samples to train on and to validate on, both in order.

    If there are to be any to validate on, there is at least one, and at least one to train on.
    """
    if settings.validation == 0:
        return torch.arange(n_samples), torch.arange(0)
    n_apart = min(max(1, round(settings.validation * n_samples)), n_samples - 1)
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(n_samples, generator=generator)
    return order[n_apart:].sort().values, order[:n_apart].sort().values


def _augmented(
    settings: TrainingSettings, generator: torch.Generator, *tensors: Tensor
) -> tuple[Tensor, ...]:
    """Return every tensor's samples moved and mirrored alike; what moves in is zero."""
    n_samples = len(tensors[0])
    if settings.shift:
        axes = tensors[0].ndim - 2
        moves = torch.randint(2 * settings.shift + 1, (axes, n_samples), generator=generator)
        tensors = tuple(_moved(x, moves, settings.shift) for x in tensors)
    if settings.flip:
        mirrored = torch.rand(n_samples, generator=generator) < 0.5
        tensors = tuple(
            torch.where(mirrored.view(-1, *(1,) * (x.ndim - 1)), x.flip(-1), x) for x in tensors
        )
    return tensors


def _moved(x: Tensor, moves: Tensor, shift: int) -> Tensor:
    """Return the windows of the padded samples that begin at ``moves``, one for each axis."""
    axes = x.ndim - 2
    windows = functional.pad(x, (shift,) * (2 * axes))
    for axis in range(axes):
        windows = windows.unfold(2 + axis, x.shape[2 + axis], 1)
    samples = torch.arange(len(x))
    return windows[(samples, slice(None), *moves)]
