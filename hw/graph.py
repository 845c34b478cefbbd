"""What a network is lowered to: a graph of tables, additions and comparisons of whole numbers.

Every number is unsigned and counts from 0, and its greatest value is known. A number that is to
be subtracted enters complemented, ``2**width - 1 - number``, and the constants that this and the
biases leave behind gather where thresholds or the arg-max absorb them. So no number has a sign,
each has its exact width, and a node of the graph is a few look-up tables or one carry chain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Builder",
    "Choice",
    "Complement",
    "Constant",
    "Count",
    "Graph",
    "Greater",
    "Input",
    "Node",
    "Offset",
    "Sum",
    "Table",
    "operands",
    "width",
]


@dataclass(frozen=True)
class Constant:
    """A number."""

    value: int


@dataclass(frozen=True)
class Input:
    """The level of input ``source``."""

    source: int
    n_levels: int


@dataclass(frozen=True)
class Table:
    """An entry for each address; bit j of the address is bit ``bits[j][1]`` of node ``bits[j][0]``.

    An address that cannot occur has any entry.
    """

    bits: tuple[tuple[int, int], ...]
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Complement:
    """``2**width - 1 - number``: every bit turned over."""

    number: int


@dataclass(frozen=True)
class Sum:
    """``low + (high << shift)``, plus a single bit if there is a ``carry``; or its complement."""

    low: int
    high: int
    shift: int
    complemented: bool = False
    carry: int | None = None


@dataclass(frozen=True)
class Count:
    """How many of ``bounds``, which do not fall, ``number`` reaches."""

    number: int
    bounds: tuple[int, ...]


@dataclass(frozen=True)
class Greater:
    """1 if ``left > right``."""

    left: int
    right: int


@dataclass(frozen=True)
class Choice:
    """``if_true`` where ``condition`` is 1, else ``if_false``."""

    condition: int
    if_true: int
    if_false: int


@dataclass(frozen=True)
class Offset:
    """``number + offset``, which may be negative, in two's complement of ``n_bits``."""

    number: int
    offset: int
    n_bits: int


Node = Constant | Input | Table | Complement | Sum | Count | Greater | Choice | Offset


