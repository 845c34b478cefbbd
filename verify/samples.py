"""What goes through every step of the ladder, and what the golden model answers to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network import Network
from nomul.sim.golden import evaluate_levels, input_levels
from nomul.verify.directed import directed_levels

__all__ = ["Samples", "directed_samples", "random_samples", "samples_of"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples and the golden model's answers.

    Attributes
    ----------
    levels
        int64, shape (samples, inputs).
    expected
        int64, shape (samples, answers): the class, or all levels or accumulators.
    features
        What became the levels, shape (samples, *feature shape); None of levels that were drawn.
    """

    levels: NDArray[np.int64]
    expected: NDArray[np.int64]
    features: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.levels)

    def joined(self, others: Samples) -> Samples:
        """Return these and behind them those, all without features."""
        levels = np.concatenate([self.levels, others.levels])
        return Samples(levels, np.concatenate([self.expected, others.expected]))

    def part(self, chosen: slice) -> Samples:
        """Return some of them."""
        features = None if self.features is None else self.features[chosen]
        return Samples(self.levels[chosen], self.expected[chosen], features)


def samples_of(network: Network, features: NDArray[Any]) -> Samples:
    """Return samples with these features, shape (samples, *feature shape)."""
    levels = input_levels(network, features)
    return Samples(levels, _answers(network, levels), features)


def random_samples(network: Network, n_samples: int, seed: int = 0) -> Samples:
    """Return samples of independent levels, each as likely as any other."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, network.input.n_levels, (n_samples, network.n_inputs))
    return Samples(levels, _answers(network, levels))


def directed_samples(network: Network) -> Samples:
    """Return samples that lead the network to its edges: see :mod:`nomul.verify.directed`."""
    levels = directed_levels(network)
    return Samples(levels, _answers(network, levels))


def _answers(network: Network, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    return evaluate_levels(network, levels).reshape(len(levels), -1)
