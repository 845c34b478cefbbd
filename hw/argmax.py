"""The arg-max of a sample's accumulators."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.pipeline import Pipeline
from nomul.hw.widths import class_width

__all__ = ["ArgMax"]


class ArgMax(wiring.Component):
    """The index of the greatest of ``n_values`` numbers, ties to the lowest index.

    A knock-out with a register behind each round: neighbours meet, and the right one wins only if
    it is greater.

    Latency: ``max(1, ceil(log2(n_values)))`` cycles. Initiation interval: 1 cycle.

    Parameters
    ----------
    shape
        Shape of a value.
    n_values
        How many there are, at least 1.

    Members
    -------
    i : In(stream)
        All values.
    o : Out(stream)
        The index, unsigned, in ``class_width(n_values)`` bits.
    """

    i: Any
    o: Any

    def __init__(self, shape: Shape, n_values: int) -> None:
        self.shape = shape
        self.n_values = n_values
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(shape, n_values))),
                "o": Out(stream.Signature(class_width(n_values))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a transfer at ``i`` to its result at ``o``."""
        return max(1, (self.n_values - 1).bit_length())

    @property
    def initiation_interval(self) -> int:
        """Cycles between two transfers at ``i``, without stalls."""
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.i, self.o, self.latency)
        width = class_width(self.n_values)

        entries = [(self.i.payload[number], Value.cast(number)) for number in range(self.n_values)]
        for stage in range(1, self.latency + 1):
            winners = []
            for number, (left, right) in enumerate(zip(entries[::2], entries[1::2], strict=False)):
                right_wins = Signal(name=f"right_wins_{stage}_{number}")
                m.d.comb += right_wins.eq(right[0] > left[0])
                winners.append(
                    (Mux(right_wins, right[0], left[0]), Mux(right_wins, right[1], left[1]))
                )
            unpaired = entries[len(winners) * 2 :]
            entries = [
                (
                    pipeline.register(value, f"value_{stage}_{number}"),
                    pipeline.register(index, f"index_{stage}_{number}"),
                )
                for number, (value, index) in enumerate(winners + unpaired)
            ]
        m.d.comb += self.o.payload.eq(entries[0][1][:width])
        return m
