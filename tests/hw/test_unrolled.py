from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed, unsigned
from hypothesis import HealthCheck, Phase, given, settings
from numpy.typing import NDArray

from nomul.hw.lowering import METHODS
from nomul.hw.plan import Plan, plan
from nomul.hw.targets import TARGETS
from nomul.hw.unrolled import Unrolled
from nomul.hw.widths import accumulator_width, class_width, level_width
from nomul.network import Input, Network, UserError
from nomul.network.model import Encoding, OutputKind
from nomul.sim.golden import input_levels
from tests.hw.benches import (
    all_or_some_levels,
    check_plan,
    elaborated,
    forced_methods,
    network_of,
)
from tests.hw.layers import LAYERS, MIXED, THRESHOLDS, with_thresholds
from tests.hw.strategies import KINDS, networks
from tests.networks import dense_layers, random_levels, random_network

FEW_LEVELS = (2, 3, 4, 5, 8, 13)
MANY_LEVELS = (2, 3, 16, 33, 100, 256)
ICE40 = TARGETS["ice40"]


def plan_in(network: Network, n_stages: int, method: str | None = None) -> Plan:
    """Return a plan of so many stages, or as many as there can be."""
    methods = forced_methods(network, ICE40, method) if method else None
    for fewer in range(n_stages, 1, -1):
        try:
            return plan(network, n_stages=fewer, methods=methods)
        except UserError:
            continue
    return plan(network, n_stages=min(n_stages, 1), methods=methods)


def some_levels(network: Network, n_samples_max: int) -> NDArray[np.int64]:
    return all_or_some_levels(network.input.n_levels, network.n_inputs, n_samples_max)


@pytest.mark.parametrize("case", LAYERS)
def test_accumulators_are_the_golden_models(case: str) -> None:
    network = network_of(LAYERS[case])
    hardware = check_plan(plan_in(network, 2), some_levels(network, 24))
    shape = hardware.o.payload.shape()
    assert shape.elem_shape == signed(accumulator_width(LAYERS[case]))


@pytest.mark.parametrize("case", THRESHOLDS)
def test_levels_are_the_golden_models(case: str) -> None:
    network = network_of(with_thresholds(MIXED, THRESHOLDS[case]))
    hardware = check_plan(plan_in(network, 1), some_levels(network, 64))
    n_levels = dense_layers(network)[0].n_levels
    assert n_levels is not None
    assert hardware.o.payload.shape().elem_shape == unsigned(level_width(n_levels))


@pytest.mark.parametrize("n_stages", [0, 1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_the_golden_model_in_any_number_of_stages(
    method: str, n_stages: int
) -> None:
    network = random_network((6, 5, 3), (4, 4), seed=n_stages)
    hardware = check_plan(plan_in(network, n_stages, method), random_levels(network, 30))
    assert hardware.latency == n_stages
    assert hardware.o.payload.shape() == unsigned(class_width(3))


@pytest.mark.parametrize("output", KINDS)
@pytest.mark.parametrize("n_stages", [0, 1, 3])
@pytest.mark.parametrize(
    ("sizes", "levels"), [((1, 1), (2,)), ((1, 1, 1), (2, 2)), ((3, 9, 2, 7), (5, 3, 8))], ids=str
)
def test_a_random_network_is_the_golden_model(
    sizes: tuple[int, ...], levels: tuple[int, ...], n_stages: int, output: OutputKind
) -> None:
    if output == "levels":
        levels = (*levels, 6)
    network = random_network(sizes, levels, output=output, factored=True)
    check_plan(plan_in(network, n_stages), some_levels(network, 30))


@pytest.mark.parametrize("encoding", ["level", "thermometer"])
def test_an_image_is_flattened_whatever_it_is_encoded_in(encoding: Encoding) -> None:
    """Two channels of 1 x 2 features of 4 levels; or six channels of bits."""
    source = Input((2, 1, 2), np.arange(3.0), encoding)
    n_inputs = 12 if encoding == "thermometer" else 4
    layers = random_network((n_inputs, 3, 2), (source.n_levels, 3)).layers
    network = Network(source, layers)
    features = np.random.default_rng(0).uniform(-1, 3, (30, 2, 1, 2))
    hardware = check_plan(plan(network), input_levels(network, features))
    assert hardware.i.payload.shape().size == n_inputs * level_width(source.n_levels)


@pytest.mark.parametrize("n_stages", range(5))
def test_the_latency_is_the_number_of_stages(n_stages: int) -> None:
    found = plan(random_network((20, 5, 9), (3, 2)), n_stages=n_stages)
    hardware = elaborated(Unrolled(found))
    assert hardware.plan is found
    assert (hardware.latency, hardware.initiation_interval) == (n_stages, 1)


@settings(
    max_examples=15,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # the slow test below shrinks
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks(FEW_LEVELS))
def test_any_network_is_the_golden_model(network: Network) -> None:
    check_plan(plan_in(network, len(network.layers)), some_levels(network, 12))


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks(MANY_LEVELS))
def test_any_of_many_networks_is_the_golden_model(network: Network) -> None:
    check_plan(plan_in(network, len(network.layers)), some_levels(network, 12))
