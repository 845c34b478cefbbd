"""Random networks, each executed in as many ways as there are: all answers are equal.

PyTorch's operations, the golden model, the graph of every lowering method, the emitted Verilog in
Verilator, programs of the folded engine, interpreted, and the engine's Verilog.

What is drawn is the same in every run. ``make test-random`` draws others each time; where a
test fails, Hypothesis prints the smallest network that it found and a line
``@reproduce_failure(...)``: written above the test, that brings the failure back, and so does
``pytest --hypothesis-profile=random --hypothesis-seed=N`` with the seed that pytest prints. The
networks of the Verilog tests follow from a seed, the test's parameter.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st

from nomul.hw.devices import find_device
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.engine_verilog import emit_engine
from nomul.hw.folding import fold
from nomul.hw.lowering import METHODS
from nomul.hw.plan import Plan, plan
from nomul.hw.program import Program
from nomul.network import ConvTranspose2d, Network, UserError
from nomul.sim import golden
from nomul.sim.batch import BatchSimulator, build_batch
from nomul.sim.folded import run_folded
from nomul.sim.golden import evaluate_levels, input_levels, layer_outcomes
from nomul.sim.interpreter import execute
from nomul.sim.verilator import is_installed
from tests.bundle import Bundle
from tests.hw.benches import check_graphs, forced_methods
from tests.hw.folded import SMALL
from tests.strategies import (
    UNROLLED,
    feature_arrays,
    folded_networks,
    networks,
    sample_levels,
)
from tests.torch_network import torch_answers, torch_input_levels, torch_outcomes

needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)

few = settings(
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # the slow tests shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
many = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EVERY = networks()
CHAINS = networks(UNROLLED)
FOLDABLE = folded_networks()

ROOMY = dataclasses.replace(
    SMALL,
    map_depth=16384,
    threshold_depth=2048,
    bias_depth=2048,
    weight_depth=16384,
    program_depth=16384,
    pages=16,
    shortcuts=True,
)

SKIPPING = dataclasses.replace(ROOMY, skips_zeros=True)


def check_against_pytorch(network: Network, data: st.DataObject) -> None:
    levels = sample_levels(network, 8)
    pytorch = torch_outcomes(network, levels)
    for outcome, expected in zip(layer_outcomes(network, levels), pytorch, strict=True):
        assert np.array_equal(outcome.given, expected), outcome.name
    assert np.array_equal(evaluate_levels(network, levels), torch_answers(network, levels))
    features = data.draw(feature_arrays(network), "features")
    assert np.array_equal(input_levels(network, features), torch_input_levels(network, features))


@settings(few, max_examples=100)
@given(EVERY, st.data())
def test_every_layer_is_pytorchs(network: Network, data: st.DataObject) -> None:
    check_against_pytorch(network, data)


@pytest.mark.slow
@settings(many, max_examples=5000)
@given(EVERY, st.data())
def test_every_layer_of_many_networks_is_pytorchs(network: Network, data: st.DataObject) -> None:
    check_against_pytorch(network, data)


@settings(few, max_examples=15)
@given(CHAINS)
def test_every_graph_is_the_golden_model(network: Network) -> None:
    check_graphs(network, 64)


@pytest.mark.slow
@settings(many, max_examples=300)
@given(CHAINS)
def test_every_graph_of_many_networks_is_the_golden_model(network: Network) -> None:
    check_graphs(network, 64)


N_STAGES = (0, None, 1, 2, 3)
"""Pipelines: none, automatic, or as many stages as are said."""


def drawn(strategy: st.SearchStrategy[Network], n_networks: int, number: int) -> list[Network]:
    """Return networks that follow from the seed ``number``."""
    found: list[Network] = []

    @seed(number)
    @settings(many, max_examples=n_networks, phases=[Phase.generate], database=None)
    @given(strategy)
    def collect(network: Network) -> None:
        found.append(network)

    collect()
    return found


def planned(network: Network, number: int) -> Plan:
    """Return a plan by one method and pipeline: 25 numbers, one behind the other, have them all."""
    device = find_device("up5k")
    methods = forced_methods(network, device.target, list(METHODS)[number % len(METHODS)])
    n_stages = N_STAGES[number // len(METHODS) % len(N_STAGES)]
    for possible in (n_stages, 2, 1, 0):
        try:
            return plan(network, device, n_stages=possible, clock_mhz=60.0, methods=methods)
        except UserError:  # there is less to be cut, or no clock so fast
            continue
    raise AssertionError("no stage is always possible")


def check_verilog(cases: list[tuple[int, Network]], folder: Path) -> None:
    bundle = Bundle([planned(network, number) for number, network in cases], folder)
    for place, (number, network) in enumerate(cases):
        levels = sample_levels(network, 40)
        for stalls in (0, 1 + number):
            wrong = bundle.wrong(place, levels, stalls)
            assert not wrong, f"network {number} of {network}: samples {wrong}"


def check_all_verilog(first: int, folder: Path) -> None:
    """Check 25 networks in one build, or show the smallest that is wrong alone."""
    strategy = networks(UNROLLED, max_size=3)
    cases = list(enumerate(drawn(strategy, len(METHODS) * len(N_STAGES), first)))
    try:
        check_verilog(cases, folder)
    except AssertionError:

        @seed(first)
        @settings(many, max_examples=200)
        @given(strategy, st.integers(0, len(METHODS) * len(N_STAGES) - 1))
        def alone(network: Network, number: int) -> None:
            check_verilog([(number, network)], folder / "alone")

        alone()
        raise


@needs_verilator
def test_the_verilog_of_every_lowering_and_pipeline_is_the_golden_model(tmp_path: Path) -> None:
    check_all_verilog(0, tmp_path)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 9))
def test_the_verilog_of_many_networks_is_the_golden_model(first: int, tmp_path: Path) -> None:
    check_all_verilog(first, tmp_path)


def folded(network: Network, shape: EngineSettings = ROOMY) -> Program | None:
    """Return the network's program; None if it is not for this engine."""
    try:
        return fold(network, shape)
    except UserError:
        return None


