"""Checkpoints: the whole state of a training, so that it goes on as if it had never stopped."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nomul.network import UserError
from nomul.network.files import staged_file
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment, HardwareSettings
from nomul.train.experiment_file import format_experiment
from nomul.train.twin import twin_of

__all__ = ["Checkpoint", "identity", "load_checkpoint", "save_checkpoint"]

VERSION = 1
SAMPLES = 100
"""Training samples by which data are told from other data."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after ``step`` steps.

    Attributes
    ----------
    step
        Steps done.
    module, optimizer
        Their state dicts.
    batches, dropout
        State of the generator that draws batches, and of PyTorch's own, the CPU's first.
    best
        The least loss on the validation part, the state dict that had it and how many
        validations ago that was; empty without validation.
    """

    step: int
    module: dict[str, Any]
    optimizer: dict[str, Any]
    batches: torch.Tensor
    dropout: list[torch.Tensor]
    best: dict[str, Any]


def save_checkpoint(checkpoint: Checkpoint, path: Path, of: str) -> None:
    """Write ``checkpoint`` to ``path``; until it is complete, the one before it stays.

    Parameters
    ----------
    of
        The training's :func:`identity`.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    state = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    with staged_file(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save({"version": VERSION, "of": of, "state": state}, file)
        except RuntimeError as error:
            # PyTorch closes its archive behind a failed write, and complains of that instead.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def load_checkpoint(path: Path, of: str) -> Checkpoint:
    """Read a checkpoint of the same training.

    Parameters
    ----------
    of
        The training's :func:`identity`.

    Raises
    ------
    UserError
        If it cannot be read, or is one of another training or of a later version of nomul.
    """
    try:
        # PyTorch takes what is no archive for a file of its own first versions, and warns of it.
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile
        content = torch.load(path, map_location="cpu", weights_only=True)
        version, found = int(content["version"]), content["of"]
        checkpoint = Checkpoint(**content["state"]) if version == VERSION else None
    except Exception as error:  # a damaged file may raise anything
        raise UserError(
            f"{path} cannot be read as a checkpoint: delete it to train from the start."
        ) from error
    if checkpoint is None:
        raise UserError(
            f"{path} is a checkpoint of version {version}, and this nomul reads version {VERSION}: "
            "use the nomul that wrote it, or delete it to train from the start."
        )
    if found != of:
        raise UserError(
            f"{path} is a checkpoint of another network, experiment or data set: give another "
            "folder, or delete it to train from the start."
        )
    return checkpoint


def identity(experiment: Experiment, dataset: Dataset, *, discretized: bool) -> str:
    """Return all that a training depends on, as text; data as their shape and a digest."""
    same = experiment if discretized else twin_of(experiment)
    training = replace(same.training, checkpoint_every=1)
    same = replace(same, hardware=HardwareSettings(), training=training)
    digest = hashlib.sha256(np.ascontiguousarray(dataset.train_features[:SAMPLES]).tobytes())
    if dataset.train_classes is not None:
        digest.update(dataset.train_classes.tobytes())
    return "\n".join(
        [
            f"discretized = {str(discretized).lower()}",
            f"data = {dataset.train_features.shape}, {digest.hexdigest()}",
            format_experiment(same),
        ]
    )
