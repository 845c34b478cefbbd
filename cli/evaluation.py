"""How good a network file is on a data set, by the golden model alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network import Network, UserError
from nomul.sim.golden import evaluate
from nomul.train.dataset import Dataset, Samples
from nomul.train.input_thresholds import Sharing, feature_range, known_features

__all__ = ["check_features", "evaluate_network"]

SAMPLES_AT_ONCE = 1_000
"""Samples that are decoded at once, where they are decoded only when asked for."""


def evaluate_network(network: Network, dataset: Dataset) -> dict[str, Any]:
    """Return what the golden model reaches on the data set's test part, and ``samples``.

    ``accuracy`` and ``correct`` of a network that gives a class; ``squared_error`` of one that
    reconstructs its features, scaled to 0..1 over their range in the training part.

    Raises
    ------
    UserError
        If the network gives something else, or takes other features.
    """
    check_features(network, dataset)
    n_samples = len(dataset.test_features)
    if network.output.kind == "class":
        _, classes = dataset.classes
        answers = [answer for _, answer in _answers(network, dataset.test_features)]
        correct = int(np.sum(np.concatenate(answers) == classes))
        return {"accuracy": correct / n_samples, "samples": n_samples, "correct": correct}
    n_features = math.prod(network.input.shape)
    if network.output.kind != "accumulators" or network.n_outputs != n_features:
        raise UserError(
            f"The network gives {network.n_outputs} {network.output.kind} for {n_features} "
            "features: evaluation needs a class, or one accumulator for each feature."
        )
    least, greatest = feature_range(known_features(dataset.train_features), _sharing(network))
    total = 0.0
    for features, answer in _answers(network, dataset.test_features):
        wanted = ((features - least) / (greatest - least)).reshape(answer.shape)
        given = network.output.scale * answer + network.output.offset
        total += float(np.square(given - wanted).sum())
    return {"squared_error": total / (n_samples * n_features), "samples": n_samples}


def check_features(network: Network, dataset: Dataset) -> None:
    """Raise a UserError if the data set, that of ``--data``, has other features than needed."""
    shape = dataset.test_features.shape[1:]
    if shape != network.input.shape:
        raise UserError(
            f"The network takes features of shape {network.input.shape}, and {dataset.name!r} has "
            f"{shape}: name its data with --data."
        )


def _answers(
    network: Network, features: Samples
) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
    """Yield some samples and the golden model's answers to them, until all had their turn.

    The golden model itself keeps its memory in bounds; here it is that of decoded samples.
    """
    at_once = len(features) if isinstance(features, np.ndarray) else SAMPLES_AT_ONCE
    for start in range(0, len(features), at_once):
        some = features[start : start + at_once]
        yield some, evaluate(network, some)


def _sharing(network: Network) -> Sharing:
    """Return what of the features has thresholds of its own, and so a range of its own."""
    own = network.input.thresholds.shape[:-1]
    if not own:
        return "shared"
    return "per_feature" if own == network.input.shape else "per_channel"
