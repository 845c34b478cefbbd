"""The taps of convolutions, against the geometry of Conv2d's docstring."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Signal
from amaranth.sim import Simulator

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program import Pass, field_widths
from nomul.hw.taps import Taps
from nomul.network import Conv2d
from tests.hw.folded import NETWORKS, SMALL, chain

# Shape, channels out, kernel, stride, padding, groups.
GEOMETRIES: dict[str, tuple[Any, ...]] = {
    "one tap": ((1, 1, 1), 1, (1, 1), (1, 1), (0, 0), 1),
    "a neuron": ((9, 1, 1), 1, (1, 1), (1, 1), (0, 0), 1),
    "many channels": ((2, 3, 5), 9, (2, 3), (1, 1), (0, 0), 1),
    "padding": ((3, 4, 5), 2, (3, 3), (1, 1), (1, 2), 1),
    "stride": ((2, 7, 8), 3, (3, 2), (2, 3), (1, 0), 1),
    "groups": ((4, 3, 4), 6, (2, 2), (1, 2), (1, 1), 2),
    "a long line": ((1, 1, 253), 2, (1, 7), (1, 4), (0, 3), 1),
}
LANES = {"4x2": (4, 2), "1x1": (1, 1), "3x4": (3, 4)}


def watched(shape: EngineSettings, made: Pass) -> list[dict[str, Any]]:
    """Return what is offered in each cycle of a pass, from that behind ``start`` on."""
    widths = field_widths(shape)
    fields = {name: Signal(width, name=name) for name, width in widths.items()}
    taps = Taps(shape, fields)
    cycles: list[dict[str, Any]] = []

    async def bench(ctx: Any) -> None:
        for signal, word in zip(fields.values(), made.words(shape), strict=True):
            ctx.set(signal, word)
        await ctx.tick().repeat(3)
        assert not ctx.get(taps.running)
        ctx.set(taps.start, 1)
        await ctx.tick()
        ctx.set(taps.start, 0)
        while ctx.get(taps.running):
            found = {
                name: ctx.get(getattr(taps, name))
                for name in ("valid", "inside", "weight_address", "in_shortcut", "block_ends")
            }
            found["address"] = [ctx.get(address) for address in taps.address]
            ends = ("advancing", "positions_end", "blocks_end")
            found["ending"] = tuple(ctx.get(getattr(taps, name)) for name in ends)
            cycles.append(found)
            assert len(cycles) < 100_000
            await ctx.tick()

    simulator = Simulator(taps)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return cycles


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("case", GEOMETRIES)
def test_every_tap_comes_in_its_order(case: str, lanes: str) -> None:
    shape, n_out, kernel, stride, padding, groups = GEOMETRIES[case]
    channel_lanes, position_lanes = LANES[lanes]
    engine = dataclasses.replace(
        SMALL, channel_lanes=channel_lanes, position_lanes=position_lanes, weight_depth=4096
    )
    n_in = shape[0] // groups
    geometry = {"stride": stride, "padding": padding, "groups": groups}
    layers = [(Conv2d, (n_out, n_in, *kernel), n_out, geometry)]
    program = fold(chain(shape, (2,), "accumulators", layers), engine)
    height, width = shape[1:]
    n_lines, n_positions = (
        (size + 2 * p - k) // s + 1
        for size, p, k, s in zip((height, width), padding, kernel, stride, strict=True)
    )
    n_blocks = -(-n_positions // position_lanes)
    n_channel_blocks = -(-(n_out // groups) // channel_lanes)
    n_taps = n_in * kernel[0] * kernel[1]
    weight_start = 0
    for group, made in enumerate(program.passes):
        cycles = watched(engine, made)
        assert cycles[0]["valid"], "the first tap is there behind start"
        blocks = itertools.product(range(n_channel_blocks), range(n_lines), range(n_blocks))
        for block, line, position in blocks:
            for tap in range(n_taps):
                row, column, channel = np.unravel_index(tap, (*kernel, n_in))
                found = cycles.pop(0)
                assert found["valid"]
                assert found["weight_address"] == weight_start + block * n_taps + tap
                for lane in range(position_lanes):
                    place = position * position_lanes + lane
                    if place >= n_positions:
                        continue  # its sum is not taken
                    y = line * stride[0] - padding[0] + row
                    x = place * stride[1] - padding[1] + column
                    inside = 0 <= y < height and 0 <= x < width
                    assert found["inside"] >> lane & 1 == inside
                    if inside:
                        address = (y * width + x) * shape[0] + group * n_in + channel
                        assert found["address"][lane] == address
                assert found["block_ends"] == (tap == n_taps - 1)
            ends = position == n_blocks - 1, line == n_lines - 1, block == n_channel_blocks - 1
            advancing = next((1 << k for k, end in enumerate(ends) if not end), 0)
            assert found["ending"] == (advancing, ends[0], ends[2])
            idle = [cycles.pop(0)["valid"] for _ in range(made.idle)]
            assert not any(idle)
        assert not cycles
        weight_start += n_channel_blocks * n_taps


def test_the_taps_of_a_shortcut_come_behind_those_of_each_block() -> None:
    """7 channels out on 4 lanes; 3 x 3 outputs on 2, at strides 2 and 3 of a map of 5 x 8 x 3."""
    program = fold(NETWORKS["a shortcut with strides"], SMALL)
    cycles = watched(SMALL, program.passes[-1])
    start = 5 * 8 * 3  # the map of the layer before lies behind the sample
    for block, line, position in itertools.product(range(2), range(3), range(2)):
        weights = block * (3 * 2 * 3 + 3) + 3  # three groups before have a word each
        for tap in range(3 * 2 * 3):
            found = cycles.pop(0)
            assert (found["valid"], found["in_shortcut"], found["block_ends"]) == (1, 0, 0)
            assert found["weight_address"] == weights + tap
            row, column, seen = (int(index) for index in np.unravel_index(tap, (3, 2, 3)))
            x, y = position * 2 * 3 + column, line * 2 - 1 + row
            if 0 <= y < 5:
                assert found["address"][0] == start + (y * 8 + x) * 3 + seen
        for channel in range(3):
            found = cycles.pop(0)
            assert (found["valid"], found["in_shortcut"]) == (1, 1)
            assert found["block_ends"] == (channel == 2)
            assert found["weight_address"] == weights + 18 + channel
            assert found["inside"] == 0b11
            lanes = (0, 1) if position == 0 else (0,)  # of three positions, the last one is alone
            for lane in lanes:
                x, y = (position * 2 + lane) * 3, line * 2
                assert found["address"][lane] == start + (y * 8 + x) * 3 + channel
        while cycles and not cycles[0]["valid"]:
            cycles.pop(0)
    assert not cycles
