"""PyTorch → network: the trained module in exact mode, asked again, against the golden model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nomul.network import Lookup, Network, Output, UserError, Weighted
from nomul.network.layers import layer_name
from nomul.sim.golden import evaluate_levels, input_levels
from nomul.train.batches import chunks, tensor_of
from nomul.train.dataset import Dataset
from nomul.train.exact_layers import ExactLevels, ExactLookup, ExactNetwork, ExactResidual
from nomul.train.exact_mode import exact
from nomul.train.experiment import Experiment
from nomul.train.module_file import load_module
from nomul.verify.comparison import compared, first_inside
from nomul.verify.samples import Samples
from nomul.verify.step import Finding

__all__ = ["torch_step"]


def torch_step(
    network: Network, samples: Samples, experiment: Experiment, dataset: Dataset, state: Path
) -> Finding:
    """Compare the module whose state lies at ``state`` with the golden model.

    All accumulators are compared, and beside them the class where that is the network's answer.

    Parameters
    ----------
    samples
        With their features.
    dataset
        The experiment's, as it was trained on.

    Raises
    ------
    UserError
        If the module's state cannot be read, is another experiment's, or gives other numbers of
        answers than the network.
    """
    assert samples.features is not None, "a module takes features"
    module = exact(load_module(state, experiment, dataset))
    with torch.no_grad():
        sums = torch.cat([module(x) for x in chunks(samples.features)])
    # Compared as they are: what is no whole number differs.
    accumulators = sums.numpy().astype(np.float64)
    if network.output.kind == "levels" or accumulators.shape[1] != network.n_outputs:
        raise UserError(
            f"{state} gives {accumulators.shape[1]} accumulators, and the network "
            f"{network.n_outputs} {network.output.kind}: they are not of one training."
        )
    found, expected = accumulators, samples.expected
    is_class = network.output.kind == "class"
    if is_class:
        summing = dataclasses.replace(network, output=Output("accumulators"))
        found = np.hstack([accumulators, accumulators.argmax(axis=1, keepdims=True)])
        expected = np.hstack([evaluate_levels(summing, samples.levels), expected])

    def place(sample: int, answer: int) -> str:
        at = f"layers.{len(network.layers) - 1}, neuron {answer}"
        if is_class and answer == network.n_outputs:
            at = "the class"
        features = samples.features[sample : sample + 1]  # type: ignore[index]
        inner = _first_inside(module, network, features)
        return at + (f", first at {inner}" if inner else "")

    return compared(expected, found, place, "in exact mode")


def _first_inside(
    module: ExactNetwork, network: Network, features: NDArray[np.number]
) -> str | None:
    """Return where levels first differ inside a chain, for one sample; None if none is known to."""
    if any(isinstance(layer, ExactResidual) for layer in module):
        return None
    levels = input_levels(network, features)
    x = module[0](tensor_of(features))
    wrong = np.flatnonzero(x.flatten().numpy() != levels[0])
    if len(wrong):
        return f"input {wrong[0]}"
    rounding = [
        layer_name(number)
        for number, layer in enumerate(network.layers)
        if isinstance(layer, Lookup) or (isinstance(layer, Weighted) and layer.n_levels)
    ]
    found: dict[str, list[int]] = {}
    for layer in list(module)[1:]:
        x = layer(x)
        if isinstance(layer, ExactLevels | ExactLookup) and rounding:
            found[rounding.pop(0)] = _levels(layer, x.flatten())

    def known(layer: str, neuron: int) -> int | None:
        return found[layer][neuron] if layer in found else None

    return first_inside(network, levels, known)


def _levels(layer: ExactLevels | ExactLookup, values: torch.Tensor) -> list[int]:
    """Return the levels that level values stand for."""
    if isinstance(layer, ExactLookup):
        return list(map(int, values.tolist()))
    numbers: list[int] = torch.searchsorted(layer.level_value, values).tolist()
    return numbers
