"""Measure what training by the method costs; print it. Run from the repository's root::

python -m benchmarks.training

1. Steps of the trainer on the CNN of examples/mnist-cnn.toml, clusterings included, against a
   plain PyTorch loop on the same layers, batch size and images: taken in turns, block by block.
2. Codebooks of 1,000 centres for 60 million weights, with every weight replaced by its centre.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nomul.train.codebook import fit_codebook
from nomul.train.data import load_dataset
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import load_experiment
from nomul.train.run import Run

BLOCKS, STEPS_PER_BLOCK = 10, 60
"""The trainer clusters every 60 steps here, five times as often as in the example."""

N_WEIGHTS, N_CENTRES = 60_000_000, 1_000


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def trainer_block(experiment: Experiment, discretized: bool) -> Callable[[], None]:
    """Return what takes a block of the trainer's steps."""
    run = Run(experiment, load_dataset(experiment.data.name), discretized=discretized)

    def block() -> None:
        for _ in range(STEPS_PER_BLOCK):
            run.advance()

    return block


def plain_block(batch_size: int, learning_rate: float) -> Callable[[], None]:
    """Return what takes a block of a plain loop's steps on the same layers."""
    dataset = load_dataset("mnist")
    images = torch.from_numpy(dataset.train_features[:]).float() / 255
    classes = torch.from_numpy(dataset.classes[0])
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Tanh(),
        nn.Conv2d(16, 32, 3),
        nn.MaxPool2d(2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(1152, 48),
        nn.Tanh(),
        nn.Linear(48, 10),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(module.parameters(), learning_rate)

    def block() -> None:
        for _ in range(STEPS_PER_BLOCK):
            chosen = torch.randint(len(images), (batch_size,))
            x = images[chosen].contiguous(memory_format=torch.channels_last)
            loss = functional.cross_entropy(module(x), classes[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return block


def overhead() -> None:
    """Print the trainer's time per step, and its ratio to the plain loop's."""
    experiment = load_experiment(Path("examples/mnist-cnn.toml"))
    training = dataclasses.replace(
        experiment.training, shift=0, cluster_every=STEPS_PER_BLOCK, cluster_from=0.0
    )
    changes_of: dict[str, dict[str, Any]] = {
        "float32": {},
        "bfloat16": {"precision": "bfloat16"},
        "compiled": {"compile": True},
    }
    for name, changes in changes_of.items():
        changed = dataclasses.replace(experiment, training=dataclasses.replace(training, **changes))
        blocks = {
            "plain loop": plain_block(training.batch_size, training.learning_rate),
            "float twin": trainer_block(changed, discretized=False),
            "discretized": trainer_block(changed, discretized=True),
        }
        taken: dict[str, list[float]] = {label: [] for label in blocks}
        for block in blocks.values():
            block()  # warms up, and compiles
        for _ in range(BLOCKS):
            for label, block in blocks.items():
                taken[label].append(seconds(block) / STEPS_PER_BLOCK)
        plain = taken["plain loop"]
        for label, times in taken.items():
            ratio = statistics.median(t / p for t, p in zip(times, plain, strict=True))
            print(
                f"{name:9} {label:12} {1e3 * statistics.median(times):7.2f} ms/step  "
                f"{ratio:5.2f} of the plain loop"
            )


def clustering() -> None:
    """Print the seconds that codebooks for many weights take."""
    rng = np.random.default_rng(0)
    weights = rng.laplace(0.0, 0.01, N_WEIGHTS).astype(np.float32)
    for kind in ("laplacian_l1", "gaussian_l2", "grid", "kmeans"):
        started = time.perf_counter()
        codebook = fit_codebook(kind, weights, N_CENTRES)
        fitted = time.perf_counter()
        centres = torch.from_numpy(codebook.centres).float()
        middles = (centres[1:] + centres[:-1]) / 2
        nearest = centres[torch.bucketize(torch.from_numpy(weights), middles, out_int32=True)]
        ended = time.perf_counter()
        error = float((nearest - torch.from_numpy(weights)).double().square().mean().sqrt())
        print(
            f"{kind:13} {len(centres):5} centres  fit {fitted - started:6.2f} s  replace "
            f"{ended - fitted:6.2f} s  root mean squared error {error:.3g}"
        )


if __name__ == "__main__":
    torch.set_num_threads(2)
    overhead()
    clustering()
