"""A whole network unrolled: every neuron has its own hardware."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.chain import unrolled_chain
from nomul.hw.datapath import Datapath
from nomul.hw.pipeline import Pipeline
from nomul.hw.plan import Plan
from nomul.hw.widths import accumulator_width, class_width, level_width
from nomul.network import Dense, Network

__all__ = ["Unrolled"]


class Unrolled(wiring.Component):
    """A network as one pipeline: a sample's levels in, its answer out.

    Latency: the number of pipeline stages. Initiation interval: 1 cycle.

    Parameters
    ----------
    plan
        What to build; it is also an attribute.

    Members
    -------
    i : In(stream)
        All levels of a sample, input 0 in the least significant bits, each in
        ``level_width(network.input.n_levels)`` bits. A level that does not exist gives an
        unspecified result.
    o : Out(stream)
        The class, unsigned; or all levels or accumulators of the last layer, neuron 0 in the
        least significant bits.
    """

    i: Any
    o: Any

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        network = plan.network
        width = unsigned(level_width(network.input.n_levels))
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(width, network.n_inputs))),
                "o": Out(stream.Signature(_answer(network))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a transfer at ``i`` to its result at ``o``."""
        return self.plan.latency

    @property
    def initiation_interval(self) -> int:
        """Cycles between two transfers at ``i``, without stalls."""
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        plan = self.plan
        pipeline = Pipeline(m, self.i, self.o, self.latency)
        datapath = Datapath(m, plan.graph, plan.schedule, pipeline, plan.device.target)
        levels = [self.i.payload[source] for source in range(plan.network.n_inputs)]
        answers = datapath.build([Value.cast(level) for level in levels])
        if plan.network.output.kind == "class":
            m.d.comb += self.o.payload.eq(answers[0])
        else:
            for number, answer in enumerate(answers):
                m.d.comb += self.o.payload[number].eq(answer)
        return m


def _answer(network: Network) -> Any:
    last = unrolled_chain(network)[-1]
    if network.output.kind == "class":
        return unsigned(class_width(network.n_outputs))
    if network.output.kind == "levels":
        assert last.n_levels is not None
        element = unsigned(level_width(last.n_levels))
    else:
        assert isinstance(last, Dense)
        element = signed(accumulator_width(last))
    return data.ArrayLayout(element, network.n_outputs)
