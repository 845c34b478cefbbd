"""Scopes: which layers share a codebook, and fitting one to the weights of each."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from nomul.network import UserError
from nomul.train.codebook import Codebook, centres_used, check_size, fit_codebook
from nomul.train.experiment import CodebookSettings, Experiment
from nomul.train.layers import Weighted
from nomul.train.parallel import same_on_all_ranks

__all__ = ["check_codebooks", "fit_codebooks"]


def fit_codebooks(
    layers: list[Weighted], experiment: Experiment, size: int
) -> list[tuple[Weighted, Codebook]]:
    """Return every layer with the codebook that its scope gives it.

    Parameters
    ----------
    size
        |W|.

    Raises
    ------
    UserError
        If a weight is not a finite number.
    """
    fitted = []
    for scope in _scopes(layers, experiment.codebook):
        weights = np.concatenate([layer.used_weights() for layer in scope])
        if not np.isfinite(weights).all():
            raise UserError("A weight is no finite number any more: lower training.learning_rate.")
        codebook = same_on_all_ranks(partial(_fitted_to, weights, size, experiment))
        fitted += [(layer, codebook) for layer in scope]
    return fitted


def check_codebooks(layers: list[Weighted], experiment: Experiment) -> None:
    """Refuse scopes that do not name the layers, and codebooks larger than their scope.

    Raises
    ------
    UserError
        Saying which.
    """
    settings = experiment.codebook
    numbers = sorted(number for group in settings.groups for number in group)
    if settings.groups and numbers != list(range(len(layers))):
        raise UserError(
            f"codebook.groups names the layers {numbers}: it must name each of the weighted layers "
            f"0 to {len(layers) - 1} once."
        )
    for number, scope in enumerate(_scopes(layers, settings)):
        n_weights = sum(layer.weight.numel() for layer in scope)
        name = {"network": "the network", "layer": f"weighted layer {number}"}
        size = centres_used(settings.kind, settings.size)
        check_size(size, n_weights, name.get(settings.scope, f"group {number}"))


def _fitted_to(weights: NDArray[np.float32], size: int, experiment: Experiment) -> Codebook:
    settings, network = experiment.codebook, experiment.network
    return fit_codebook(
        settings.kind,
        weights,
        size,
        with_zero=settings.zero or bool(network.fan_in or network.operand_bits),
        pinned=settings.pinned,
    )


def _scopes(layers: list[Weighted], settings: CodebookSettings) -> list[list[Weighted]]:
    match settings.scope:
        case "network":
            return [layers] if layers else []
        case "layer":
            return [[layer] for layer in layers]
        case "groups":
            return [[layers[number] for number in group] for group in settings.groups]
