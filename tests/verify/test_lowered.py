from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from nomul.hw.lowering import METHODS
from nomul.hw.plan import plan
from nomul.sim.golden import evaluate_levels
from nomul.verify.lowered import graph_step
from nomul.verify.samples import random_samples
from tests.networks import random_network
from tests.verify.faults import SMALL, with_fault_in_graph


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("output", ["class", "accumulators", "levels"])
def test_graphs_of_all_methods_are_equal(method: str, output: str) -> None:
    levels = (4, 3, 2) if output == "levels" else (4, 3)
    network = random_network((3, 4, 3), levels, output=output)  # type: ignore[arg-type]
    planned = plan(network, methods={"layers.0": method})
    step = graph_step(planned, random_samples(network, 3000))
    assert (step.compared, step.differences, step.status) == (3000, 0, "equal")
    assert step.detail == f"{len(planned.graph.nodes)} nodes"


def test_a_fault_is_found_in_the_neuron_that_has_it() -> None:
    planned = plan(SMALL)
    graph, name = with_fault_in_graph(planned.graph)
    neuron = re.findall(r"neuron_(\d+)", name)[0]
    samples = random_samples(SMALL, 300)
    step = graph_step(dataclasses.replace(planned, graph=graph), samples)
    wrong = (graph.evaluate(samples.levels) != samples.expected).any(axis=1)
    assert (step.status, step.differences) == ("different", wrong.sum())
    first = step.first_difference
    assert first is not None
    assert first.startswith(f"sample {wrong.argmax()}, layers.1, neuron ")
    assert f", first at layers.0, neuron {neuron} (expected " in first


def test_a_class_differs_where_the_graph_is_of_another_network() -> None:
    network, other = (random_network((3, 4, 3), (4, 3), seed=seed) for seed in (0, 1))
    mixed = dataclasses.replace(plan(other), network=network)
    samples = random_samples(network, 200)
    step = graph_step(mixed, samples)
    answers = evaluate_levels(other, samples.levels)
    assert step.differences == np.count_nonzero(answers != samples.expected[:, 0]) > 0
    assert str(step.first_difference).split(", ")[1].startswith("the class")
