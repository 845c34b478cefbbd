"""A bench for components with one stream in and one out, on Amaranth's simulator.

Words are integers, as they lie in a payload. The samples are driven four times, from the grid of
idle sources and stalling sinks, and every run ends with an empty pipeline.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from amaranth.hdl import ClockDomain, Fragment, Module, Value
from amaranth.sim import Simulator
from numpy.typing import ArrayLike, NDArray

from nomul.hw.area_model import graph_area
from nomul.hw.graph import Graph, Offset, Table, operands
from nomul.hw.lowering import METHODS, lower
from nomul.hw.plan import Plan
from nomul.hw.targets import TARGETS, Target
from nomul.hw.unrolled import Unrolled
from nomul.hw.widths import level_width
from nomul.network import Dense, Input, Network, Output
from nomul.sim.golden import evaluate_levels

__all__ = [
    "all_or_some_levels",
    "check_graphs",
    "check_plan",
    "check_stream",
    "dense",
    "elaborated",
    "expected_answers",
    "forced_methods",
    "network_of",
    "pack",
]

PERIOD = 1e-6  # s
PATIENCE = 100  # cycles without a transfer
GRID = list(itertools.product((False, True), (False, True)))


Component = TypeVar("Component")


def elaborated(component: Component) -> Component:
    """Return the component after its use: Amaranth warns of one that is not used."""
    Fragment.get(component, None)
    return component


class Source:
    """Offers every word until it is taken; what lies there before, nobody may use."""

    def __init__(self, port: Any, words: list[int], rng: random.Random, *, idle: bool) -> None:
        self.port, self.words, self.rng, self.idle = port, words, rng, idle
        self.payload = Value.cast(port.payload)
        self.taken_at: list[int] = []
        self.offering = False

    def drive(self, ctx: Any) -> None:
        n_taken = len(self.taken_at)
        if not self.offering:
            waits = self.idle and self.rng.random() < 0.5
            self.offering = n_taken < len(self.words) and not waits
            ctx.set(self.port.valid, self.offering)
            word = self.words[n_taken] if self.offering else ~self.words[n_taken - 1]
            ctx.set(self.payload, word & (1 << len(self.payload)) - 1)

    def sample(self, ctx: Any, cycle: int) -> None:
        if self.offering and ctx.get(self.port.ready):
            self.taken_at.append(cycle)
            self.offering = False


class Sink:
    """Takes words; a stalling one takes none before it was once offered one."""

    def __init__(self, port: Any, rng: random.Random, *, stalling: bool) -> None:
        self.port, self.rng, self.stalling = port, rng, stalling
        self.payload = Value.cast(port.payload)
        self.words: list[int] = []
        self.given_at: list[int] = []
        self.held: int | None = None
        self.patient = stalling
        self.ready = False

    def drive(self, ctx: Any) -> None:
        self.ready = not self.patient and not (self.stalling and self.rng.random() < 0.5)
        ctx.set(self.port.ready, self.ready)

    def sample(self, ctx: Any, cycle: int) -> None:
        word = ctx.get(self.payload) if ctx.get(self.port.valid) else None
        assert self.held in (None, word), "an offer is held until it is taken"
        if word is not None:
            self.patient = False
            if self.ready:
                self.words.append(word)
                self.given_at.append(cycle)
        self.held = None if self.ready else word


def check_stream(component: Any, words: list[int], expected: list[int]) -> None:
    """Assert that ``component`` answers ``words`` with ``expected``, in time and stalled or not."""
    assert len(words) == len(expected) > 0
    runs: list[tuple[bool, bool]] = []

    async def bench(ctx: Any) -> None:
        for idle, stalling in GRID:
            rng = random.Random(f"{len(words)} {idle} {stalling}")
            source = Source(component.i, words, rng, idle=idle)
            sink = Sink(component.o, rng, stalling=stalling)
            cycle = moved_at = 0
            while cycle < moved_at + (PATIENCE if len(sink.words) < len(words) else 10):
                before = len(source.taken_at) + len(sink.words)
                source.drive(ctx)
                sink.drive(ctx)
                source.sample(ctx, cycle)
                sink.sample(ctx, cycle)
                await ctx.tick()
                cycle += 1
                if len(source.taken_at) + len(sink.words) > before:
                    moved_at = cycle
            run = f"idle source: {idle}, stalling sink: {stalling}"
            assert len(source.taken_at) == len(words), f"inputs are taken; {run}"
            assert sink.words == expected, run
            if not (idle or stalling):
                passed = np.subtract(sink.given_at, source.taken_at)
                assert set(passed.tolist()) == {component.latency}
                intervals = np.diff(source.taken_at)
                assert set(intervals.tolist()) <= {component.initiation_interval}
            runs.append((idle, stalling))

    # What has no register has no clock of its own.
    top = Module()
    top.domains.sync = ClockDomain()
    top.submodules.component = component
    simulator = Simulator(top)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(bench)
    simulator.run()
    assert runs == GRID


def pack(values: ArrayLike, width: int) -> list[int]:
    """Return each row as one word, value 0 in the least significant bits, two's complement."""
    rows = np.asarray(values).tolist()
    mask = (1 << width) - 1
    return [sum((value & mask) << k * width for k, value in enumerate(row)) for row in rows]


