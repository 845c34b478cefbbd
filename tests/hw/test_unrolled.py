from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nomul.hw.unrolled import Unrolled
from nomul.hw.widths import level_width
from nomul.network import Dense, Input, Network, Output
from nomul.network.model import Encoding, OutputKind
from nomul.sim.golden import evaluate_levels, input_levels
from tests.hw.benches import all_or_some_levels, check_stream, elaborated, pack
from tests.networks import random_levels, random_network

KINDS: tuple[OutputKind, ...] = ("class", "accumulators", "levels")
FEW_LEVELS = (2, 3, 4, 5, 8, 13)
MANY_LEVELS = (2, 3, 16, 33, 100, 256)
LARGE = (-(2**28), 2**28 - 1)  # six of them stay within 32 bits


def check(network: Network, levels: NDArray[np.int64]) -> Unrolled:
    """Assert that the network's hardware and the golden model agree, and return the hardware."""
    hardware = Unrolled(network)
    expected = evaluate_levels(network, levels)
    shape = hardware.o.payload.shape()
    answers = (
        expected.tolist()
        if network.output.kind == "class"
        else pack(expected, shape.elem_shape.width)
    )
    check_stream(hardware, pack(levels, level_width(network.input.n_levels)), answers)
    return hardware


@pytest.mark.parametrize("factored", [False, True])
@pytest.mark.parametrize("output", KINDS)
@pytest.mark.parametrize(
    ("sizes", "levels"),
    [((1, 1), (2,)), ((1, 1, 1), (2, 2)), ((6, 5, 3), (4, 4)), ((3, 9, 2, 7), (5, 3, 8))],
    ids=str,
)
def test_a_random_network_is_the_golden_model(
    sizes: tuple[int, ...], levels: tuple[int, ...], output: OutputKind, factored: bool
) -> None:
    if output == "levels":
        levels = (*levels, 6)
    network = random_network(sizes, levels, output=output, factored=factored)
    check(network, random_levels(network, 30))


@pytest.mark.parametrize("encoding", ["level", "thermometer"])
def test_an_image_is_flattened_whatever_it_is_encoded_in(encoding: Encoding) -> None:
    """Two channels of 1 x 2 features of 4 levels; or six channels of bits."""
    source = Input((2, 1, 2), np.arange(3.0), encoding)
    n_inputs = 12 if encoding == "thermometer" else 4
    layers = random_network((n_inputs, 3, 2), (source.n_levels, 3)).layers
    network = Network(source, layers)
    features = np.random.default_rng(0).uniform(-1, 3, (30, 2, 1, 2))
    hardware = check(network, input_levels(network, features))
    assert hardware.i.payload.shape().size == n_inputs * level_width(source.n_levels)


def test_the_latency_is_the_sum_over_layers_and_arg_max() -> None:
    # Fan-in 20 of one sign at most: 1 to 3 tree stages; then 5: at most 2.
    network = random_network((20, 5, 9), (3, 2), seed=1)
    hardware = elaborated(Unrolled(network))
    stages = {name: stage.latency for name, stage in hardware.stages.items()}
    assert list(stages) == ["layer_0", "layer_1", "arg_max"]
    assert stages["arg_max"] == 4
    assert hardware.latency == sum(stages.values())
    assert hardware.initiation_interval == 1


@pytest.mark.parametrize(("output", "last"), [("accumulators", "layer_1"), ("levels", "layer_1")])
def test_only_classes_have_an_arg_max(output: OutputKind, last: str) -> None:
    levels = (3, 2) if output == "accumulators" else (3, 2, 2)
    hardware = elaborated(Unrolled(random_network((4, 3, 2), levels, output=output)))
    assert list(hardware.stages)[-1] == last


@st.composite
def columns(draw: st.DrawFn, n_levels: int) -> list[int]:
    """Draw one column of a product table, of a form that the hardware treats in its own way."""
    form = draw(st.sampled_from(("zero", "constant", "linear", "random", "extreme")))
    if form == "zero":
        return [0] * n_levels
    if form == "constant":
        return [draw(st.integers(-50, 50))] * n_levels
    if form == "linear":
        slope = draw(st.integers(-9, 9)) << draw(st.integers(0, 12))
        first = draw(st.integers(-100, 100))
        return [first + slope * level for level in range(n_levels)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if form == "random":
        return [int(entry) for entry in rng.integers(-15, 16, n_levels)]
    return [int(entry) for entry in rng.choice([*LARGE, 0], n_levels)]


@st.composite
def layers(
    draw: st.DrawFn,
    n_inputs: int,
    n_levels_in: int,
    n_levels: int | None,
    number: int,
) -> Dense:
    n_neurons = draw(st.integers(1, 4))
    table = draw(st.lists(columns(n_levels_in), min_size=1, max_size=4))
    index = st.integers(0, len(table) - 1)
    rows = st.lists(index, min_size=n_inputs, max_size=n_inputs)
    weight_index = draw(st.lists(rows, min_size=n_neurons, max_size=n_neurons))
    number_near_zero = st.integers(-60, 60) | st.sampled_from(LARGE)
    bias = draw(st.lists(number_near_zero, min_size=n_neurons, max_size=n_neurons))
    thresholds = None
    if n_levels is not None:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        spread = draw(st.sampled_from((0, 2, 40, 2**31 - 1)))
        shape = (n_levels - 1,) if draw(st.booleans()) else (n_neurons, n_levels - 1)
        unsorted = rng.integers(-spread, spread, shape, endpoint=True)
        thresholds = np.sort(unsorted, axis=-1).astype(np.int32)
    return Dense(
        np.array(weight_index, np.uint8),
        np.array(table, np.int32).T,
        np.array(bias, np.int32),
        thresholds,
        source=f"layers.{number - 1}" if number else "input",
    )


@st.composite
def networks(draw: st.DrawFn, level_counts: tuple[int, ...]) -> Network:
    kind = draw(st.sampled_from(KINDS))
    n_layers = draw(st.integers(1, 3))
    n_inputs = draw(st.integers(1, 5))
    n_levels_in = draw(st.sampled_from((*level_counts, 256)))
    source = Input((n_inputs,), np.arange(1, n_levels_in, dtype=np.float64) - 0.5)
    made: list[Dense] = []
    for number in range(n_layers):
        has_levels = number < n_layers - 1 or kind == "levels"
        n_levels = draw(st.sampled_from(level_counts)) if has_levels else None
        made.append(draw(layers(n_inputs, n_levels_in, n_levels, number)))
        n_inputs, n_levels_in = made[-1].n_outputs, n_levels or 0
    return Network(source, tuple(made), Output(kind))


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # the slow test below shrinks
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks(FEW_LEVELS))
def test_any_network_is_the_golden_model(network: Network) -> None:
    check(network, all_or_some_levels(network.input.n_levels, network.n_inputs, 12))


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks(MANY_LEVELS))
def test_any_of_many_networks_is_the_golden_model(network: Network) -> None:
    check(network, all_or_some_levels(network.input.n_levels, network.n_inputs, 12))
