"""Register stages between two streams that move together."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value

__all__ = ["Pipeline"]


class Pipeline:
    """The control of a pipeline: which stages hold a sample, and when all of them move.

    All stages move in the cycles in which the last one is empty or its sample is taken, so a
    sample that is not taken stalls the pipeline and none is lost. Without stalls the initiation
    interval is 1 cycle and the latency ``n_stages`` cycles.

    Parameters
    ----------
    m
        The module that the pipeline becomes part of.
    i, o
        Its input and output stream; ``i.ready`` and ``o.valid`` are driven here.
    n_stages
        Registers on every path from ``i`` to ``o``; with 0, ``o`` follows ``i`` at once.
    """

    def __init__(self, m: Module, i: Any, o: Any, n_stages: int) -> None:
        self._m = m
        self._advance = i.ready
        m.d.comb += i.ready.eq(~o.valid | o.ready)
        valid = i.valid
        for stage in range(n_stages):
            held = Signal(name=f"valid_{stage + 1}")
            with m.If(self._advance):
                m.d.sync += held.eq(valid)
            valid = held
        m.d.comb += o.valid.eq(valid)

    def register(self, value: Value, name: str) -> Signal:
        """Return ``value`` one stage later; ``name`` is the register's.

        The register has no reset: the valid bits alone say which samples count.
        """
        held = Signal(value.shape(), name=name, reset_less=True)
        with self._m.If(self._advance):
            self._m.d.sync += held.eq(value)
        return held
