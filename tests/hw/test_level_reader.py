"""What is read of maps, against a list of levels; in whole engines: test_engine.py."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Signal
from amaranth.sim import Simulator

from nomul.hw.engine_settings import GROUP, EngineSettings
from nomul.hw.level_reader import LevelReader, NonzeroReader
from nomul.hw.program import field_widths

SHAPE = EngineSettings(
    channel_lanes=3, position_lanes=2, level_bits=3, map_depth=30, weight_depth=64
)
SKIPPING = dataclasses.replace(SHAPE, skips_zeros=True)

Tap = dict[str, Any]
"""``address``, of each lane; ``inside``, ``weight_address`` and ``ends``."""


class Bench:
    """Writes a map, offers taps, and notes what is given in which cycle."""

    def __init__(self, reader: LevelReader, levels: list[int], taps: list[Tap]) -> None:
        self.reader, self.levels, self.taps = reader, levels, taps
        self.found: list[dict[str, Any]] = []

    def run(self, n_cycles: int, **fields: int) -> list[dict[str, Any]]:
        async def bench(ctx: Any) -> None:
            reader = self.reader
            for name, value in fields.items():
                ctx.set(reader.fields[name], value)
            ctx.set(reader.write, 1)
            for address, level in enumerate(self.levels):
                ctx.set(reader.write_address, address)
                ctx.set(reader.write_level, level)
                await ctx.tick()
            ctx.set(reader.write, 0)
            waiting = list(self.taps)
            for cycle in range(n_cycles):
                ctx.set(reader.tap_valid, bool(waiting))
                if waiting:
                    self._offer(ctx, waiting[0])
                if waiting and not ctx.get(reader.hold):
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


def made(kind: type[LevelReader], shape: EngineSettings) -> LevelReader:
    widths = field_widths(shape)
    return kind(shape, {name: Signal(width, name=name) for name, width in widths.items()})


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


@pytest.mark.parametrize(("kind", "shape"), [(LevelReader, SHAPE), (NonzeroReader, SKIPPING)])
def test_every_tap_has_its_levels(kind: type[LevelReader], shape: EngineSettings) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 8, 30).tolist()
    taps = random_taps(rng, 40, 1)
    fields = {"skips_zeros": 0, "sums": 1} if shape.skips_zeros else {}
    found = Bench(made(kind, shape), levels, taps).run(100, **fields)
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
    found = Bench(made(NonzeroReader, SKIPPING), levels, taps).run(600, skips_zeros=1, sums=n_sums)
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
