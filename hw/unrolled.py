"""A whole network unrolled: every neuron has its own hardware."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring

from nomul.hw.argmax import ArgMax
from nomul.hw.chain import dense_chain
from nomul.hw.dense import UnrolledDense
from nomul.network import Network

__all__ = ["Unrolled"]


class Unrolled(wiring.Component):
    """A network as one pipeline: a sample's levels in, its answer out.

    Latency: the sum of the layers' latencies and, for classes, of the arg-max's. Initiation
    interval: 1 cycle.

    Parameters
    ----------
    network
        What to build: a chain of dense layers.

    Members
    -------
    i : In(stream)
        All levels of a sample, input 0 in the least significant bits, each in
        ``level_width(network.input.n_levels)`` bits.
    o : Out(stream)
        The class, unsigned; or all levels or accumulators of the last layer, neuron 0 in the
        least significant bits.
    """

    i: Any
    o: Any

    def __new__(cls, network: Network) -> Unrolled:
        # Refused before there is an object: Amaranth warns of each that is made and not elaborated.
        dense_chain(network)
        unrolled: Unrolled = super().__new__(cls, src_loc_at=1)
        return unrolled

    def __init__(self, network: Network) -> None:
        layers = dense_chain(network)
        self.network = network
        self.stages: dict[str, UnrolledDense | ArgMax] = {
            f"layer_{number}": UnrolledDense(layer) for number, layer in enumerate(layers)
        }
        if network.output.kind == "class":
            values = self._last.o.payload.shape()
            self.stages["arg_max"] = ArgMax(values.elem_shape, values.length)
        first, last = next(iter(self.stages.values())), self._last
        super().__init__({"i": first.signature.members["i"], "o": last.signature.members["o"]})

    @property
    def _last(self) -> UnrolledDense | ArgMax:
        return list(self.stages.values())[-1]

    @property
    def latency(self) -> int:
        """Cycles from a transfer at ``i`` to its result at ``o``."""
        return sum(stage.latency for stage in self.stages.values())

    @property
    def initiation_interval(self) -> int:
        """Cycles between two transfers at ``i``, without stalls."""
        return max(stage.initiation_interval for stage in self.stages.values())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = wiring.flipped(self.i)
        for name, stage in self.stages.items():
            m.submodules[name] = stage
            wiring.connect(m, source, stage.i)
            source = stage.o
        wiring.connect(m, source, wiring.flipped(self.o))
        return m
