"""What a graph will cost, node by node, in a target's units of area."""

from __future__ import annotations

import numpy as np

from nomul.hw.graph import Choice, Complement, Constant, Count, Graph, Greater, Offset, Sum, Table
from nomul.hw.targets import Target

__all__ = ["graph_area", "is_chain", "node_area", "overlap"]

SINGLE_BIT_AREA = 1.5
"""Of an adder with a number of one bit, where chains cost what meets: it is seldom left a chain."""


def graph_area(graph: Graph, target: Target) -> float:
    """Return the area of all nodes of ``graph``."""
    return sum(node_area(graph, number, target) for number in range(len(graph.nodes)))


def node_area(graph: Graph, number: int, target: Target) -> float:
    """Return the area of one node of ``graph``."""
    match graph.nodes[number]:
        case Table(bits=bits, entries=entries):
            return _table_area(len(bits), entries, target)
        case Complement():
            return target.area_of_one * graph.width(number)
        case Sum() as node:
            return _sum_area(graph, number, node, target)
        case Count(number=counted, bounds=bounds):
            return _count_area(graph.width(counted), bounds, target)
        case Greater(left=left, right=right):
            width = max(graph.width(left), graph.width(right))
            return target.area_of_one * (width + min(1, 2 * target.chain_start))
        case Choice(if_true=if_true, if_false=if_false):
            return target.area_of_one * _choice_bits(graph, number, if_true, if_false)
        case Offset(number=shifted):
            return target.area_of_one * graph.width(shifted)
        case _:
            return 0.0


def _table_area(n_bits: int, entries: tuple[int, ...], target: Target) -> float:
    """Each bit of the entries depends on some of the address bits, and equal bits are one."""
    values = np.array(entries, np.int64)
    columns = {tuple(values >> bit & 1) for bit in range(int(values.max()).bit_length())}
    return sum(target.table_area(_n_used(np.array(column), n_bits)) for column in columns)


def _n_used(column: np.ndarray, n_bits: int) -> int:
    cube = column.reshape((2,) * n_bits)
    return sum(
        bool((np.take(cube, 0, axis) != np.take(cube, 1, axis)).any()) for axis in range(n_bits)
    )


def is_chain(graph: Graph, node: Sum, target: Target) -> bool:
    """Tell whether an adder is a carry chain on ``target``; else it is gates, or wires alone."""
    # What brings a carry into a chain costs as much as a chain of two bits saves.
    return overlap(graph, node) > target.gate_bits + (node.carry is not None)


def overlap(graph: Graph, node: Sum) -> int:
    """Bits of the shorter of the two numbers that meet; not above 0 if none do."""
    return min(graph.width(node.low) - node.shift, graph.width(node.high))


def _sum_area(graph: Graph, number: int, node: Sum, target: Target) -> float:
    n_meeting, n_bits = overlap(graph, node), graph.width(number) - node.shift
    if n_meeting <= 0:
        return 0.0
    if node.carry is not None and not is_chain(graph, node, target):
        return target.area_of_one * (2 * n_meeting + n_bits - n_meeting - 1)
    if is_chain(graph, node, target):
        chain_bits = n_bits if target.full_chains else max(n_meeting, SINGLE_BIT_AREA)
        return target.area_of_one * (chain_bits + (node.carry is not None)) + target.chain_start
    # Up to two bits, each bit of the sum depends on at most four bits; then on a carry too.
    own = {1: 2, 2: 3}.get(n_meeting, 2 * n_meeting - 1)
    return target.area_of_one * (own + max(0, n_bits - n_meeting - 1))


def _count_area(width: int, bounds: tuple[int, ...], target: Target) -> float:
    """Comparisons with constants as gates; then a thermometer is counted."""
    inner = {bound for bound in bounds if bound > 0}
    per_lut = target.table_bits - 1
    comparisons = sum(
        max(1, -(-(width - _trailing_zeros(bound) - 1) // per_lut)) for bound in inner
    )
    return target.area_of_one * (comparisons + (len(inner) - 1) / 2)


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


def _choice_bits(graph: Graph, number: int, if_true: int, if_false: int) -> int:
    """Bits that a multiplexer has: none where both values are constants."""
    true, false = graph.nodes[if_true], graph.nodes[if_false]
    if isinstance(true, Constant) and isinstance(false, Constant):
        return 0
    return graph.width(number)
