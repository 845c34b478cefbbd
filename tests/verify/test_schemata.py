from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nomul.hw.plan import plan
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import emit
from nomul.network import CheckFailed
from nomul.sim.batch import BatchSimulator, build_batch
from nomul.sim.golden import evaluate_levels
from nomul.verify.schemata import Fault, choose, design_faults, read_design, write_design
from tests.networks import random_levels, random_network

NETWORK = random_network((6, 4, 3), (4, 3), seed=1)
LEVELS = random_levels(NETWORK, 300)
KINDS = {"dropped stall", "stuck register", "off-by-one latency", "inverted bit", "narrowed adder"}


@pytest.fixture(scope="module")
def broken(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[BatchSimulator, list[Fault], Path]:
    folder: Path = tmp_path_factory.mktemp("schemata")
    module = read_design(emit(Unrolled(plan(NETWORK, n_stages=2))), folder)
    faults = list(design_faults(module, is_feed_forward=True))
    chosen = [fault for kind in sorted(KINDS) for fault in faults if fault.kind == kind][::3]
    return build_batch(write_design(module, chosen, folder), folder), chosen, folder


def is_right(simulator: BatchSimulator, seed: int) -> bool:
    try:
        batch = simulator.run(LEVELS, len(LEVELS), limit=100, seed=seed, is_signed=False)
    except CheckFailed:
        return False
    in_time = bool(seed) or bool((batch.answer_cycles - batch.input_cycles == 2).all())
    return in_time and bool((batch.answers[:, 0] == evaluate_levels(NETWORK, LEVELS)).all())


@pytest.mark.slow
def test_without_a_fault_the_design_is_what_it_was(
    broken: tuple[BatchSimulator, list[Fault], Path],
) -> None:
    simulator, _, folder = broken
    choose(0, folder)
    assert is_right(simulator, 0)
    assert is_right(simulator, 1)


@pytest.mark.slow
def test_registers_that_do_not_stall_show_only_with_stalls(
    broken: tuple[BatchSimulator, list[Fault], Path],
) -> None:
    simulator, faults, folder = broken
    found: dict[str, list[tuple[bool, bool]]] = {kind: [] for kind in KINDS}
    for number, fault in enumerate(faults, 1):
        choose(number, folder)
        found[fault.kind].append((is_right(simulator, 0), is_right(simulator, 1)))
    assert all(found.values()), "all kinds are there"
    assert all(without for without, _ in found["dropped stall"])
    assert not all(stalled for _, stalled in found["dropped stall"])
    for kind in ("stuck register", "off-by-one latency"):
        assert not any(without for without, _ in found[kind]), kind
    for kind in ("inverted bit", "narrowed adder"):
        assert np.mean([without for without, _ in found[kind]]) < 0.5, kind


@pytest.mark.slow
def test_a_place_is_named_once_for_each_kind(tmp_path: Path) -> None:
    module = read_design(emit(Unrolled(plan(NETWORK, n_stages=2))), tmp_path)
    for kind in ("inverted bit", "dropped stall", "stuck register"):
        faults = design_faults(module, is_feed_forward=True)
        places = [fault.place for fault in faults if fault.kind == kind]
        assert len(set(places)) == len(places) > 0
