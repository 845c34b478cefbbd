from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program import Program, field_widths
from nomul.network import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Input,
    MaxPool2d,
    Network,
    Output,
    UserError,
)
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import execute
from tests.hw.folded import NETWORKS, SMALL, SPARSE, chain, chains, residual
from tests.networks import random_levels, random_lookup, random_network, random_tables
from tests.strategies import rectified

ROOMY = dataclasses.replace(
    SMALL, map_depth=8192, threshold_depth=1024, bias_depth=1024, weight_depth=16384, pages=16
)


def check(network: Network, made_for: EngineSettings, n_samples: int) -> Program:
    """See that the program, executed, gives what the network answers."""
    program = fold(network, made_for)
    levels = random_levels(network, n_samples)
    expected = evaluate_levels(network, levels).reshape(n_samples, -1)
    if network.output.kind == "class":
        assert program.output_order.tolist() == list(range(network.n_outputs))
    else:
        assert sorted(program.output_order.tolist()) == list(range(network.n_outputs))
        expected = expected[:, program.output_order]
    assert execute(program, levels).answers.tolist() == expected.tolist()
    return program


def check_if_it_fits(network: Network) -> None:
    """Check a network; a few that are drawn have wider sums or more passes than an engine."""
    try:
        fold(network, ROOMY)
    except UserError:
        reject()
    check(network, ROOMY, 2)


@pytest.mark.parametrize("lanes", [(1, 1), (4, 2), (3, 4), (16, 2)], ids=str)
@pytest.mark.parametrize("case", NETWORKS)
def test_a_program_is_the_golden_model_on_any_lanes(case: str, lanes: tuple[int, int]) -> None:
    shape = dataclasses.replace(ROOMY, channel_lanes=lanes[0], position_lanes=lanes[1])
    check(NETWORKS[case], shape, 5)


@settings(
    max_examples=60,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # the slow test below shrinks
    suppress_health_check=[HealthCheck.too_slow],
)
@given(chains())
def test_any_program_is_the_golden_model(network: Network) -> None:
    check_if_it_fits(network)