def check_program(network: Network) -> None:
    for shape in (ROOMY, SKIPPING):
        program = folded(network, shape)
        if program is None:
            reject()
        levels = sample_levels(network, 4)
        expected = evaluate_levels(network, levels).reshape(len(levels), -1)
        if network.output.kind != "class":
            expected = expected[:, program.output_order]
        assert execute(program, levels).answers.tolist() == expected.tolist()


@settings(few, max_examples=40)
@given(FOLDABLE)
def test_every_program_is_the_golden_model(network: Network) -> None:
    check_program(network)


@pytest.mark.slow
@settings(many, max_examples=2000)
@given(FOLDABLE)
def test_every_program_of_many_networks_is_the_golden_model(network: Network) -> None:
    check_program(network)


def test_nearly_all_networks_that_are_meant_to_fold_do() -> None:
    """Else the tests around this one would pass on what little is left."""
    folds = [folded(network) is not None for network in drawn(FOLDABLE, 100, 0)]
    assert len(folds) == 100
    assert sum(folds) >= 90


@pytest.fixture(scope="module", params=[ROOMY, SKIPPING], ids=["all taps", "zeros skipped"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BatchSimulator, EngineSettings]:
    shape = request.param
    return build_batch(emit_engine(Engine(shape)), tmp_path_factory.mktemp("engine")), shape


def check_engine(engine: tuple[BatchSimulator, EngineSettings], network: Network) -> None:
    simulator, shape = engine
    program = folded(network, shape)
    if program is None:
        reject()
    found = run_folded(simulator, network, program, sample_levels(network, 6), seed=1)
    assert (found.mismatches, found.first_mismatch) == (0, None)


@needs_verilator
@settings(few, max_examples=30)
@given(network=FOLDABLE)
def test_the_engine_is_the_golden_model(
    engine: tuple[BatchSimulator, EngineSettings], network: Network
) -> None:
    check_engine(engine, network)


@needs_verilator
@pytest.mark.slow
@settings(many, max_examples=1000)
@given(network=FOLDABLE)
def test_the_engine_running_many_programs_is_the_golden_model(
    engine: tuple[BatchSimulator, EngineSettings], network: Network
) -> None:
    check_engine(engine, network)


RIGHT_KERNELS = golden._kernels


def _pads_with_level_0(values: Any, padding: Any, nothing: int) -> Any:
    margins = ((0, 0), (0, 0), *((side, side) for side in padding))
    return np.pad(values, margins, constant_values=0 if nothing else nothing)


def _exceeded(values: Any, thresholds: Any) -> Any:
    return (values[..., None] > thresholds).sum(-1).astype(np.uint8)


def _not_wider_than_31_bits(values: Any, thresholds: Any) -> Any:
    return (np.clip(values, -(1 << 30), None)[..., None] >= thresholds).sum(-1).astype(np.uint8)


def _turned(layer: Any) -> Any:
    found = RIGHT_KERNELS(layer)
    return found[..., ::-1] if isinstance(layer, ConvTranspose2d) else found


FAULTS = {
    "padding is level 0": ("_padded", _pads_with_level_0),
    "a threshold must be exceeded": ("_count_reached", _exceeded),
    "sums end early": ("_count_reached", _not_wider_than_31_bits),
    "transposed kernels lie in the wrong order": ("_kernels", _turned),
    "levels have a bit more": ("level_width", lambda n: (n - 1).bit_length() + 1),
}


@cache
def every_drawn() -> list[Network]:
    return drawn(EVERY, 40, 0)


def is_wrong(network: Network) -> bool:
    levels = sample_levels(network, 8)
    try:
        found = evaluate_levels(network, levels)
    except IndexError:  # a fault that ends beyond a table
        return True
    return not np.array_equal(found, torch_answers(network, levels))


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_the_golden_model_are_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrong = FAULTS[fault]
    monkeypatch.setattr(golden, name, wrong)
    assert any(map(is_wrong, every_drawn()))
