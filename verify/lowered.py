"""Network → graph: what is unrolled, evaluated before any hardware is described."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from numpy.typing import NDArray

from nomul.hw.graph import Graph
from nomul.hw.plan import Plan
from nomul.verify.comparison import answer_place, compared, first_inside
from nomul.verify.samples import Samples
from nomul.verify.step import Finding

__all__ = ["graph_step"]

_AT_ONCE = 256
_NEURON = re.compile(r"layer_(\d+)_neuron_(\d+)(?:_level)?")


def graph_step(plan: Plan, samples: Samples) -> Finding:
    """Compare the plan's graph with the golden model."""
    found = _evaluated(plan.graph, samples.levels)
    at_output = answer_place(plan.network)

    def place(sample: int, answer: int) -> str:
        levels = samples.levels[sample : sample + 1]
        neurons = _neurons(plan.graph, levels)
        inner = first_inside(
            plan.network, levels, lambda layer, neuron: neurons.get((layer, neuron))
        )
        return at_output(sample, answer) + (f", first at {inner}" if inner else "")

    detail = f"{len(plan.graph.nodes):,} nodes"
    return compared(samples.expected, found, place, detail)


def _evaluated(graph: Graph, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Evaluate a graph; it keeps the values of all nodes, so of some samples at a time."""
    starts = range(0, len(levels), _AT_ONCE)
    return np.concatenate([graph.evaluate(levels[start : start + _AT_ONCE]) for start in starts])


def _neurons(graph: Graph, levels: NDArray[np.int64]) -> dict[tuple[str, int], int]:
    """Return what the nodes that are whole neurons give for one sample, by layer and neuron."""
    found = {
        (f"layers.{match[1]}", int(match[2])): number
        for number, name in enumerate(graph.names)
        if (match := _NEURON.fullmatch(name))
    }
    if not found:
        return {}
    values = dataclasses.replace(graph, outputs=tuple(found.values())).evaluate(levels)[0]
    return dict(zip(found, values.tolist(), strict=True))
