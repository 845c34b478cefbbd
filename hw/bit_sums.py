"""Sums of many single bits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

from nomul.hw.graph import Builder

__all__ = ["Bit", "add_bits"]

COUNTER_BITS = 6
"""Bits that three LUTs of as many inputs count."""


class Bit(NamedTuple):
    """Bit ``bit`` of a node, or its complement, with the weight ``2 ** shift``."""

    node: int
    bit: int
    inverted: bool
    shift: int


def add_bits(
    builder: Builder, bits: Iterable[Bit], table_bits: int, next_name: Callable[[], str]
) -> list[int]:
    """Return a few nodes whose sum is that of ``bits``.

    With LUTs of six inputs: counters, column by column, of six bits into three, for three LUTs; up
    to five bits of equal weight are left to be added. With fewer inputs: for each weight a number,
    counted by :func:`_counted`.
    """
    columns: defaultdict[int, list[Bit]] = defaultdict(list)
    for bit in bits:
        columns[bit.shift].append(bit)
    if table_bits < COUNTER_BITS:
        zero = builder.constant(0)
        return [
            builder.sum(zero, _counted(builder, column, next_name), shift, next_name())
            for shift, column in sorted(columns.items())
        ]
    shift = min(columns, default=0)
    while shift <= max(columns, default=-1):
        column = columns[shift]
        while len(column) >= COUNTER_BITS:
            counted = column[:COUNTER_BITS]
            del column[:COUNTER_BITS]
            for place, bit in enumerate(_count(builder, counted, next_name)):
                columns[shift + place].append(bit)
        shift += 1
    rows = [
        [column[place] for _, column in sorted(columns.items()) if len(column) > place]
        for place in range(COUNTER_BITS - 1)
    ]
    return [_number(builder, row, next_name) for row in rows if row]


def _counted(builder: Builder, bits: list[Bit], next_name: Callable[[], str]) -> int:
    """Return the node of the number of ones among at least one bit.

    Up to three bits are two tables; more are halved, and the halves' numbers and, as the carry,
    one bit more added, so that an adder of w bits takes in 2 w + 1.
    """
    if len(bits) == 1:
        return _number(builder, [bits[0]._replace(shift=0)], next_name)
    if len(bits) <= 3:
        address = tuple((bit.node, bit.bit) for bit in bits)
        inverted = sum(bit.inverted << place for place, bit in enumerate(bits))
        entries = [(row ^ inverted).bit_count() for row in range(1 << len(bits))]
        return builder.table(address, entries, next_name())
    n_left, has_carry = _split(len(bits))
    left = _counted(builder, bits[:n_left], next_name)
    right = _counted(builder, bits[n_left : len(bits) - has_carry], next_name)
    if not has_carry:
        return builder.sum(left, right, 0, next_name())
    carry = _counted(builder, bits[-1:], next_name)
    return builder.sum(left, right, 0, next_name(), carry=carry)


@cache
def _split(n_bits: int) -> tuple[int, bool]:
    """Return how many of more than three bits are counted first, and whether one is the carry."""
    return min(_splits(n_bits), key=lambda split: _split_area(n_bits, *split))


def _splits(n_bits: int) -> list[tuple[int, bool]]:
    full = [(1 << width) - 1 for width in range(1, n_bits.bit_length())]
    return [
        (n_left, has_carry)
        for has_carry in (False, True)
        for n_left in {(n_bits - has_carry) // 2, *full}
        if 0 < n_left < n_bits - has_carry
    ]


def _split_area(n_bits: int, n_left: int, has_carry: bool) -> int:
    n_right = n_bits - has_carry - n_left
    narrow, n_out = min(n_left, n_right).bit_length(), n_bits.bit_length()
    if narrow <= 2:
        own = (2 * narrow if has_carry else narrow + 1) + max(0, n_out - narrow - 1)
    else:
        own = n_out + has_carry
    return _count_area(n_left) + _count_area(n_right) + own


@cache
def _count_area(n_bits: int) -> int:
    """LUT4s that count so many bits."""
    if n_bits <= 3:
        return 0 if n_bits == 1 else 2
    return _split_area(n_bits, *_split(n_bits))


def _count(builder: Builder, bits: list[Bit], next_name: Callable[[], str]) -> list[Bit]:
    """Return the bits of the number of ones among ``bits``."""
    inverted = sum(bit.inverted << place for place, bit in enumerate(bits))
    entries = [(address ^ inverted).bit_count() for address in range(1 << len(bits))]
    address = tuple((bit.node, bit.bit) for bit in bits)
    shift = bits[0].shift
    return [
        Bit(
            builder.table(address, [entry >> place & 1 for entry in entries], next_name()),
            0,
            False,
            shift + place,
        )
        for place in range(len(bits).bit_length())
    ]


def _number(builder: Builder, row: list[Bit], next_name: Callable[[], str]) -> int:
    """Return the node of a number, of which ``row`` has at most one bit of each weight."""
    number = builder.constant(0)
    for bit in row:
        entries = [1, 0] if bit.inverted else [0, 1]
        one = builder.table(((bit.node, bit.bit),), entries, next_name())
        number = builder.sum(number, one, bit.shift, next_name())
    return number