def dense(
    columns: list[list[int]],
    weight_index: list[list[int]],
    *,
    bias: list[int] | None = None,
    thresholds: ArrayLike | None = None,
) -> Dense:
    """Return a layer from the columns of its product table."""
    return Dense(
        weight_index=np.array(weight_index, np.uint8),
        product_table=np.array(columns, np.int32).T,
        bias=np.array(bias or [0] * len(weight_index), np.int32),
        thresholds=None if thresholds is None else np.array(thresholds, np.int32),
    )


def network_of(layer: Dense) -> Network:
    """Return the network that ``layer`` alone makes."""
    thresholds = np.arange(1, layer.n_levels_in, dtype=np.float64) - 0.5
    kind = Output("accumulators" if layer.thresholds is None else "levels")
    return Network(Input((layer.n_inputs,), thresholds), (layer,), kind)


def all_or_some_levels(n_levels: int, n_inputs: int, n_samples_max: int) -> NDArray[np.int64]:
    """Return all combinations of levels, or else so many: the extreme ones and random ones."""
    if n_levels**n_inputs <= n_samples_max:
        return np.array(list(itertools.product(range(n_levels), repeat=n_inputs)))
    rng = np.random.default_rng([n_levels, n_inputs])
    chosen = rng.integers(0, n_levels, (n_samples_max, n_inputs))
    chosen[0], chosen[1] = 0, n_levels - 1
    return chosen


def expected_answers(network: Network, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what the golden model says, shape (samples, outputs)."""
    return evaluate_levels(network, levels).reshape(len(levels), -1)


def forced_methods(network: Network, target: Target, method: str) -> dict[str, str]:
    """Return ``method`` for all layers that it applies to."""
    choices = lower(network, target).choices
    return {choice.layer: method for choice in choices if method in choice.areas}


def check_graphs(network: Network, n_samples_max: int = 256) -> None:
    """Assert that whatever the network is lowered to, for small and large LUTs, is the network."""
    levels = all_or_some_levels(network.input.n_levels, network.n_inputs, n_samples_max)
    expected = expected_answers(network, levels)
    for target in (TARGETS["ice40"], TARGETS["xilinx"]):
        for method in METHODS:
            forced = forced_methods(network, target, method)
            lowering = lower(network, target, forced)
            found = lowering.graph.evaluate(levels)
            assert np.array_equal(found, expected), f"{method} for {target.name}"
            assert {c.layer: c.method for c in lowering.choices}.items() >= forced.items()
            check_nodes(lowering.graph, levels)
            assert graph_area(lowering.graph, target) >= 0


def check_nodes(graph: Graph, levels: NDArray[np.int64]) -> None:
    """Assert that every node reads earlier ones, has its own name and stays in its range."""
    assert len(set(graph.names)) == len(graph.nodes)
    values = replace(graph, outputs=tuple(range(len(graph.nodes)))).evaluate(levels)
    for number, node in enumerate(graph.nodes):
        assert all(operand < number for operand in operands(node))
        if isinstance(node, Table):
            assert len(node.entries) == 1 << len(node.bits)
        if not isinstance(node, Offset):
            assert values[:, number].min() >= 0
            assert values[:, number].max() <= graph.maxima[number]


def check_plan(plan: Plan, levels: NDArray[np.int64]) -> Unrolled:
    """Assert that the plan's hardware and the golden model agree, and return the hardware."""
    hardware = Unrolled(plan)
    shape = hardware.o.payload.shape()
    width = shape.elem_shape.width if hasattr(shape, "elem_shape") else shape.width
    answers = pack(expected_answers(plan.network, levels), width)
    check_stream(hardware, pack(levels, level_width(plan.network.input.n_levels)), answers)
    return hardware
