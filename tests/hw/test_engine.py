"""Engines in Verilator, and what their ports promise in Amaranth's simulator."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import HealthCheck, Phase, assume, given, reject, settings
from numpy.typing import NDArray

from nomul.hw.engine import Engine
from nomul.hw.engine_core import EngineCore
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.engine_verilog import emit_engine
from nomul.hw.folding import fold
from nomul.hw.program_image import MEMORIES, load_words
from nomul.hw.verilog import convert
from nomul.network import Conv2d, Dense, Network, UserError
from nomul.sim.batch import BatchSimulator, build_batch
from nomul.sim.folded import packed_load_words, run_folded
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import execute, sample_cycles
from nomul.sim.verilator import is_installed
from tests.hw.folded import (
    NETWORKS,
    SMALL,
    SPARSE,
    chain,
    chains,
    sparse_levels,
    sparse_networks,
)
from tests.hw.outside import WithMemoryOutside
from tests.networks import random_levels, random_network

needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)

IN_BITSTREAM = fold(NETWORKS["pictures"], SMALL)
SHAPES = {
    "4x2": SMALL,
    "8x1": dataclasses.replace(
        SMALL,
        channel_lanes=8,
        position_lanes=1,
        sum_bits=20,
        weight_memory="spram",
        weight_depth=16384,
        parity=True,
    ),
    "skips zeros": dataclasses.replace(
        SMALL, channel_lanes=8, weight_memory="spram", weight_depth=16384, skips_zeros=True
    ),
}
SLOW_SHAPES = {
    "1x1": dataclasses.replace(SMALL, channel_lanes=1, position_lanes=1, weight_depth=8192),
    "3x3": dataclasses.replace(SMALL, channel_lanes=3, position_lanes=3),
    "8x4": dataclasses.replace(
        SMALL, channel_lanes=8, position_lanes=4, weight_memory="spram", weight_depth=16384
    ),
    "8 bits": dataclasses.replace(
        SMALL, channel_lanes=5, level_bits=8, magnitude_bits=4, product_bits=12
    ),
    "1 bit": dataclasses.replace(
        SMALL, level_bits=1, magnitude_bits=1, product_bits=5, sum_bits=10, pages=4
    ),
}


def build(shape: EngineSettings, folder: Path, engine: Engine | None = None) -> BatchSimulator:
    return build_batch(emit_engine(engine or Engine(shape)), folder)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BatchSimulator]:
    return {
        "4x2": build(SMALL, tmp_path_factory.mktemp("4x2"), Engine(SMALL, IN_BITSTREAM)),
        "8x1": build(SHAPES["8x1"], tmp_path_factory.mktemp("8x1")),
        "skips zeros": build(SHAPES["skips zeros"], tmp_path_factory.mktemp("zeros")),
    }


def check(
    engine: BatchSimulator, shape: EngineSettings, network: Network, n_samples: int
) -> tuple[int, int]:
    """See that all bits are right, with and without stalls; return cycles taken and promised.

    Where levels come later than a sample could begin, so does the answer: by as much exactly.
    """
    program = fold(network, shape)
    found = run_folded(engine, network, program, random_levels(network, n_samples), seed=1)
    assert (found.mismatches, found.first_mismatch) == (0, None)
    assert shape.skips_zeros or found.cycles_per_sample >= sample_cycles(program)
    return found.cycles_per_sample, sample_cycles(program)


@needs_verilator
def test_a_program_in_the_bitstream_runs_unloaded(engines: dict[str, BatchSimulator]) -> None:
    network = NETWORKS["pictures"]
    levels = random_levels(network, 20)
    found = engines["4x2"].run(
        levels[:, IN_BITSTREAM.input_order].ravel(), 20, limit=sample_cycles(IN_BITSTREAM) + 100
    )
    assert (found.answers[:, 0] == evaluate_levels(network, levels)).all()


@needs_verilator
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", NETWORKS)
def test_one_engine_runs_every_program_bit_for_bit_in_the_promised_time(
    case: str, shape: str, engines: dict[str, BatchSimulator]
) -> None:
    taken, promised = check(engines[shape], SHAPES[shape], NETWORKS[case], 20)
    # A sample that one pass reads comes behind it, and the engine waits.
    assert taken == promised or len(NETWORKS[case].layers) == 1


@needs_verilator
@pytest.mark.parametrize("shape", SHAPES)
@settings(
    max_examples=25,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # the slow test below shrinks
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(chains(max_size=4))
def test_an_engine_runs_any_network(
    engines: dict[str, BatchSimulator], shape: str, network: Network
) -> None:
    check_if_it_fits(engines[shape], SHAPES[shape], network)


def check_if_it_fits(engine: BatchSimulator, shape: EngineSettings, network: Network) -> None:
    """Check a network; a few that are drawn are too large."""
    try:
        fold(network, shape)
    except UserError:
        reject()
    check(engine, shape, network, 3)


def check_that_zeros_are_skipped(
    engine: BatchSimulator, shape: EngineSettings, network: Network
) -> None:
    """Check a network, unless it is too large, or has no pass that can skip."""
    try:
        program = fold(network, shape)
    except UserError:
        reject()
    assume(any(made.skips_zeros for made in program.passes))
    check_zeros(engine, shape, network)


def check_zeros(engine: BatchSimulator, shape: EngineSettings, network: Network) -> list[int]:
    """See that bits and each sample's cycles are as interpreted; return the cycles."""
    program = fold(network, shape)
    levels = sparse_levels(network, 20)
    found = run_folded(engine, network, program, levels, seed=1)
    assert (found.mismatches, found.first_mismatch) == (0, None)
    cycles: list[int] = execute(program, levels).cycles.tolist()
    return cycles


