"""The drain alone: sums of convolutions come from the bench, and biases and thresholds too."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Signal
from amaranth.sim import Simulator

from nomul.hw.drain import Drain
from nomul.hw.folding import fold
from nomul.hw.program import Pass, Program, field_widths
from nomul.network import Conv2d, Dense, Network
from tests.hw.folded import SMALL, chain

LANES = SMALL.position_lanes


def picture(output: Any, *, groups: int = 1, shared: bool = False) -> Network:
    """One convolution to 6 channels at 3 x 5 positions; behind it a neuron if it has a map."""
    conv = (Conv2d, (6, 2 // groups, 2, 2), 6, {"groups": groups})
    if output == "map":
        neuron: tuple[Any, ...] = (Dense, (1, 6 * 3 * 5), 1, {})
        return chain((2, 4, 6), (2, 16), "accumulators", [conv, neuron], shared=shared)
    levels = (2, 11) if output == "levels" else (2,)
    return chain((2, 4, 6), levels, output, [conv], shared=shared)


CASES = {
    "map": picture("map"),
    "map, groups": picture("map", groups=2),
    "map, shared thresholds": picture("map", groups=2, shared=True),
    "levels": picture("levels"),
    "sums": picture("accumulators"),
    "one neuron": chain((3,), (2,), "accumulators", [(Dense, (1, 3), 1, {})]),
    "class": chain((3,), (2,), "class", [(Dense, (11, 3), 11, {})]),
}


@dataclass
class Watched:
    """What left in the run of a pass."""

    written: list[tuple[int, int]] = field(default_factory=list)
    results: list[int] = field(default_factory=list)
    taken_at: list[int] = field(default_factory=list)
    left_at: list[int] = field(default_factory=list)
    best: int = 0


def blocks_of(made: Pass) -> list[tuple[int, int, int]]:
    """Return the numbers of the channel block, line and position block, in their order."""
    blocks, lines, positions = (range(last + 1) for last in made.last[:2:-1])
    return list(itertools.product(blocks, lines, positions))


def run(program: Program, made: Pass, sums: list[list[list[int]]]) -> Watched:
    """Give it ``sums[block][position lane][channel]``, each block as soon as it may come."""
    widths = field_widths(SMALL)
    fields = {name: Signal(width, name=name) for name, width in widths.items()}
    drain = Drain(SMALL, fields)
    watched = Watched()
    searches = []
    for step in range(SMALL.level_bits):
        part = SMALL.rows >> step
        searches.append(program.thresholds[:, part // 2 - 1 :: part].ravel().tolist())

    async def bench(ctx: Any) -> None:
        for signal, word in zip(fields.values(), made.words(SMALL), strict=True):
            ctx.set(signal, word)
        ctx.set(drain.start, 1)
        await ctx.tick()
        ctx.set(drain.start, 0)
        queue = list(zip(blocks_of(made), sums, strict=True))
        held: list[list[int]] = [[] for _ in range(LANES)]
        wait, cycle = 3, 0
        while queue or wait or ctx.get(drain.busy):
            begins = bool(queue) and wait == 0
            ctx.set(drain.block_ends, begins)
            if begins:
                (block, line, position), following = queue.pop(0)
                ends = [
                    n == last
                    for n, last in zip((position, line, block), made.last[3:], strict=True)
                ]
                advancing = next((1 << k for k, end in enumerate(ends) if not end), 0)
                ctx.set(drain.advancing, advancing)
                ctx.set(drain.positions_end, ends[0])
                ctx.set(drain.blocks_end, ends[2])
                wait = made.taps + made.idle - 1
            else:
                for noise in (drain.advancing, drain.positions_end, drain.blocks_end):
                    ctx.set(noise, cycle % 2)
                wait = max(0, wait - 1)
            addresses = ctx.get(drain.bias_address), *map(ctx.get, drain.threshold_address)
            if ctx.get(drain.map_write):
                watched.written.append((ctx.get(drain.map_address), ctx.get(drain.map_level)))
            if ctx.get(drain.result_valid):
                watched.results.append(ctx.get(drain.result))
            if ctx.get(drain.map_write) or ctx.get(drain.result_valid):
                watched.left_at.append(cycle)
            shift = ctx.get(drain.shift)
            await ctx.tick()
            cycle += 1
            for lane in range(LANES):
                if shift >> lane & 1:
                    watched.taken_at.append(cycle - 1)
                    held[lane].pop(0)
            if begins:
                assert not any(held), "every sum of the block before was taken"
                held = [list(channels) for channels in following]
            for lane in range(LANES):
                ctx.set(drain.sums[lane], held[lane][0] if held[lane] else -cycle)
            bias, *steps = addresses
            ctx.set(drain.bias, int(program.biases[bias]) if bias < len(program.biases) else 0)
            for step, address in enumerate(steps):
                known = address < len(searches[step])
                ctx.set(drain.threshold[step], searches[step][address] if known else 0)
        assert not any(held)
        watched.best = ctx.get(drain.best)

    simulator = Simulator(drain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run_until(20_000e-6)
    return watched


@pytest.mark.parametrize("case", CASES)
def test_every_sum_becomes_what_its_pass_gives(case: str) -> None:
    network = CASES[case]
    program = fold(network, SMALL)
    layer = network.layers[0]
    n_out, height, width = network.shapes["layers.0"]
    n_passes = len(program.passes) - (len(network.layers) - 1)
    rng = np.random.default_rng(list(case.encode()))
    for group, made in enumerate(program.passes[:n_passes]):
        of_group = n_out // n_passes
        first = group * of_group
        sums: list[list[list[int]]] = []
        expected: list[tuple[int, int, int]] = []  # address, sum, level
        for block, line, position in blocks_of(made):
            channels = range(4 * block, min(4 * block + 4, of_group))
            places = range(LANES * position, min(LANES * position + LANES, width))
            drawn = rng.integers(-60, 60, (len(places), len(channels))).tolist()
            sums.append([*drawn, *([] for _ in range(LANES - len(places)))])
            for place, of_place in zip(places, drawn, strict=True):
                for channel, bare in zip(channels, of_place, strict=True):
                    total = bare + int(program.biases[made.bias_start + channel])
                    level = 0
                    if isinstance(layer, Conv2d | Dense) and layer.thresholds is not None:
                        own = layer.thresholds.reshape(-1, layer.thresholds.shape[-1])
                        number = first + channel if len(own) > 1 else 0
                        level = sum(int(value) <= total for value in own[number])
                    address = network.n_inputs + (line * width + place) * n_out + first + channel
                    expected.append((address, total, level))
        found = run(program, made, sums)
        totals = [total for _, total, _ in expected]
        levels = [level for _, _, level in expected]
        assert len(found.taken_at) == len(expected) == of_group * height * width
        match made.result:
            case "map":
                assert found.written == [(address, level) for address, _, level in expected]
                assert found.results == []
            case "sums":
                assert (found.written, found.results) == ([], totals)
            case "levels":
                assert (found.written, found.results) == ([], levels)
            case "class":
                assert (found.written, found.results) == ([], [])
                assert found.best == totals.index(max(totals))
        if made.result != "class":
            latency = 2 if made.result == "sums" else 2 + SMALL.level_bits
            assert found.left_at == [cycle + latency for cycle in found.taken_at]


@pytest.mark.parametrize(
    ("sums", "best"), [([5, 5, 5], 0), ([1, 7, 7], 1), ([-9, -8, -7], 2), ([-1] * 9 + [0] * 2, 9)]
)
def test_the_class_is_the_first_of_the_greatest(sums: list[int], best: int) -> None:
    layers: list[tuple[Any, ...]] = [(Dense, (len(sums), 3), len(sums), {})]
    program = fold(chain((3,), (2,), "class", layers), SMALL)
    (made,) = program.passes
    bare = [total - int(bias) for total, bias in zip(sums, program.biases, strict=True)]
    given = [[bare[n : n + 4], []] for n in range(0, len(bare), 4)]
    assert run(program, made, given).best == best
