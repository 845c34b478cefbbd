from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from nomul.hw.folding import fold
from nomul.hw.graph import Graph
from nomul.hw.plan import plan
from nomul.hw.program import Pass, Program
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import execute
from nomul.verify.mutants import drawn, graph_mutants, program_mutants
from tests.hw.folded import NETWORKS, SMALL
from tests.networks import random_levels, random_network

NETWORK = random_network((8, 5, 4), (4, 3), seed=2)
GRAPH = plan(NETWORK).graph
PROGRAM = fold(NETWORKS["pictures"], SMALL)


def changed_nodes(graph: Graph) -> int:
    """Count what differs from the whole graph, one table put in between aside."""
    if len(graph.nodes) > len(GRAPH.nodes):
        assert len(graph.nodes) == len(GRAPH.nodes) + 1
        return 1
    return sum(a != b for a, b in zip(graph.nodes, GRAPH.nodes, strict=True))


def changed_words(program: Program) -> int:
    """Count the fields of passes and the entries of memories that differ from the whole one."""
    fields = [field.name for field in dataclasses.fields(Pass)]
    changed = 0
    for own, whole in zip(program.passes, PROGRAM.passes, strict=True):
        for name in fields:
            a, b = np.atleast_1d(getattr(own, name)), np.atleast_1d(getattr(whole, name))
            changed += int((a != b).sum())
    for name in ("weights", "tables", "biases", "thresholds"):
        changed += int((getattr(program, name) != getattr(PROGRAM, name)).sum())
    return changed


def test_a_graph_is_broken_in_one_place() -> None:
    mutants = list(graph_mutants(GRAPH))
    assert {changed_nodes(mutant.make()) for mutant in mutants} == {1}
    places = [(mutant.kind, mutant.place) for mutant in mutants]
    assert len(set(places)) == len(places)


def test_the_graph_itself_stays_as_it_is() -> None:
    before = dataclasses.replace(GRAPH)
    for mutant in graph_mutants(GRAPH):
        mutant.make()
    assert before == GRAPH == plan(NETWORK).graph


def test_all_kinds_of_a_graph_are_there_and_the_golden_model_sees_most() -> None:
    levels = random_levels(NETWORK, 2000)
    expected = evaluate_levels(NETWORK, levels)
    assert (GRAPH.evaluate(levels)[:, 0] == expected).all()
    found, seen = Counter[str](), Counter[str]()
    for mutant in drawn(graph_mutants(GRAPH), 20, 0):
        found[mutant.kind] += 1
        seen[mutant.kind] += bool((mutant.make().evaluate(levels)[:, 0] != expected).any())
    kinds = {"inverted bit", "narrowed adder", "threshold off by one", "wrong shift"}
    assert kinds | {"swapped operands", "wrong operand", "complemented sum"} <= set(found)
    assert all(seen[kind] >= found[kind] / 4 for kind in found), (found, seen)
    assert seen.total() > found.total() / 2


def test_a_seed_draws_the_same_mutants_and_another_one_others() -> None:
    first, again, other = (
        [mutant.place for mutant in drawn(graph_mutants(GRAPH), 5, seed)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_program_is_broken_in_one_place() -> None:
    mutants = list(program_mutants(PROGRAM))
    assert {changed_words(mutant.make()) for mutant in mutants} == {1}
    places = [(mutant.kind, mutant.place) for mutant in mutants]
    assert len(set(places)) == len(places)


def test_weights_that_no_pass_reads_are_no_places() -> None:
    """The interpreter would have to fail if such a place were read after all."""
    spoilt = PROGRAM.weights.copy()
    read = {m.place for m in program_mutants(PROGRAM) if m.kind == "weight bit"}
    for place in np.ndindex(spoilt.shape):
        if not any(what.startswith(f"weights{list(place)},") for what in read):
            spoilt[place] ^= 1
    assert (spoilt != PROGRAM.weights).any(), "some lanes have nothing to do"
    network = NETWORKS["pictures"]
    levels = random_levels(network, 3)
    found = execute(dataclasses.replace(PROGRAM, weights=spoilt), levels).answers
    assert (found == execute(PROGRAM, levels).answers).all()


def test_the_interpreter_sees_wrong_loop_steps() -> None:
    network = NETWORKS["pictures"]
    levels = random_levels(network, 6)
    expected = evaluate_levels(network, levels)
    seen = []
    for mutant in drawn(program_mutants(PROGRAM), 12, 0):
        if mutant.kind == "loop step":
            try:
                answers = execute(mutant.make(), levels).answers[:, 0].tolist()
            except IndexError:
                answers = []
            seen.append(answers != expected.tolist())
    assert len(seen) == 12
    assert sum(seen) >= 6
