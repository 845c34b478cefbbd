from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.datapath import Datapath
from nomul.hw.graph import Builder, Graph
from nomul.hw.pipeline import Pipeline
from nomul.hw.schedule import Schedule, schedule_in_stages
from nomul.hw.targets import TARGETS, Target
from nomul.hw.timing import Timing
from tests.hw.benches import check_stream, pack
from tests.hw.nodes import LEVELS, MAKERS, N_LEVELS, three_inputs

WIDTH = (N_LEVELS - 1).bit_length()
TIMING = Timing(lut_ns=1.0, carry_ns=0.0, register_ns=0.0)
ELEMENT = unsigned(12)  # enough for each of the numbers


def every_node() -> Graph:
    """Return a graph with all nodes that the tests have."""
    builder = Builder()
    inputs = three_inputs(builder)
    return builder.graph([make(builder, inputs) for make, _ in MAKERS.values()])


class Core(wiring.Component):
    """A datapath between two streams."""

    i: Any
    o: Any

    def __init__(self, graph: Graph, schedule: Schedule, target: Target) -> None:
        self.graph, self.schedule, self.target = graph, schedule, target
        self.latency, self.initiation_interval = schedule.n_stages, 1
        levels = data.ArrayLayout(unsigned(WIDTH), len(LEVELS[0]))
        answers = data.ArrayLayout(ELEMENT, len(graph.outputs))
        super().__init__({"i": In(stream.Signature(levels)), "o": Out(stream.Signature(answers))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.i, self.o, self.latency)
        datapath = Datapath(m, self.graph, self.schedule, pipeline, self.target)
        answers = datapath.build([self.i.payload[source] for source in range(len(LEVELS[0]))])
        for place, (number, answer) in enumerate(zip(self.graph.outputs, answers, strict=True)):
            assert len(answer) == self.graph.width(number)
            m.d.comb += self.o.payload[place].eq(answer)
        return m


def expected_words() -> list[int]:
    """Return what the definitions say; the offset, the only negative number, in its 4 bits."""
    numbers = np.stack([expected for _, expected in MAKERS.values()], axis=1).astype(np.int64)
    return pack(np.where(numbers < 0, numbers & 15, numbers), ELEMENT.width)


@pytest.mark.parametrize("gate_bits", [0, 2, 64])
def test_gates_chains_and_wires_add_up(gate_bits: int) -> None:
    graph = every_node()
    target = replace(TARGETS["ice40"], gate_bits=gate_bits)
    core = Core(graph, schedule_in_stages(graph, TIMING, 1), target)
    check_stream(core, pack(LEVELS, WIDTH), expected_words())


@pytest.mark.parametrize("n_stages", [0, 2])
def test_every_node_is_what_it_says_in_any_number_of_stages(n_stages: int) -> None:
    graph = every_node()
    core = Core(graph, schedule_in_stages(graph, TIMING, n_stages), TARGETS["ice40"])
    check_stream(core, pack(LEVELS, WIDTH), expected_words())


def test_stages_behind_the_last_node_hold_the_answers() -> None:
    graph = every_node()
    schedule = replace(schedule_in_stages(graph, TIMING, 2), n_stages=4)
    core = Core(graph, schedule, TARGETS["xilinx"])
    check_stream(core, pack(LEVELS, WIDTH), expected_words())
