"""How long a graph's nodes take, roughly: enough to cut a pipeline into even stages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nomul.hw.graph import (
    Choice,
    Complement,
    Count,
    Graph,
    Greater,
    Offset,
    Sum,
    Table,
)

__all__ = ["Timing", "node_delay"]


@dataclass(frozen=True)
class Timing:
    """Delays of a device, in nanoseconds, routing included.

    Attributes
    ----------
    lut_ns
        A LUT and the way to it.
    carry_ns
        A bit of a carry chain.
    register_ns
        Out of a register and into the next, beside the logic between.
    """

    lut_ns: float
    carry_ns: float
    register_ns: float


def node_delay(graph: Graph, number: int, timing: Timing) -> float:
    """Return the nanoseconds from a node's operands to its number."""
    lut, carry = timing.lut_ns, timing.carry_ns
    match graph.nodes[number]:
        case Table(bits=bits):
            return lut * max(1, math.ceil((len(bits) - 2) / 2))
        case Complement():
            return lut
        case Sum(low=low, high=high, shift=shift):
            overlap = min(graph.width(low) - shift, graph.width(high))
            return lut + carry * (graph.width(number) - shift) if overlap > 0 else 0.0
        case Count(number=counted, bounds=bounds):
            return lut * (max(1, math.ceil(math.log(graph.width(counted), 3))) + (len(bounds) > 1))
        case Greater(left=left, right=right):
            return 2 * lut + carry * max(graph.width(left), graph.width(right))
        case Choice():
            return lut
        case Offset(number=shifted):
            return lut + carry * graph.width(shifted)
        case _:
            return 0.0
