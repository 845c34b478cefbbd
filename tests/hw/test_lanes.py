from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.lanes import Lanes

SHAPES = {
    "4x2": EngineSettings(channel_lanes=4, position_lanes=2),
    "1x1": EngineSettings(channel_lanes=1, position_lanes=1),
    "a column": EngineSettings(
        channel_lanes=2, position_lanes=1, magnitude_bits=0, product_bits=2, sum_bits=4
    ),
    "two columns": EngineSettings(
        channel_lanes=3, position_lanes=3, magnitude_bits=1, level_bits=1
    ),
    "four columns": EngineSettings(
        channel_lanes=2, position_lanes=2, magnitude_bits=2, product_bits=16
    ),
    "zeros are skipped": EngineSettings(channel_lanes=3, position_lanes=2, skips_zeros=True),
    "sixteen columns": EngineSettings(channel_lanes=2, position_lanes=1, magnitude_bits=4),
}


def packed(numbers: list[int], width: int) -> int:
    return sum((number & (1 << width) - 1) << width * n for n, number in enumerate(numbers))


def wrapped(number: int, width: int) -> int:
    number &= (1 << width) - 1
    return number - (number >> width - 1 << width)


class Bench:
    """Blocks of random taps; between them idle cycles, in which sums leave."""

    def __init__(self, shape: EngineSettings, seed: int) -> None:
        self.shape = shape
        self.rng = np.random.default_rng([seed, shape.lanes])
        self.lanes = Lanes(shape)
        self.n_blocks = 0

    def run(self, *, is_greatest: bool) -> None:
        async def bench(ctx: Any) -> None:
            ctx.set(self.lanes.is_greatest, is_greatest)
            for n_taps in (3, 1, 7):
                # Each is a pass: what was left of another is gone.
                await self.block(ctx, 2, is_greatest)
                self.noise(ctx)
                ctx.set(self.lanes.valid, 1)
                await ctx.tick()
                ctx.set(self.lanes.valid, 0)
                await ctx.tick()
                ctx.set(self.lanes.clear, 1)
                await ctx.tick()
                ctx.set(self.lanes.clear, 0)
                for _ in range(3):
                    await self.block(ctx, n_taps, is_greatest)
                self.n_blocks += 3

        simulator = Simulator(self.lanes)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        assert self.n_blocks == 9

    def noise(self, ctx: Any) -> tuple[list[list[int]], list[int], list[int]]:
        """Set random rows, weights and levels; return them."""
        shape, rng = self.shape, self.rng
        limit = 1 << shape.product_bits - 1
        rows = rng.integers(-limit, limit, (shape.position_lanes, shape.columns)).tolist()
        weights = rng.integers(0, 2 * shape.columns, shape.channel_lanes).tolist()
        levels = rng.integers(0, shape.rows, shape.position_lanes).tolist()
        for position in range(shape.position_lanes):
            ctx.set(self.lanes.rows[position], packed(rows[position], shape.product_bits))
            ctx.set(self.lanes.levels[position], levels[position])
        ctx.set(self.lanes.weights, packed(weights, shape.weight_bits))
        return rows, weights, levels

    async def block(self, ctx: Any, n_taps: int, is_greatest: bool) -> None:
        shape, lanes = self.shape, self.lanes
        sums = [[0] * shape.channel_lanes for _ in range(shape.position_lanes)]
        greatest = [0] * shape.position_lanes
        for _ in range(n_taps):
            while self.rng.random() < 0.3:
                self.noise(ctx)
                await ctx.tick()
            rows, weights, levels = self.noise(ctx)
            ctx.set(lanes.valid, 1)
            await ctx.tick()
            ctx.set(lanes.valid, 0)
            for position, row in enumerate(rows):
                greatest[position] = max(greatest[position], levels[position])
                for channel, weight in enumerate(weights):
                    product = row[weight % shape.columns]
                    # With a sign: the complement, 1 less than the negative.
                    negative = -product if shape.skips_zeros else -product - 1
                    sums[position][channel] += negative if weight >= shape.columns else product
        self.noise(ctx)
        await ctx.tick()
        self.noise(ctx)
        ctx.set(lanes.move, 1)
        await ctx.tick()
        ctx.set(lanes.move, 0)
        for position in self.rng.permutation(shape.position_lanes).tolist():
            for channel in range(1 if is_greatest else shape.channel_lanes):
                self.noise(ctx)
                expected = wrapped(sums[position][channel], shape.sum_bits)
                if is_greatest:
                    expected = greatest[position]
                assert ctx.get(lanes.sums[position]) == expected
                ctx.set(lanes.shift, 1 << position)
                await ctx.tick()
                ctx.set(lanes.shift, 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", SHAPES)
def test_sums_are_those_of_products_with_signs(case: str, seed: int) -> None:
    Bench(SHAPES[case], seed).run(is_greatest=False)


@pytest.mark.parametrize("case", SHAPES)
def test_the_greatest_level_takes_the_place_of_the_first_sum(case: str) -> None:
    shape = SHAPES[case]
    if shape.level_bits >= shape.sum_bits:
        shape = dataclasses.replace(shape, level_bits=shape.sum_bits - 1)
    Bench(shape, 0).run(is_greatest=True)
