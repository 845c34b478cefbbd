"""The sum of one neuron, prepared for adders: which products, of which sign, in which order.

Pure integers: the datapath (:mod:`nomul.hw.dense`) and the cost model (:mod:`nomul.hw.cost`) read
the same sums and build the same trees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from nomul.network import Dense

__all__ = [
    "NARROW_WIDTH",
    "TREE_RADIX",
    "Constant",
    "NeuronSum",
    "Term",
    "add_tree",
    "layer_tree_stages",
    "neuron_sums",
    "tree_stages",
]

TREE_RADIX = 4
"""Operands that one pipeline stage adds to one: two levels of two-operand adders.

An adder of ten bits takes some 5 ns on the slowest target (iCE40 UltraPlus), so two levels keep
a stage well above the 12 MHz of the boards, and few registers stand alone in a logic cell.
"""


NARROW_WIDTH = 3
"""Adders with an operand of at most so many bits are gates.

They cost as many LUTs, and a carry chain claims a tile of the chip: an iCE40 UltraPlus has 660
tiles of eight logic cells, fewer than a network has adders.
"""


@dataclass(frozen=True)
class Term:
    """One input's product as it enters an adder tree: a column of the product table, from 0 up.

    Attributes
    ----------
    source
        Which input.
    column
        The term's value for each level of the input; the least is 0.
    """

    source: int
    column: tuple[int, ...]

    @property
    def maximum(self) -> int:
        return max(self.column)

    @property
    def shift(self) -> int:
        """Low bits that are zero for every level."""
        return (math.gcd(*self.column) & -math.gcd(*self.column)).bit_length() - 1

    @property
    def is_wire(self) -> bool:
        """Whether the term is the level itself, shifted: no table at all."""
        return all(value == level << self.shift for level, value in enumerate(self.column))


@dataclass(frozen=True)
class Constant:
    """A positive number that joins a tree as one more operand."""

    maximum: int


@dataclass(frozen=True)
class NeuronSum:
    """``accumulator = offset + sum of positive operands - sum of negative operands``."""

    positive: tuple[Term | Constant, ...]
    negative: tuple[Term | Constant, ...]
    offset: int

    @property
    def positive_maximum(self) -> int:
        return sum(operand.maximum for operand in self.positive)

    @property
    def negative_maximum(self) -> int:
        return sum(operand.maximum for operand in self.negative)


def neuron_sums(layer: Dense) -> tuple[NeuronSum, ...]:
    """Return the sum of every neuron of ``layer``.

    A column of the product table is moved so that its least entry is 0, and the move added to the
    neuron's constant; a falling column is subtracted instead. A column of equal entries, such as
    the products of the weight 0, leaves no term at all. Where thresholds follow, they absorb the
    constant (it stays in ``offset``); else it joins a tree.
    """
    columns = [_oriented([int(entry) for entry in column]) for column in layer.product_table.T]
    sums = []
    for bias, weight_indices in zip(layer.bias, layer.weight_index, strict=True):
        constant = int(bias)
        operands: dict[int, list[Term | Constant]] = {1: [], -1: []}
        for source, weight_index in enumerate(weight_indices):
            sign, least, column = columns[weight_index]
            constant += least
            if any(column):
                operands[sign].append(Term(source, column))
        if layer.thresholds is None and constant != 0:
            operands[1 if constant > 0 else -1].append(Constant(abs(constant)))
            constant = 0
        sums.append(NeuronSum(tuple(operands[1]), tuple(operands[-1]), constant))
    return tuple(sums)


def _oriented(column: list[int]) -> tuple[int, int, tuple[int, ...]]:
    """Return sign, offset and non-negative column with ``column = offset + sign * column``."""
    falls = column[0] > column[-1] and all(a >= b for a, b in itertools.pairwise(column))
    if falls:
        return -1, column[0], tuple(column[0] - entry for entry in column)
    least = min(column)
    return 1, least, tuple(entry - least for entry in column)


class Operand(Protocol):
    """What a tree adds: a non-negative number of which the greatest value is known."""

    @property
    def maximum(self) -> int: ...


T = TypeVar("T", bound=Operand)


def tree_stages(n_operands: int) -> int:
    """Return the pipeline stages of a tree of ``n_operands``: each adds up to TREE_RADIX to one."""
    stages = 0
    while TREE_RADIX**stages < n_operands:
        stages += 1
    return stages


def layer_tree_stages(sums: Sequence[NeuronSum]) -> int:
    """Return the pipeline stages that the largest tree among ``sums`` needs, at least 1."""
    sizes = [len(tree) for total in sums for tree in (total.positive, total.negative)]
    return max(1, *map(tree_stages, sizes))


def add_tree(
    operands: Sequence[T],
    n_stages: int,
    add: Callable[[T, T], T],
    register: Callable[[T], T],
) -> T | None:
    """Add ``operands`` in ``n_stages`` pipeline stages; small operands meet first.

    A tree that needs fewer stages than it has spreads its adders over all of them, for a register
    behind an adder is free and one that merely waits is not.

    Parameters
    ----------
    n_stages
        At least 1 and ``tree_stages(len(operands))``.
    add
        Makes the sum of two operands.
    register
        Passes an operand to the next stage.

    Returns
    -------
    T | None
        The sum as it enters the last stage's register, after ``n_stages - 1`` others; None if
        there are no operands.
    """
    if not operands:
        return None
    current = list(operands)
    for remaining in range(n_stages, 0, -1):
        n_sums = max(
            math.ceil(len(current) / TREE_RADIX),
            math.floor(len(current) ** ((remaining - 1) / remaining)),
        )
        current = _add_in_groups(current, n_sums, add)
        if remaining > 1:
            current = [register(total) for total in current]
    assert len(current) == 1, "a tree of too few stages"
    return current[0]


def _add_in_groups(operands: list[T], n_sums: int, add: Callable[[T, T], T]) -> list[T]:
    """Split ``operands`` by size into ``n_sums`` groups and add each up, pairwise."""
    ordered = sorted(operands, key=lambda operand: operand.maximum)
    bounds = [round(i * len(ordered) / n_sums) for i in range(n_sums + 1)]
    sums = []
    for start, end in itertools.pairwise(bounds):
        group = ordered[start:end]
        while len(group) > 1:
            pairs = [add(a, b) for a, b in zip(group[::2], group[1::2], strict=False)]
            group = pairs + group[len(pairs) * 2 :]
        sums.append(group[0])
    return sums
