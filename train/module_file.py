"""A trained module's state in a file beside its network: so that PyTorch can be asked again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from nomul.network import UserError
from nomul.network.archive import read_archive, write_archive
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment
from nomul.train.layers import weighted_layers
from nomul.train.modules import build_module

__all__ = ["load_module", "save_module"]

FORMAT = "nomul-module"


def save_module(module: nn.Module, path: Path) -> None:
    """Write the state of a trained module, the fixed codebooks included.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    state = {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}
    masks = {name for name in state if name.endswith(".mask")}
    # A mask is 0 or 1: a byte holds it.
    bytes_ = {name: state[name].astype(np.uint8) for name in masks}
    write_archive(path, FORMAT, state | bytes_)


def load_module(path: Path, experiment: Experiment, dataset: Dataset) -> nn.Sequential:
    """Return the experiment's module with the state that :func:`save_module` wrote.

    Parameters
    ----------
    dataset
        The experiment's, enlarged as it says: the module is built for the shape of its features.

    Returns
    -------
    nn.Sequential
        In evaluation mode, on the CPU.

    Raises
    ------
    UserError
        If the file cannot be read or is the state of another experiment's module.
    """
    module = build_module(experiment, dataset, discretized=True)
    for layer in weighted_layers(module):
        layer.clusters_bias = experiment.codebook.biases == "clustered"
    arrays = read_archive(path, FORMAT)
    try:
        # Of a codebook too, what is no number or of another shape raises something.
        with np.errstate(invalid="raise"):
            module.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise UserError(
            f"{path} is the state of another experiment's module: train this one again."
        ) from error
    return module.eval()
