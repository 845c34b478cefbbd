"""Netlists of ours against the golden model: what synthesis makes of each lowering."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare.design import answers
from benchmarks.compare.ours import our_design
from nomul.hw.area import measure_area
from nomul.hw.lowering import METHODS
from nomul.hw.plan import plan
from nomul.network import Network
from nomul.sim.golden import evaluate_levels
from tests.networks import random_network


def check(network: Network, methods: dict[str, str], folder: Path) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, network.input.n_levels, (2000, network.n_inputs))
    design = our_design(network, methods)
    measure_area(design.verilog, design.top, "ice40", folder, fast=True)
    assert np.array_equal(answers(design, levels, folder), evaluate_levels(network, levels))


@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in METHODS if method != "lookup"])
@pytest.mark.parametrize("n_levels", [(2, 2), (4, 2), (4, 4), (8, 3), (16, 8)])
def test_a_netlist_answers_as_the_golden_model(
    method: str, n_levels: tuple[int, int], tmp_path: Path
) -> None:
    network = random_network((24, 10, 6), n_levels)
    check(network, {"layers.0": method, "layers.1": method}, tmp_path)


@pytest.mark.slow
def test_the_cheapest_netlist_answers_as_the_golden_model(tmp_path: Path) -> None:
    network = random_network((40, 16, 10), (4, 2))
    assert {choice.method for choice in plan(network).choices} <= set(METHODS)
    check(network, {}, tmp_path)
