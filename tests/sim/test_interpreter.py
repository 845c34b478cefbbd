"""A program by hand, each of whose numbers is plain; programs of networks: test_folding.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program import Pass, Program, Result, Shortcut, field_widths
from nomul.sim import interpreter
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import execute, pass_cycles, sample_cycles
from tests.hw.folded import NETWORKS, SMALL, SPARSE, sparse_levels
from tests.networks import random_levels

SETTINGS = EngineSettings(
    channel_lanes=2, position_lanes=2, level_bits=2, magnitude_bits=1, map_depth=16
)

# A line of three levels, padded by one; two channels of kernel 2, so of four positions: the first
# channel adds what it sees, 3 for each level 1; the second subtracts the second of its taps.
MADE = Pass(
    last=(0, 1, 0, 1, 0, 0),
    address_step=(0, 1, 0, 1, 0, 0),
    out_step=(4, 0, 0),
    start_address=-1,
    start_x=-1,
    start_y=0,
    x_stride=2,
    y_stride=1,
    lane_address=1,
    lane_x=1,
    out_lane=2,
    width=3,
    height=1,
    page=0,
    is_greatest=False,
    idle=2,
    weight_start=0,
    n_channels=2,
    n_channels_last=2,
    n_positions_last=2,
    out_start=3,
    bias_start=0,
    threshold_start=0,
    thresholds_per_channel=True,
    result="sums",
    is_last_of_input=True,
    is_last=True,
)


def program(*passes: Pass) -> Program:
    return Program(
        SETTINGS,
        passes,
        # Column 0 is 3 for each level, column 1 is 0: a sign above the magnitude.
        weights=np.array([[0, 1], [0, 2]], np.uint8),
        tables=np.array([[[0, 0], [3, 0], [6, 0], [9, 0]]], np.int16),
        # The second channel's 1 is that of its sign.
        biases=np.array([10, 0 + 1], np.int32),
        thresholds=np.array([[10, 20, 30], [-8, -6, 0]], np.int32),
        input_order=np.array([2, 0, 1]),
        output_order=np.arange(8),
    )


LEVELS = np.array([2, 3, 1])  # in the map 1, 2, 3
FIRST = [10 + 3 * total for total in (0 + 1, 1 + 2, 2 + 3, 3 + 0)]
# A tap outside has products of 0, whose complement is -1: its bias makes that 0.
SECOND = [-3 * level for level in (1, 2, 3, 0)]


def answer(made: Program) -> list[int]:
    found: list[int] = execute(made, LEVELS[None]).answers[0].tolist()
    return found


def results(kind: Result) -> list[int]:
    return answer(program(replace(MADE, result=kind)))


def test_sums_leave_position_by_position() -> None:
    assert results("sums") == [total for pair in zip(FIRST, SECOND, strict=True) for total in pair]


def test_levels_count_the_thresholds_that_are_reached() -> None:
    """10, 20, 30 for the first channel's 13, 19, 25, 19; -8, -6, 0 for -3, -6, -9, 0."""
    assert results("levels") == [1, 2, 1, 2, 2, 0, 1, 3]
    shared = replace(MADE, result="levels", thresholds_per_channel=False)
    assert answer(program(shared)) == [1, 0, 1, 0, 2, 0, 1, 0]


def test_the_class_is_the_first_of_the_greatest() -> None:
    assert results("class") == [4]


def test_levels_in_a_map_are_read_by_the_next_pass() -> None:
    """The greatest of the four levels of each channel, which lie from 3 on, in pairs."""
    greatest = replace(
        MADE,
        last=(0, 3, 0, 0, 0, 1),
        address_step=(0, 2, 0, 0, 0, 1 - 3 * 2),
        start_address=3,
        start_x=0,
        width=4,
        is_greatest=True,
        n_channels=1,
        n_channels_last=1,
        n_positions_last=1,
        result="levels",
        thresholds_per_channel=False,
    )
    made = replace(program(replace(MADE, result="map"), greatest), biases=np.array([10, 1, 0]))
    made = replace(made, thresholds=np.vstack([made.thresholds, [[1, 2, 3]]]).astype(np.int32))
    made = replace(
        made, passes=(made.passes[0], replace(greatest, bias_start=2, threshold_start=2))
    )
    assert answer(made) == [2, 3]


