"""The golden model: the NumPy definition of what a network computes.

It is the reference for all hardware and shares no code with it. Integers only, but for the
comparison that turns real features into levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nomul.network import Dense, Network, UserError

__all__ = ["evaluate", "evaluate_levels", "input_levels"]


def evaluate(network: Network, features: ArrayLike) -> NDArray[np.int64]:
    """Return what ``network`` answers to each sample.

    Parameters
    ----------
    features
        Real numbers, shape (samples, *network.input.shape).

    Returns
    -------
    NDArray[np.int64]
        Classes, shape (samples,); or accumulators or levels, shape (samples, outputs).

    Raises
    ------
    UserError
        If the features' shape is not the network's, or one of them is not a number.
    """
    return evaluate_levels(network, input_levels(network, features))


def input_levels(network: Network, features: ArrayLike) -> NDArray[np.int64]:
    """Return the levels of each sample's features, int64, shape (samples, inputs).

    Raises
    ------
    UserError
        If the features' shape is not the network's, or one of them is not a number.
    """
    try:
        values = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"The features are not an array of numbers: {error}.") from error
    if values.shape[1:] != network.input.shape or values.ndim == 0:
        raise UserError(
            f"The features have shape {values.shape}: the network takes "
            f"{('samples', *network.input.shape)}."
        )
    if np.isnan(values).any():
        raise UserError("Some features are not numbers (NaN): replace them before evaluation.")
    levels = np.zeros(values.shape, np.int64)
    for number in range(network.input.thresholds.shape[-1]):
        levels += values >= network.input.thresholds[..., number]
    return levels.reshape(len(values), network.n_inputs)


def evaluate_levels(network: Network, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what ``network`` answers to levels, as :func:`input_levels` gives them."""
    for layer in network.layers:
        sums = _accumulators(layer, levels)
        if layer.thresholds is not None:
            levels = _levels(layer.thresholds, sums)
    match network.output.kind:
        case "class":
            classes: NDArray[np.int64] = sums.argmax(axis=1)  # the first of equals
            return classes
        case "accumulators":
            return sums
        case "levels":
            return levels


def _accumulators(layer: Dense, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """``bias[o] + sum over k of product_table[level[k], weight_index[o, k]]``."""
    table = layer.product_table.astype(np.int64)
    sums = np.tile(layer.bias.astype(np.int64), (len(levels), 1))
    for k in range(layer.n_inputs):
        sums += table[:, layer.weight_index[:, k]][levels[:, k]]
    return sums


def _levels(thresholds: NDArray[np.int32], sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the thresholds that each accumulator reaches."""
    levels = np.zeros(sums.shape, np.int64)
    for number in range(thresholds.shape[-1]):
        levels += sums >= thresholds[..., number]
    return levels