@needs_verilator
@pytest.mark.parametrize("case", SPARSE)
def test_zeros_take_no_cycles(case: str, engines: dict[str, BatchSimulator]) -> None:
    shape = SHAPES["skips zeros"]
    program = fold(SPARSE[case], shape)
    assert program.passes[-1].skips_zeros
    cycles = check_zeros(engines["skips zeros"], shape, SPARSE[case])
    assert min(cycles) < max(cycles) <= sample_cycles(program)


@needs_verilator
@settings(
    max_examples=25,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # the slow test below shrinks
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(network=sparse_networks())
def test_an_engine_skips_the_zeros_of_any_network(
    engines: dict[str, BatchSimulator], network: Network
) -> None:
    check_that_zeros_are_skipped(engines["skips zeros"], SHAPES["skips zeros"], network)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("lanes", [(4, 1), (4, 2), (3, 3), (32, 4)], ids=str)
def test_engines_of_many_lanes_skip_zeros(lanes: tuple[int, int], tmp_path: Path) -> None:
    channels, positions = lanes
    shape = dataclasses.replace(
        SLOW_SHAPES["3x3"],
        channel_lanes=channels,
        position_lanes=positions,
        skips_zeros=True,
        parity=positions == 1,
    )
    engine = build(shape, tmp_path)

    @settings(
        max_examples=200,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(sparse_networks())
    def any_network(network: Network) -> None:
        check_that_zeros_are_skipped(engine, shape, network)

    any_network()


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("shape", SLOW_SHAPES)
def test_an_engine_of_any_shape_runs_any_network(shape: str, tmp_path: Path) -> None:
    roomy = dataclasses.replace(
        SLOW_SHAPES[shape],
        map_depth=4096,
        bias_depth=512,
        threshold_depth=512,
        pages=16,
        program_depth=16384,
    )
    engine = build(roomy, tmp_path)
    if shape == "1 bit":
        bits = random_network((30, 20, 5), (2, 2), n_centres=2)
        check(engine, roomy, bits, 50)
        return

    @settings(
        max_examples=200,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(chains(max_size=4))
    def any_network(network: Network) -> None:
        check_if_it_fits(engine, roomy, network)

    any_network()


@needs_verilator
@pytest.mark.slow
def test_a_network_for_pictures_runs_at_full_size(tmp_path: Path) -> None:
    """The shape of examples/mnist-cnn-folded.toml, with random weights."""
    conv = {"stride": (2, 2), "padding": (1, 1)}
    network = chain(
        (1, 28, 28),
        (16, 16, 16, 16),
        "class",
        [
            (Conv2d, (12, 1, 3, 3), 12, conv),
            (Conv2d, (24, 12, 3, 3), 24, conv),
            (Conv2d, (48, 24, 3, 3), 48, conv),
            (Dense, (10, 48 * 4 * 4), 10, {}),
        ],
    )
    full = EngineSettings()
    taken, promised = check(build(full, tmp_path), full, network, 200)
    assert taken == promised


TINY = EngineSettings(
    channel_lanes=2,
    position_lanes=1,
    level_bits=2,
    magnitude_bits=2,
    map_depth=16,
    pages=3,
    threshold_depth=4,
    bias_depth=8,
    weight_depth=64,
    program_depth=128,
    weight_memory="block",
)


async def load(ctx: Any, engine: Engine, network: Network, header: int = 0) -> None:
    for memory, step, address, word in load_words(fold(network, TINY)):
        place = address + header * (memory == MEMORIES.index("program"))
        payload = {"memory": memory, "step": step, "address": place, "word": word}
        ctx.set(engine.load.payload, payload)
        ctx.set(engine.load.valid, 1)
        await ctx.tick().until(engine.load.ready)
    ctx.set(engine.load.valid, 0)


async def send(ctx: Any, engine: Engine, levels: NDArray[np.int64]) -> None:
    for level in levels.tolist():
        ctx.set(engine.i.payload, level)
        ctx.set(engine.i.valid, 1)
        await ctx.tick().until(engine.i.ready)
    ctx.set(engine.i.valid, 0)


async def receive(ctx: Any, engine: Engine) -> int:
    ctx.set(engine.o.ready, 1)
    (answer,) = await ctx.tick().sample(engine.o.payload).until(engine.o.valid)
    ctx.set(engine.o.ready, 0)
    return int(answer)


def test_the_last_word_that_is_loaded_counts_when_the_engine_starts() -> None:
    """The header, a program's first word, says how many levels a sample has."""
    first, second = (random_network((n, 3, 4), (4, 3), seed=n, n_centres=4) for n in (5, 3))
    (sample,) = random_levels(second, 1)
    engine = Engine(TINY)
    words = list(load_words(fold(second, TINY)))
    header = next(word for word in words if (word[0], word[2]) == (MEMORIES.index("program"), 0))

    async def bench(ctx: Any) -> None:
        await load(ctx, engine, first)
        for memory, step, address, word in [*(w for w in words if w != header), header]:
            payload = {"memory": memory, "step": step, "address": address, "word": word}
            ctx.set(engine.load.payload, payload)
            ctx.set(engine.load.valid, 1)
            await ctx.tick().until(engine.load.ready)
        ctx.set(engine.run, 1)
        assert not ctx.get(engine.load.ready), "what came now would come too late"
        ctx.set(engine.load.valid, 0)
        await send(ctx, engine, sample)
        assert await receive(ctx, engine) == evaluate_levels(second, sample[None])[0]

    simulator = Simulator(engine)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_a_stopped_engine_forgets_finishes_and_takes_another_program() -> None:
    first, second = (random_network((n, 3, 4), (4, 3), seed=n, n_centres=4) for n in (5, 3))
    samples, others = random_levels(first, 3), random_levels(second, 3)
    classes = evaluate_levels(first, samples).tolist()
    engine = Engine(TINY)
    ended = []

    async def bench(ctx: Any) -> None:
        ctx.set(engine.i.valid, 1)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(engine.i.ready), "nothing is accepted before it runs"
        ctx.set(engine.i.valid, 0)
        await load(ctx, engine, first)
        ctx.set(engine.run, 1)
        await send(ctx, engine, samples[0][:3])
        assert not ctx.get(engine.busy), "a level is missing"
        await send(ctx, engine, samples[0][3:])
        assert ctx.get(engine.busy)
        assert not ctx.get(engine.load.ready)
        assert await receive(ctx, engine) == classes[0]
        assert not ctx.get(engine.busy)

        # A part of a sample is forgotten when it is discarded, and when it stops.
        await send(ctx, engine, samples[1][:2])
        ctx.set(engine.discard, 1)
        await ctx.tick()
        ctx.set(engine.discard, 0)
        await send(ctx, engine, samples[1])
        assert await receive(ctx, engine) == classes[1]
        await send(ctx, engine, samples[1][:2])
        ctx.set(engine.run, 0)
        for _ in range(3):
            assert not ctx.get(engine.i.ready)
            await ctx.tick()
        ctx.set(engine.run, 1)
        await send(ctx, engine, samples[2])

        # A sample that has arrived is finished.
        ctx.set(engine.run, 0)
        assert ctx.get(engine.busy)
        ctx.set(engine.i.valid, 1)
        ctx.set(engine.o.ready, 1)
        while not ctx.get(engine.o.valid):
            assert not ctx.get(engine.i.ready)
            await ctx.tick()
        assert ctx.get(engine.o.payload) == classes[2]
        ctx.set(engine.i.valid, 0)

        await load(ctx, engine, second, header=40)
        ctx.set(engine.header, 40)
        ctx.set(engine.run, 1)
        for levels, answer in zip(others, evaluate_levels(second, others), strict=True):
            await send(ctx, engine, levels)
            assert await receive(ctx, engine) == answer
        ended.append(True)

    simulator = Simulator(engine)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run_until(10_000e-6)
    assert ended


@needs_verilator
@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("case", ["pictures", "transposed", "points"])
def test_weights_may_lie_outside(case: str, pauses: bool, tmp_path: Path) -> None:
    """Blocks of one tap, as of points, want bursts faster than any memory takes them."""
    points = chain((1, 3, 9), (4,), "accumulators", [(Conv2d, (1, 1, 1, 1), 1, {})])
    network = {**NETWORKS, "points": points}[case]
    program = fold(network, dataclasses.replace(SMALL, weight_memory="port"))
    hardware = WithMemoryOutside(program, pauses=pauses)
    engine = build_batch(convert(hardware, "top"), tmp_path)
    levels = random_levels(network, 20)
    expected = evaluate_levels(network, levels).reshape(20, -1)
    if network.output.kind != "class":
        expected = expected[:, program.output_order]
    for seed in (0, 1):
        found = engine.run(
            levels[:, program.input_order].ravel(),
            expected.size,
            loads=packed_load_words(program),
            limit=10 * sample_cycles(program),
            seed=seed,
        )
        assert (found.answers.reshape(expected.shape) == expected).all()


def test_no_answer_is_wrong_unnoticed_when_bits_change() -> None:
    """A bit of a word that is in use changes, in any memory; the next sample meets it."""
    network = random_network((5, 3, 4), (4, 3), seed=5, n_centres=4, output="accumulators")
    program = fold(network, dataclasses.replace(TINY, parity=True))
    core = EngineCore(program.settings, program)
    samples = random_levels(network, 60)
    expected = evaluate_levels(network, samples)[:, program.output_order].tolist()
    rng = np.random.default_rng(0)
    unnoticed, noticed, wrong = 0, 0, 0

    async def answers(ctx: Any, levels: NDArray[np.int64]) -> list[int]:
        """Return what leaves in twice the time: a program that has changed may never end."""
        for level in levels[program.input_order].tolist():
            ctx.set(core.level, level)
            ctx.set(core.level_valid, 1)
            for _ in range(5 * sample_cycles(program)):
                accepted = ctx.get(core.level_ready)
                await ctx.tick()
                if accepted:
                    break
        ctx.set(core.level_valid, 0)
        found = []
        for _ in range(2 * sample_cycles(program)):
            if ctx.get(core.answer_valid):
                found.append(int(ctx.get(core.answer)))
            if not ctx.get(core.busy):
                break
            await ctx.tick()
        return found

    async def bench(ctx: Any) -> None:
        nonlocal unnoticed, noticed, wrong
        ctx.set(core.advance, 1)
        for number, (levels, right) in enumerate(zip(samples, expected, strict=True)):
            memory = core.memories[number % len(core.memories)]
            address = int(rng.integers(max(1, len(memory.init))))
            bit = int(rng.integers(len(memory.data[0])))
            sound = ctx.get(memory.data[address])
            ctx.set(memory.data[address], sound ^ 1 << bit)
            ctx.set(core.run, 1)
            found = await answers(ctx, levels)
            await ctx.tick().repeat(3)
            is_noticed = ctx.get(core.fault)
            noticed += is_noticed
            wrong += found != right
            unnoticed += found != right and not is_noticed
            ctx.set(memory.data[address], sound)
            ctx.set(core.run, 0)
            while ctx.get(core.busy):
                await ctx.tick()
            await ctx.tick().repeat(3)
            assert not ctx.get(core.fault), "it is forgotten with the program"

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run_until(0.2)
    assert unnoticed == 0
    assert noticed > 30
    assert wrong > 5