def test_a_shortcut_adds_the_level_at_the_output_s_own_position() -> None:
    """To the first channel 3 times the level is added, from the second it is subtracted."""
    shortcut = Shortcut(
        n_levels=1, fan_in=1, page=0, start_address=0, address_step=(2, 0, 0), lane_address=1
    )
    made = program(replace(MADE, shortcut=shortcut))
    made = replace(
        made,
        weights=np.array([[0, 1], [0, 2], [0, 2]], np.uint8),
        biases=np.array([10, 0 + 1 + 1], np.int32),
    )
    straight = (1, 2, 3, 0)
    first = [total + 3 * level for total, level in zip(FIRST, straight, strict=True)]
    second = [total - 3 * level for total, level in zip(SECOND, straight, strict=True)]
    expected = [total for pair in zip(first, second, strict=True) for total in pair]
    assert answer(made) == expected


def test_only_levels_that_are_not_zero_take_a_cycle() -> None:
    """One position of eight levels; the two sums of the first block leave in two cycles."""
    settings = replace(SETTINGS, skips_zeros=True, position_lanes=1, weight_depth=16)
    made = replace(
        MADE,
        last=(1, 0, 0, 0, 0, 1),
        address_step=(4, 0, 0, 0, 0, -4),
        start_address=0,
        start_x=0,
        width=1,
        n_positions_last=1,
        idle=1,
        skips_zeros=True,
        result="sums",
    )
    whole = Program(
        settings,
        (made,),
        weights=np.tile(np.array([[0, 2]], np.uint8), (16, 1)),
        tables=np.array([[[0, 0], [3, 0], [6, 0], [9, 0]]], np.int16),
        biases=np.array([1, 0, 0, 0], np.int32),
        thresholds=np.zeros((1, 3), np.int32),
        input_order=np.arange(8),
        output_order=np.arange(4),
    )
    samples = [[1] * 8, [0, 2, 0, 0, 3, 0, 0, 1], [0] * 8, [0, 0, 0, 0, 1, 1, 0, 0]]
    found = execute(whole, np.array(samples))
    assert found.answers.tolist() == [
        [3 * sum(levels) + 1, -3 * sum(levels), 3 * sum(levels), -3 * sum(levels)]
        for levels in samples
    ]
    # Of two groups, for two blocks and the cycle between them: a tap each if all is 0.
    taps = [8 + 1 + 8, 3 + 1 + 3, 2 + 1 + 2, 3 + 1 + 3]
    assert (found.cycles - found.cycles[2]).tolist() == [n - taps[2] for n in taps]
    assert found.cycles[0] == sample_cycles(whole)


def test_no_sample_is_changed() -> None:
    network = NETWORKS["pictures"]
    made = fold(network, SMALL)
    levels = random_levels(network, 4)
    expected = evaluate_levels(network, levels).tolist()
    assert execute(made, levels).answers[:, 0].tolist() == expected
    assert (levels == random_levels(network, 4)).all()


def test_many_samples_are_those_one_by_one() -> None:
    """They are taken in parts, so that whole test sets need little memory."""
    network = SPARSE["groups of levels"]
    made = fold(network, replace(SMALL, skips_zeros=True))
    levels = sparse_levels(network, 2 * interpreter._SAMPLES_AT_A_TIME + 3)
    found = execute(made, levels)
    assert (found.answers[:, 0] == evaluate_levels(network, levels)).all()
    for sample in (0, 255, 256, 511, 512, 514):
        assert execute(made, levels[[sample]]).cycles == found.cycles[sample]
    assert len(set(found.cycles.tolist())) > 10, "samples differ"


def test_a_sample_takes_the_cycles_of_its_passes() -> None:
    made = fold(NETWORKS["pictures"], SMALL)
    passes = [pass_cycles(made, one) for one in made.passes]
    # An answer is a cycle of its own, and so is the wait for the next sample.
    assert sample_cycles(made) == sum(passes) + 2
    levels = fold(NETWORKS["transposed"], SMALL)
    assert sample_cycles(levels) == sum(pass_cycles(levels, one) for one in levels.passes) + 1


@pytest.mark.parametrize("more", [1, 10])
def test_another_tap_is_a_cycle_for_every_block(more: int) -> None:
    """Of the cycles themselves, test_engine.py holds the hardware to each."""
    made = program(MADE)
    before = pass_cycles(made, MADE)
    assert before > len(field_widths(SETTINGS)) + MADE.blocks * MADE.taps
    longer = replace(MADE, last=(more, *MADE.last[1:]))
    assert longer.taps == MADE.taps + 2 * more
    assert pass_cycles(made, longer) == before + 2 * 2 * more
