from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nomul.hw.area import measure_area
from nomul.hw.plan import plan
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import emit
from nomul.sim.circuit import Circuit
from nomul.verify.effect import graph_effects, netlist_effects
from nomul.verify.mutants import graph_mutants
from nomul.verify.netlist_mutants import BROKEN, lut_bits, with_broken_bits
from tests.networks import random_network

NETWORK = random_network((4, 3, 3), (3, 3), seed=5)
GRAPH = plan(NETWORK).graph
EVERY = np.stack(np.meshgrid(*[range(4)] * 4), axis=-1).reshape(-1, 4)


def test_a_graph_has_no_effect_on_itself() -> None:
    assert graph_effects(GRAPH, [GRAPH], 4, 10) == ["none"]


def test_what_is_said_of_a_broken_graph_is_what_all_samples_say() -> None:
    """All levels of two bits, those that do not exist included: a proof is about bits."""
    # No other kind leaves all numbers in their ranges: the evaluation does not wrap, hardware does.
    kinds = ("narrowed adder", "threshold off by one")
    mutants = [mutant for mutant in graph_mutants(GRAPH) if mutant.kind in kinds]
    broken = [mutant.make() for mutant in mutants]
    effects = graph_effects(GRAPH, broken, 4, 60)
    whole = GRAPH.evaluate(EVERY)
    for mutant, graph, effect in zip(mutants, broken, effects, strict=True):
        differs = (graph.evaluate(EVERY) != whole).any()
        assert isinstance(effect, str) != differs, mutant
        if isinstance(effect, str):
            assert effect == "none", mutant
        else:
            sample = effect[None]
            assert (graph.evaluate(sample) != GRAPH.evaluate(sample)).any(), mutant


@pytest.fixture(scope="module")
def netlist(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("netlist")
    text = emit(Unrolled(plan(NETWORK, n_stages=2)))
    measure_area(text, "top", "ice40", folder, fast=True)
    found: dict[str, Any] = json.loads((folder / "top.ice40.json").read_text())
    return found


def test_what_is_said_of_a_broken_netlist_is_what_all_samples_say(
    netlist: dict[str, Any], tmp_path: Path
) -> None:
    places = list(lut_bits(netlist, "top"))[::7]
    schema = with_broken_bits(netlist, "top", places)
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    circuit = Circuit(tmp_path / "schema.json", "top")
    bits = (EVERY[:, :, None] >> np.arange(2) & 1).reshape(len(EVERY), -1).astype(np.bool_)

    def answers(broken: int) -> Any:
        held = {"i__valid": 1, "o__ready": 1, BROKEN: broken}
        return circuit.evaluate({"i__payload": bits}, 2, held)["o__payload"]

    values = [1 << k for k in range(len(places))]
    effects = netlist_effects(schema["modules"]["top"], BROKEN, values, 4, 60)
    shown = [not isinstance(effect, str) for effect in effects]
    assert shown == [bool((answers(value) != answers(0)).any()) for value in values]
    assert {True, False} == set(shown), "both are there"
    assert "open" not in [effect for effect in effects if isinstance(effect, str)]
