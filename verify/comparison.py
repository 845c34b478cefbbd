"""From two arrays to what a row of the ladder says, and where in a network a difference begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from nomul.network import Network, Output
from nomul.network.layers import layer_name
from nomul.network.model import OutputKind
from nomul.sim.golden import evaluate_levels
from nomul.verify.step import Finding

__all__ = ["answer_place", "compared", "first_inside", "layer_outputs"]


def compared(
    expected: NDArray[np.int64],
    found: NDArray[np.int64] | NDArray[np.float64],
    place: Callable[[int, int], str],
    detail: str = "",
) -> Finding:
    """Compare two arrays, sample by sample.

    Parameters
    ----------
    expected, found
        Shape (samples, answers).
    place
        Takes the numbers of a sample and of its first wrong answer, and names layer and neuron.
    """
    wrong = np.argwhere(expected != found)
    first = None
    if len(wrong):
        sample, answer = map(int, wrong[0])
        value = found[sample, answer].item()
        shown = int(value) if float(value).is_integer() else value
        first = (
            f"sample {sample}, {place(sample, answer)}: expected {expected[sample, answer]}, "
            f"found {shown}"
        )
    return Finding(
        len(expected),
        "samples",
        len(np.unique(wrong[:, 0])),
        "different" if len(wrong) else "equal",
        detail,
        first,
    )


def answer_place(network: Network) -> Callable[[int, int], str]:
    """Return what names the answers of a network, where nothing is known of its inside."""
    if network.output.kind == "class":
        return lambda _sample, _answer: "the class"
    last = len(network.layers) - 1
    return lambda _sample, answer: f"layers.{last}, neuron {answer}"


def layer_outputs(
    network: Network, levels: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield each layer's name with its levels or, where it has none, its accumulators.

    Shape (samples, neurons). The network must be a chain.
    """
    for number in range(len(network.layers)):
        layers = network.layers[: number + 1]
        has_levels = network.level_counts[layer_name(number)] is not None
        kind: OutputKind = "levels" if has_levels else "accumulators"
        cut = dataclasses.replace(network, layers=layers, output=Output(kind))
        yield layer_name(number), evaluate_levels(cut, levels)


def first_inside(
    network: Network, levels: NDArray[np.int64], found: Callable[[str, int], int | None]
) -> str | None:
    """Return the first layer and neuron, in words, that is not as the golden model has it.

    Parameters
    ----------
    levels
        Of one sample, shape (1, inputs).
    found
        Takes a layer's name and a neuron; returns what it gave, or None if nobody knows.

    Returns
    -------
    str or None
        None if no neuron that is known differs.
    """
    for name, (outputs,) in layer_outputs(network, levels):
        for neuron, expected in enumerate(outputs.tolist()):
            value = found(name, neuron)
            if value not in (None, expected):
                return f"{name}, neuron {neuron} (expected {expected}, found {value})"
    return None