@pytest.mark.slow
@settings(
    max_examples=1000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(chains())
def test_any_of_many_programs_is_the_golden_model(network: Network) -> None:
    check_if_it_fits(network)


def test_thresholds_that_no_sum_reaches_are_never_reached() -> None:
    limits = np.iinfo(np.int32)
    layer = Dense(
        np.array([[0]], np.uint8),
        np.array([[-2], [5]], np.int32),
        np.array([0], np.int32),
        np.array([limits.min, -2, 6, limits.max], np.int32),
    )
    network = Network(Input((1,), np.zeros(1)), (layer,), Output("levels"))
    program = fold(network, SMALL)
    assert execute(program, np.array([[0], [1]])).answers.tolist() == [[2], [2]]


def test_a_convolution_takes_a_cycle_for_each_tap_of_each_block() -> None:
    """5 channels on 4 lanes are 2 blocks; of 5 positions on 2 lanes there are 3 a line."""
    geometry = {"stride": (2, 1), "padding": (1, 0)}
    network = chain((3, 4, 7), (2,), "accumulators", [(Conv2d, (5, 3, 2, 3), 5, geometry)])
    program = fold(network, SMALL)
    (made,) = program.passes
    assert made.taps == 3 * 2 * 3
    assert made.blocks == 2 * 3 * 3  # of 3 lines
    assert (made.n_channels, made.n_channels_last, made.n_positions_last) == (4, 1, 1)
    assert len(program.weights) == 2 * made.taps
    assert len(program.biases) == 5


@pytest.mark.parametrize(
    ("n_inputs", "idle"), [(1, 7), (6, 2), (7, 1), (8, 1), (9, 1)], ids=lambda number: str(number)
)
def test_a_block_lasts_as_long_as_its_sums_leave(n_inputs: int, idle: int) -> None:
    """Four channels at two positions; and a cycle is always between blocks."""
    layers: list[tuple[Any, ...]] = [(Conv2d, (9, n_inputs, 1, 1), 9, {})]
    (made,) = fold(chain((n_inputs, 1, 3), (2,), "accumulators", layers), SMALL).passes
    assert (made.taps, made.idle) == (n_inputs, idle)


def test_a_transposed_convolution_sees_no_tap_that_is_not_there() -> None:
    """Phases of stride 3, of a kernel of 4: two taps in the first, one in the others."""
    layers = [(ConvTranspose2d, (2, 1, 1, 4), 1, {"stride": (1, 3)})]
    program = fold(chain((2, 1, 5), (2,), "accumulators", layers), SMALL)
    assert [made.taps for made in program.passes] == [2 * 2, 2, 2]
    # 16 outputs in all: 6, 5 and 5.
    assert [made.blocks for made in program.passes] == [3, 3, 3]


def test_marks_of_first_and_last_passes() -> None:
    program = fold(NETWORKS["pictures"], SMALL)
    assert [made.is_last_of_input for made in program.passes] == [True, *[False] * 4]
    assert [made.is_last for made in program.passes] == [*[False] * 4, True]
    assert [made.result for made in program.passes] == [*["map"] * 4, "class"]
    assert [made.is_greatest for made in program.passes] == [False, True, *[False] * 3]


def test_a_sample_comes_position_by_position() -> None:
    program = fold(NETWORKS["pictures"], SMALL)
    order = np.arange(2 * 7 * 9).reshape(2, 7, 9)
    assert program.input_order.tolist() == [
        order[channel, y, x] for y in range(7) for x in range(9) for channel in range(2)
    ]


def refusal(network: Network, **changed: Any) -> str:
    with pytest.raises(UserError) as caught:
        fold(network, dataclasses.replace(ROOMY, **changed))
    return str(caught.value)


def test_a_layer_of_another_kind_is_refused() -> None:
    lookup = Network(Input((4,), np.zeros(1)), (random_lookup(3, 2, 4, 2),), Output("levels"))
    assert refusal(lookup) == (
        "layers.0 is of kind lookup, which the folded engine cannot do: it does dense "
        "layers, convolutions, transposed ones, max-pooling and residual additions."
    )


def test_residuals_that_an_engine_cannot_add_are_refused() -> None:
    straight = NETWORKS["a channel goes straight on"]
    assert refusal(straight, shortcuts=False) == (
        "layers.3 is a residual addition, and the engine has no shortcuts: what helps is an engine "
        "with them, or a network without residuals."
    )
    *others, both = straight.layers
    assert isinstance(both, Add)
    thrice = dataclasses.replace(both, sources=("layers.1", "layers.2", "layers.2"))
    remedy = (
        "and the folded engine can add two layers with weights, one of which has a kernel of a "
        "single position: what helps is a residual with a plain shortcut, or none."
    )
    assert refusal(dataclasses.replace(straight, layers=(*others, thrice))) == (
        f"layers.3 adds layers.1 and layers.2 and layers.2, {remedy}"
    )
    kernel = (Conv2d, (2, 2, 3, 3), 2, {"padding": (1, 1)})
    assert refusal(residual((2, 3, 3), kernel, kernel)) == (
        f"layers.3 adds layers.1 and layers.2, {remedy}"
    )


def test_a_residual_has_the_levels_and_sums_of_its_branches_checked() -> None:
    network = NETWORKS["a channel goes straight on"]
    assert refusal(network, level_bits=3) == (
        "input gives 16 levels, and the engine's have 3 bits: what helps is input.levels = 8, or "
        "an engine of 4 level bits."
    )
    *branches, both = network.layers
    assert isinstance(both, Add)
    assert both.thresholds is not None
    many = dataclasses.replace(both, thresholds=np.arange(20, dtype=np.int32))
    assert refusal(dataclasses.replace(network, layers=(*branches, many))).startswith(
        "layers.3 gives 21 levels, and the engine's have 4 bits"
    )
    assert refusal(network, sum_bits=9).startswith("layers.3 has sums of 10 bits, and the engine's")


def test_the_branches_of_a_residual_lie_in_no_map() -> None:
    network = NETWORKS["a channel goes straight on"]
    (first, made) = fold(network, SMALL).passes[-2:]
    size = 6 * 3 * 5
    assert (first.out_start, made.start_address) == (size + 5, size - 6 * 6)
    assert made.shortcut is not None
    assert made.shortcut.start_address == size


def test_more_levels_than_the_engine_has_are_refused() -> None:
    assert refusal(random_network((3, 2, 2), (17, 4))) == (
        "input gives 17 levels, and the engine's have 4 bits: what helps is input.levels = 16, "
        "or an engine of 5 level bits."
    )
    assert refusal(random_network((3, 2, 2), (4, 256))) == (
        "layers.0 gives 256 levels, and the engine's have 4 bits: what helps is network.levels = "
        "16, or an engine of 8 level bits."
    )


@pytest.mark.parametrize(("bias", "n_bits"), [(32767, 17), (-32770, 17), (100_000, 18)])
def test_sums_that_are_too_large_are_refused(bias: int, n_bits: int) -> None:
    def with_bias(bias: int) -> Network:
        table, weights = np.array([[0], [1]], np.int32), np.array([[0]], np.uint8)
        layer = Dense(weights, table, np.array([bias], np.int32))
        return Network(Input((1,), np.zeros(1)), (layer,), Output("accumulators"))

    for fits in (32765, -32768):
        check(with_bias(fits), ROOMY, 2)
    assert refusal(with_bias(bias)) == (
        f"layers.0 has sums of {n_bits} bits, and the engine's have 16: what helps is a smaller "
        f"layer or smaller weights, or an engine of {n_bits} sum bits."
    )


def test_memories_that_are_not_deep_enough_are_refused() -> None:
    """Two blocks of 13 weights, and three of 9; 9 sets of thresholds; 19 biases; two passes."""
    network = random_network((13, 9, 10), (3, 3))
    just_enough: dict[str, Any] = {
        "weight_depth": 3 * 13 + 3 * 9,
        "bias_depth": 9 + 10,
        "threshold_depth": 9,
        "program_depth": 1 + 2 * len(field_widths(ROOMY)),
    }
    check(network, dataclasses.replace(ROOMY, **just_enough), 5)
    assert refusal(network, weight_depth=65) == (
        "The network needs 66 words of 4 weights, and the engine has 65, 1 too few: what helps is "
        "fewer channels or neurons, or an engine with a deeper weight memory."
    )
    assert refusal(network, bias_depth=10) == (
        "The network needs 19 biases, and the engine has 10, 9 too few: what helps is fewer "
        "channels or neurons, or an engine with more biases."
    )
    assert refusal(network, threshold_depth=8) == (
        "The network needs 9 sets of thresholds, and the engine has 8, 1 too few: what helps is "
        "training without batch_norm, which has one set a layer, or an engine with more."
    )
    needed = just_enough["program_depth"]
    assert refusal(network, program_depth=needed - 1) == (
        f"The network needs {needed} words of program, and the engine has {needed - 1}, 1 too "
        "few: what helps is fewer layers or groups, or an engine with a deeper program memory."
    )


@pytest.mark.parametrize(
    "geometry", [(Conv2d, (2, 1, 1, 1), 2, {}), (Conv2d, (2, 1, 1, 2), 2, {"groups": 2})]
)
def test_a_class_of_more_than_one_pass_is_refused(geometry: tuple[Any, ...]) -> None:
    n_channels = 2 if geometry[3] else 1
    assert refusal(chain((n_channels, 1, 2), (2,), "class", [geometry])) == (
        "layers.0 gives the class by more than one pass, which the folded engine cannot do: end "
        "the network with a dense layer."
    )


def line(width: int, kernel: int, padding: int, stride: int = 1, *, upright: bool) -> Network:
    def pair(along: int, across: int) -> tuple[int, int]:
        return (along, across) if upright else (across, along)

    geometry = {"stride": pair(stride, 1), "padding": pair(padding, 0)}
    layers = [(Conv2d, (2, 1, *pair(kernel, 1)), 2, geometry)]
    return chain((1, *pair(width, 1)), (3,), "accumulators", layers)


@pytest.mark.parametrize("upright", [False, True])
def test_maps_and_kernels_that_are_too_large_are_refused(upright: bool) -> None:
    remedy = "what helps is a smaller map or kernel."
    loop, size = ("row", "height") if upright else ("column", "width")
    assert refusal(line(100, 65, 0, upright=upright)) == (
        f"layers.0 needs 64 for last_{loop}, and the engine's programs have 6 bits for it: {remedy}"
    )
    assert refusal(line(256, 50, 0, upright=upright)) == (
        f"layers.0 needs 256 for {size}, and the engine's programs have 8 bits for it: {remedy}"
    )


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(("width", "kernel", "padding"), [(255, 3, 1), (254, 5, 2), (253, 7, 3)])
def test_coordinates_are_counted_as_far_as_they_go(
    width: int, kernel: int, padding: int, upright: bool
) -> None:
    check(line(width, kernel, padding, upright=upright), ROOMY, 1)
    for stride in (1, 2, 3, 4):
        # A padded position before the map is as far from its end.
        assert refusal(line(width, kernel + 2, padding + 1, stride, upright=upright)) == (
            "layers.0 sees positions up to 256, and the engine counts to 255: what helps is a "
            "smaller map."
        )


def test_pooling_needs_no_weights() -> None:
    pool = MaxPool2d((2, 2), (2, 2))
    network = Network(Input((3, 4, 4), np.arange(5.0)), (pool,), Output("levels"))
    program = check(network, SMALL, 5)
    assert (len(program.weights), len(program.tables)) == (0, 0)


def test_weights_of_a_group_are_its_own() -> None:
    """One channel of each group: its weights are in the first lane of a word for each tap."""
    tables = random_tables((3, 1, 1, 2), 3, 2, None, n_centres=3)
    network = Network(
        Input((3, 2), np.zeros(1)), (Conv2d(**tables, groups=3),), Output("accumulators")
    )
    program = check(network, SMALL, 8)
    assert program.weights.shape == (3 * 2, SMALL.channel_lanes)
    assert [made.weight_start for made in program.passes] == [0, 2, 4]
    assert (program.weights[:, 1:] == 0).all()


def test_what_can_skip_zeros_is_in_groups() -> None:
    engine = dataclasses.replace(ROOMY, skips_zeros=True)
    for network in SPARSE.values():
        program = fold(network, engine)
        check(network, engine, 4)
        for made in program.passes:
            assert made.weight_start % 4 == 0
            if made.skips_zeros:
                steps = (*made.address_step, made.start_address, made.lane_address)
                assert all(step % 4 == 0 for step in steps)
    assert not any(made.skips_zeros for made in fold(SPARSE["groups of levels"], ROOMY).passes)


def test_zeros_with_a_product_are_not_skipped() -> None:
    """Level 0 of tanhD, for one, stands for -1."""
    network = SPARSE["groups of levels"]
    first = network.layers[0]
    assert isinstance(first, Conv2d)
    table = first.product_table.copy()
    table[0, first.weight_index.max()] = 1
    changed = dataclasses.replace(first, product_table=table)
    network = dataclasses.replace(network, layers=(changed, *network.layers[1:]))
    engine = dataclasses.replace(ROOMY, skips_zeros=True)
    skips = [made.skips_zeros for made in fold(network, engine).passes]
    assert skips == [False, False, True, True]  # two groups, which share a table
    check(network, engine, 4)


@pytest.mark.parametrize(("lanes", "skips"), [(4, True), (8, False), (16, True)])
def test_blocks_that_read_more_than_their_channels_do_not_skip(lanes: int, skips: bool) -> None:
    """What lies behind a map of 12 channels is of another layer, or of the sample before."""
    body: tuple[Any, ...] = (Conv2d, (12, 12, 1, 1), 12, {})
    network = rectified(residual((12, 1, 2), body, (Conv2d, (12, 1, 1, 1), 12, {"groups": 12})))
    engine = dataclasses.replace(ROOMY, channel_lanes=lanes, skips_zeros=True, map_depth=48)
    program = fold(network, engine)
    assert [made.skips_zeros for made in program.passes] == [False] * 12 + [skips]
    check(network, engine, 4)


def test_both_branches_of_a_dense_residual_skip() -> None:
    network = SPARSE["groups, and two sums"]
    assert fold(network, dataclasses.replace(ROOMY, skips_zeros=True)).passes[-1].skips_zeros
