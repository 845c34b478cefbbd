"""What is read of maps, against a list of levels; in whole engines: test_engine.py."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Signal
from amaranth.sim import Simulator

from nomul.hw.engine_settings import GROUP, EngineSettings
from nomul.hw.level_reader import LevelReader, NonzeroReader

SHAPE = EngineSettings(
    channel_lanes=3, position_lanes=2, level_bits=3, map_depth=32, weight_depth=64
)
SKIPPING = dataclasses.replace(SHAPE, skips_zeros=True)

Tap = dict[str, Any]
"""``address``, of each lane; ``inside``, ``weight_address`` and ``ends``."""


class Bench:
    """Writes a map, offers taps, and notes what is given in which cycle.

    For a cycle in which there is no tap, ``taps`` has None.
    """

    def __init__(self, reader: LevelReader, levels: list[int], taps: Sequence[Tap | None]) -> None:
        self.reader, self.levels, self.taps = reader, levels, taps
        self.found: list[dict[str, Any]] = []

    def run(self, n_cycles: int) -> list[dict[str, Any]]:
        async def bench(ctx: Any) -> None:
            reader = self.reader
            ctx.set(reader.write, 1)
            for address, level in enumerate(self.levels):
                ctx.set(reader.write_address, address)
                ctx.set(reader.write_level, level)
                await ctx.tick()
            ctx.set(reader.write, 0)
            waiting = list(self.taps)
            for cycle in range(n_cycles):
                tap = waiting[0] if waiting else None
                ctx.set(reader.tap_valid, tap is not None)
                if tap is not None:
                    self._offer(ctx, tap)
                if waiting and not (tap and ctx.get(reader.hold)):
                    waiting.pop(0)
                if ctx.get(reader.valid):
                    self.found.append(self._given(ctx) | {"cycle": cycle})
                await ctx.tick()
            assert not waiting
            assert not ctx.get(reader.busy)

        simulator = Simulator(self.reader)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        return self.found

    def _offer(self, ctx: Any, tap: Tap) -> None:
        reader = self.reader
        for lane, address in enumerate(tap["address"]):
            ctx.set(reader.address[lane], address)
        ctx.set(reader.tap.inside, tap["inside"])
        ctx.set(reader.tap.weight_address, tap["weight_address"])
        ctx.set(reader.tap.ending.block, tap["ends"])

    def _given(self, ctx: Any) -> dict[str, Any]:
        read = self.reader.read
        return {
            "levels": [ctx.get(level) for level in self.reader.levels],
            "inside": ctx.get(read.inside),
            "weight_address": ctx.get(read.weight_address),
            "ends": ctx.get(read.ending.block),
        }


def skipping(n_sums: int, *, skips_zeros: int = 1) -> NonzeroReader:
    """Return a reader whose pass is what is said."""
    fields = {"skips_zeros": Signal(init=skips_zeros), "n_sums": Signal(3, init=n_sums)}
    return NonzeroReader(SKIPPING, **fields)


def random_taps(rng: np.random.Generator, n_taps: int, grain: int) -> list[Tap]:
    """Return taps, each with an address for either lane that is a multiple of ``grain``."""
    return [
        {
            "address": (grain * rng.integers(0, 28 // grain, 2)).tolist(),
            "inside": int(rng.integers(0, 4)),
            "weight_address": grain * number % 64,
            "ends": int(rng.random() < 0.3),
        }
        for number in range(n_taps)
    ]


@pytest.mark.parametrize("skips_zeros", [False, True])
def test_every_tap_has_its_levels(skips_zeros: bool) -> None:
    """Of an engine that skips zeros, in a pass that does not."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 8, 32).tolist()
    taps = random_taps(rng, 40, 1)
    reader = skipping(1, skips_zeros=0) if skips_zeros else LevelReader(SHAPE)
    found = Bench(reader, levels, taps).run(100)
    assert len(found) == len(taps)
    for tap, given in zip(taps, found, strict=True):
        assert given["levels"] == [levels[address] for address in tap["address"]]
        for name in ("inside", "weight_address", "ends"):
            assert given[name] == tap[name]


@pytest.mark.parametrize("n_sums", [1, 2, 3, 6])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0], ids=lambda share: f"{share:.0%} zeros")
def test_groups_are_given_without_their_zeros(share: float, n_sums: int) -> None:
    rng = np.random.default_rng([n_sums, int(10 * share)])
    is_zero = rng.random(28) < share
    levels = np.where(is_zero, 0, rng.integers(1, 8, 28)).tolist()
    taps = random_taps(rng, 40, GROUP)
    expected: list[dict[str, Any]] = []
    for tap in taps:
        seen = [
            channel
            for channel in range(GROUP)
            if any(
                levels[address + channel] and tap["inside"] >> lane & 1
                for lane, address in enumerate(tap["address"])
            )
        ] or [0]
        expected += [
            {
                "levels": [levels[address + channel] for address in tap["address"]],
                "inside": tap["inside"],
                "weight_address": tap["weight_address"] + channel,
                "ends": tap["ends"] * (channel == seen[-1]),
            }
            for channel in seen
        ]
    found = Bench(skipping(n_sums), levels, taps).run(600)
    assert [{k: v for k, v in given.items() if k != "cycle"} for given in found] == expected
    # Each comes as soon as it may: behind the one before, and what ends a block, when sums leave.
    last, last_end = found[0]["cycle"], -n_sums
    for before, given in itertools.pairwise(found):
        due = last + 1 + before["ends"]
        last_end = before["cycle"] if before["ends"] else last_end
        if given["ends"]:
            due = max(due, last_end + n_sums)
        assert given["cycle"] == due
        last = given["cycle"]


def test_what_one_pass_has_left_does_not_hold_up_the_next() -> None:
    tap = {"address": [4, 8], "inside": 3, "weight_address": 0, "ends": 1}
    within = Bench(skipping(6), [0] * 28, [tap, tap]).run(40)
    between = Bench(skipping(6), [0] * 28, [tap, None, None, None, tap]).run(40)
    first = within[0]["cycle"]
    assert [given["cycle"] - first for given in (*within, *between)] == [0, 6, 0, 4]