def operands(node: Node) -> tuple[int, ...]:
    """Return the numbers of the nodes that ``node`` reads."""
    match node:
        case Table(bits=bits):
            return tuple(dict.fromkeys(number for number, _ in bits))
        case Complement(number=number) | Count(number=number) | Offset(number=number):
            return (number,)
        case Sum(low=low, high=high, carry=carry):
            return (low, high) if carry is None else (low, high, carry)
        case Greater(left=left, right=right):
            return (left, right)
        case Choice(condition=condition, if_true=if_true, if_false=if_false):
            return (condition, if_true, if_false)
        case _:
            return ()


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each reads earlier ones alone.

    Attributes
    ----------
    nodes
        The nodes; they refer to each other by their place here.
    maxima
        The greatest value of each.
    names
        What each is called in the hardware.
    outputs
        The nodes whose numbers leave, in order.
    """

    nodes: tuple[Node, ...]
    maxima: tuple[int, ...]
    names: tuple[str, ...]
    outputs: tuple[int, ...]

    def width(self, number: int) -> int:
        """Bits of a node's number."""
        return width(self.nodes[number], self.maxima[number])

    def evaluate(self, levels: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the outputs for samples of levels, shape (samples, outputs).

        Parameters
        ----------
        levels
            Shape (samples, inputs).
        """
        values: list[NDArray[np.int64]] = []
        wide = levels.astype(np.int64)
        for node, maximum in zip(self.nodes, self.maxima, strict=True):
            values.append(_value(node, maximum, values, wide))
        return np.stack([values[number] for number in self.outputs], axis=1)


def width(node: Node, maximum: int) -> int:
    """Bits of the number of ``node``, whose greatest value is ``maximum``."""
    return node.n_bits if isinstance(node, Offset) else maximum.bit_length()


def _value(
    node: Node, maximum: int, values: list[NDArray[np.int64]], levels: NDArray[np.int64]
) -> NDArray[np.int64]:
    match node:
        case Constant(value=value):
            return np.full(len(levels), value)
        case Input(source=source):
            return levels[:, source]
        case Table(bits=bits, entries=entries):
            address = np.zeros(len(levels), np.int64)
            for place, (number, bit) in enumerate(bits):
                address |= (values[number] >> bit & 1) << place
            return np.array(entries)[address]
        case Complement(number=number):
            return (1 << maximum.bit_length()) - 1 - values[number]
        case Sum(low=low, high=high, shift=shift, complemented=complemented, carry=carry):
            total = values[low] + (values[high] << shift)
            if carry is not None:
                total = total + values[carry]
            return (1 << maximum.bit_length()) - 1 - total if complemented else total
        case Count(number=number, bounds=bounds):
            return np.searchsorted(np.array(bounds), values[number], side="right")
        case Greater(left=left, right=right):
            return (values[left] > values[right]).astype(np.int64)
        case Choice(condition=condition, if_true=if_true, if_false=if_false):
            return np.where(values[condition], values[if_true], values[if_false])
        case Offset(number=number, offset=offset):
            return values[number] + offset


class Builder:
    """Makes a graph node by node. Equal nodes are one node, and what is constant is folded."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._maxima: list[int] = []
        self._names: list[str] = []
        self._known: dict[Node, int] = {}

    def node(self, number: int) -> Node:
        return self._nodes[number]

    def maximum(self, number: int) -> int:
        """Return the greatest value of a node."""
        return self._maxima[number]

    def width(self, number: int) -> int:
        """Bits of a node's number."""
        return width(self._nodes[number], self._maxima[number])

    def value(self, number: int) -> int | None:
        """Return the value of a constant node; None for another."""
        node = self._nodes[number]
        return node.value if isinstance(node, Constant) else None

    def constant(self, value: int) -> int:
        return self._add(Constant(value), value, f"constant_{value}")

    def input(self, source: int, n_levels: int) -> int:
        return self._add(Input(source, n_levels), n_levels - 1, f"input_{source}")

    def complement(self, number: int, name: str) -> int:
        node = self._nodes[number]
        mask = (1 << self.width(number)) - 1
        match node:
            case Constant(value=value):
                return self.constant(mask - value)
            case Table(bits=bits, entries=entries):
                return self.table(bits, [mask - entry for entry in entries], name)
            case Complement(number=inner) if self.width(inner) == self.width(number):
                return inner
        return self._add(Complement(number), mask, name)

    def table(
        self, bits: tuple[tuple[int, int], ...], entries: tuple[int, ...] | list[int], name: str
    ) -> int:
        """Return a table's node; address bits that do not matter are dropped."""
        known = {place: self._bit_value(*bit) for place, bit in enumerate(bits)}
        address = np.arange(len(entries))
        held = np.array(entries, dtype=object)
        kept: list[tuple[int, int]] = []
        selected = np.ones(len(entries), bool)
        for place, bit in enumerate(bits):
            is_one = (address >> place & 1).astype(bool)
            if known[place] is not None:
                selected &= is_one if known[place] else ~is_one
            elif (held[selected & is_one] == held[selected & ~is_one]).all():
                selected &= ~is_one
            else:
                kept.append(bit)
        rest = tuple(int(entry) for entry in held[selected])
        if len(rest) == 1:
            return self.constant(rest[0])
        if rest == tuple(range(len(rest))) and self._is_whole(kept):
            return kept[0][0]
        return self._add(Table(tuple(kept), rest), max(rest), name)

    def sum(
        self,
        low: int,
        high: int,
        shift: int,
        name: str,
        *,
        complemented: bool = False,
        carry: int | None = None,
    ) -> int:
        """Return the node of ``low + (high << shift) + carry``, or of its complement.

        A carry is a single bit, and comes with a shift of 0.
        """
        total = self._maxima[low] + (self._maxima[high] << shift)
        if carry is not None:
            assert shift == 0, "a carry has the weight 1"
            assert self._maxima[carry] <= 1, "a carry is a single bit"
            if self.value(carry) is None:
                total += 1
                maximum = (1 << total.bit_length()) - 1 if complemented else total
                return self._add(Sum(low, high, 0, complemented, carry), maximum, name)
            number = self.sum(low, high, 0, f"{name}_even")
            return self.sum(number, carry, 0, name, complemented=complemented)
        a, b = self.value(low), self.value(high)
        if a is not None and b is not None:
            value = a + (b << shift)
            return self.constant(value ^ ((1 << total.bit_length()) - 1) if complemented else value)
        if (a == 0 and shift == 0) or b == 0:
            number = high if a == 0 else low
            return self.complement(number, name) if complemented else number
        maximum = (1 << total.bit_length()) - 1 if complemented else total
        return self._add(Sum(low, high, shift, complemented), maximum, name)

    def inverted(self, number: int, name: str) -> int:
        """Return the complement of a number that nothing else needs: an adder makes it itself."""
        node = self._nodes[number]
        if isinstance(node, Sum):
            return self.sum(
                node.low,
                node.high,
                node.shift,
                name,
                complemented=not node.complemented,
                carry=node.carry,
            )
        return self.complement(number, name)

    def raised(self, number: int, constant: int, name: str) -> int:
        """Return the node of ``number + constant`` as a table."""
        node = self._nodes[number]
        if isinstance(node, Table):
            return self.table(node.bits, [entry + constant for entry in node.entries], name)
        bits = tuple((number, bit) for bit in range(self.width(number)))
        return self.table(bits, [value + constant for value in range(1 << len(bits))], name)

    def count(self, number: int, bounds: list[int], name: str) -> int:
        """Return the node that counts which of ``bounds`` are reached."""
        value = self.value(number)
        if value is not None:
            return self.constant(sum(bound <= value for bound in bounds))
        inner = tuple(b for b in bounds if 0 < b <= self._maxima[number])
        always = sum(bound <= 0 for bound in bounds)
        if not inner:
            return self.constant(always)
        n_bounds = len(inner)
        if always == 0 and n_bounds == self._maxima[number] and len(set(inner)) == n_bounds:
            return number
        return self._add(Count(number, (0,) * always + inner), always + len(inner), name)

    def greater(self, left: int, right: int, name: str) -> int:
        if self._maxima[left] == 0 or left == right:
            return self.constant(0)
        a, b = self.value(left), self.value(right)
        if a is not None and b is not None:
            return self.constant(int(a > b))
        if b is not None:
            return self.count(left, [b + 1], name)
        return self._add(Greater(left, right), 1, name)

    def choice(self, condition: int, if_true: int, if_false: int, name: str) -> int:
        chosen = self.value(condition)
        if chosen is not None:
            return if_true if chosen else if_false
        if if_true == if_false:
            return if_true
        if (self.value(if_true), self.value(if_false)) == (1, 0):
            return condition
        maximum = max(self._maxima[if_true], self._maxima[if_false])
        return self._add(Choice(condition, if_true, if_false), maximum, name)

    def offset(self, number: int, offset: int, n_bits: int, name: str) -> int:
        return self._add(Offset(number, offset, n_bits), self._maxima[number] + offset, name)

    def graph(self, outputs: list[int]) -> Graph:
        """Return the nodes that ``outputs`` need, in the order in which they were made."""
        needed = set(outputs)
        for number in range(len(self._nodes) - 1, -1, -1):
            if number in needed:
                needed.update(operands(self._nodes[number]))
        place = {number: index for index, number in enumerate(sorted(needed))}
        return Graph(
            tuple(_moved(self._nodes[number], place) for number in place),
            tuple(self._maxima[number] for number in place),
            tuple(self._names[number] for number in place),
            tuple(place[number] for number in outputs),
        )

    def _add(self, node: Node, maximum: int, name: str) -> int:
        if node not in self._known:
            self._known[node] = len(self._nodes)
            self._nodes.append(node)
            self._maxima.append(maximum)
            self._names.append(name)
        return self._known[node]

    def _bit_value(self, number: int, bit: int) -> int | None:
        value = self.value(number)
        if value is not None:
            return value >> bit & 1
        return 0 if bit >= self.width(number) else None

    def _is_whole(self, bits: list[tuple[int, int]]) -> bool:
        number = bits[0][0]
        return bits == [(number, bit) for bit in range(self.width(number))]


def _moved(node: Node, place: dict[int, int]) -> Node:
    match node:
        case Table(bits=bits, entries=entries):
            return Table(tuple((place[number], bit) for number, bit in bits), entries)
        case Complement(number=number):
            return Complement(place[number])
        case Sum(low=low, high=high, shift=shift, complemented=complemented, carry=carry):
            moved = None if carry is None else place[carry]
            return Sum(place[low], place[high], shift, complemented, moved)
        case Count(number=number, bounds=bounds):
            return Count(place[number], bounds)
        case Greater(left=left, right=right):
            return Greater(place[left], place[right])
        case Choice(condition=condition, if_true=if_true, if_false=if_false):
            return Choice(place[condition], place[if_true], place[if_false])
        case Offset(number=number, offset=offset, n_bits=n_bits):
            return Offset(place[number], offset, n_bits)
        case _:
            return node
