"""What stands between a sensor and an engine: numbers become levels, and signals windows.

A picture needs no window: an engine takes its positions line by line, as a camera sends them.
"""

from __future__ import annotations

import math

import numpy as np
from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from numpy.typing import ArrayLike

from nomul.network import UserError

__all__ = ["Quantizer", "Window"]


class Quantizer(wiring.Component):
    """The levels of a sensor's integers: how many thresholds each of them reaches.

    It halves: one comparison for each bit of a level.

    Latency: ``level_bits + 1`` cycles. Initiation interval: ``level_bits + 2`` cycles.

    Parameters
    ----------
    thresholds
        Non-decreasing, shape (levels - 1,): those of a network's input, shared by all features.
        They need not be integers: x reaches 2.5 if it reaches 3.
    n_bits
        Of a number, in two's complement.

    Attributes
    ----------
    level_bits
        Of a level.

    Members
    -------
    i : In(stream of signed(n_bits))
        The sensor's numbers.
    o : Out(stream of unsigned(level_bits))
        Their levels.

    Raises
    ------
    UserError
        If the thresholds are not one row.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, thresholds: ArrayLike, n_bits: int) -> None:
        values = np.asarray(thresholds, np.float64)
        if values.ndim != 1 or not len(values):
            raise UserError(
                f"The thresholds have shape {values.shape}: a quantizer takes those that all "
                'features share, so train with input.sharing = "shared".'
            )
        self.n_bits = n_bits
        self.level_bits = len(values).bit_length()
        # A threshold beyond the greatest number is never reached: it has a bit more than numbers.
        limit = 1 << n_bits - 1
        self.thresholds = [min(max(math.ceil(value), -limit), limit) for value in values]
        self.thresholds += [limit] * ((1 << self.level_bits) - 1 - len(values))
        super().__init__(
            {
                "i": In(stream.Signature(signed(n_bits))),
                "o": Out(stream.Signature(unsigned(self.level_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number = Signal(signed(self.n_bits))
        # The bits found so far, behind a 1: it is the number of a node of the search tree, in the
        # order of its rows, and has all bits once it has one more than a level.
        node = Signal(self.level_bits + 1)
        tree = [0, *self._rows()]
        threshold = Signal(signed(self.n_bits + 1))
        with m.Switch(node):
            for row, value in enumerate(tree):
                with m.Case(row):
                    m.d.comb += threshold.eq(value)
        found = node[-1]
        m.d.comb += [
            self.o.payload.eq(node[:-1]),
            self.o.valid.eq(found),
            self.i.ready.eq(node == 0),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [number.eq(self.i.payload), node.eq(1)]
        with m.Elif(~found & ~self.i.ready):
            m.d.sync += node.eq(Cat(number >= threshold, node))
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += node.eq(0)
        return m

    def _rows(self) -> list[int]:
        """Return the thresholds of the search tree, row by row."""
        size = 1 << self.level_bits
        return [
            self.thresholds[place - 1]
            for row in range(self.level_bits)
            for place in range(size >> row + 1, size, size >> row)
        ]


class Window(wiring.Component):
    """The last levels of a signal, again and again: a window every ``hop`` levels.

    Levels that arrive while a window leaves are kept, as long as there is room for them.

    Latency: a window's first level leaves two cycles after its last one came. Initiation interval:
    1 cycle for arriving levels, 2 for leaving ones.

    Parameters
    ----------
    length
        Levels of a window; none leaves before so many came.
    hop
        New levels from one window to the next, 1 to ``length``.
    level_bits
        Of a level.

    Members
    -------
    i : In(stream of unsigned(level_bits))
        The signal, level by level.
    o : Out(stream of unsigned(level_bits))
        Windows, one behind the other, the oldest level first.

    Raises
    ------
    UserError
        If the hop is not from 1 to the length.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, length: int, hop: int, level_bits: int) -> None:
        if not 1 <= hop <= length:
            raise UserError(
                f"The hop is {hop}: a window of {length} levels moves by 1 to {length} of them."
            )
        self.length = length
        self.hop = hop
        self.level_bits = level_bits
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(level_bits))),
                "o": Out(stream.Signature(unsigned(level_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = 1 << (2 * self.length - 1).bit_length()
        m.submodules.ring = ring = Memory(shape=self.level_bits, depth=depth, init=[])
        write, read = ring.write_port(), ring.read_port()
        # Positions in the signal, modulo the ring; what is before `start` is not needed any more.
        end, start = Signal(range(depth)), Signal(range(depth))
        leaving = Signal(range(self.length + 1))
        there = Signal()
        n_held = Signal(range(depth))
        m.d.comb += [
            n_held.eq(end - start),
            self.i.ready.eq(n_held != depth - 1),
            write.addr.eq(end),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & self.i.ready),
            read.addr.eq(start + leaving),
            self.o.payload.eq(read.data),
            self.o.valid.eq(there),
        ]
        with m.If(write.en):
            m.d.sync += end.eq(end + 1)
        m.d.sync += there.eq((n_held >= self.length) & ~(self.o.valid & self.o.ready))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += leaving.eq(leaving + 1)
            with m.If(leaving == self.length - 1):
                m.d.sync += [leaving.eq(0), start.eq(start + self.hop)]
        return m
