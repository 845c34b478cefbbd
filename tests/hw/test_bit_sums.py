from __future__ import annotations

import itertools

import numpy as np
import pytest

from nomul.hw.bit_sums import Bit, add_bits
from nomul.hw.graph import Builder, Table

# Shifts, and which are complemented.
ROWS = {
    "one": ([0], [False]),
    "one complemented": ([3], [True]),
    "two of equal weight": ([0, 0], [False, True]),
    "three": ([0, 0, 0], [False, False, False]),
    "six": ([0] * 6, [True, False] * 3),
    "ten": ([0] * 10, [False] * 10),
    "different weights": ([0, 1, 2, 5, 9], [False, True, False, False, True]),
    "carries that meet more bits": ([0, 0, 0, 1, 1, 2, 2], [True] + [False] * 6),
    "a gap": ([0, 0, 0, 7, 7, 7, 7], [False] * 7),
}


@pytest.mark.parametrize("table_bits", [4, 6])
@pytest.mark.parametrize("case", ROWS)
def test_few_numbers_are_the_sum(case: str, table_bits: int) -> None:
    shifts, inverted = ROWS[case]
    builder, count = Builder(), itertools.count()
    bits = [
        Bit(builder.input(source, 2), 0, is_inverted, shift)
        for source, (shift, is_inverted) in enumerate(zip(shifts, inverted, strict=True))
    ]
    nodes = add_bits(builder, bits, table_bits, lambda: f"node_{next(count)}")
    assert len(nodes) <= (len(set(shifts)) if table_bits == 4 else 5)
    levels = np.array(list(itertools.product((0, 1), repeat=len(bits))))
    expected = ((levels ^ np.array(inverted, int)) << np.array(shifts, int)).sum(axis=1)
    graph = builder.graph([*nodes, builder.constant(0)])
    assert np.array_equal(graph.evaluate(levels).sum(axis=1), expected)
    tables = [node for node in graph.nodes if isinstance(node, Table)]
    assert all(len(table.bits) <= table_bits for table in tables)


@pytest.mark.parametrize("case", ["three", "ten", "carries that meet more bits"])
def test_constant_bits_are_folded(case: str) -> None:
    """A one in place of every second bit."""
    shifts, _ = ROWS[case]
    builder = Builder()
    one = builder.constant(1)
    bits = [
        Bit(one if source % 2 else builder.input(source, 2), 0, False, shift)
        for source, shift in enumerate(shifts)
    ]
    nodes = add_bits(builder, bits, 4, lambda: "node")
    levels = np.array(list(itertools.product((0, 1), repeat=len(bits))))
    ones = np.where(np.arange(len(bits)) % 2, 1, levels)
    found = builder.graph(nodes).evaluate(levels).sum(axis=1)
    assert np.array_equal(found, (ones << np.array(shifts)).sum(axis=1))


def test_no_bits_are_no_number() -> None:
    assert add_bits(Builder(), [], 4, str) == []


def test_a_bit_of_a_wide_number_counts_by_its_own_shift() -> None:
    builder = Builder()
    wide = builder.input(0, 8)
    bits = [Bit(wide, bit, False, 0) for bit in (0, 1, 2)]
    levels = np.arange(8)[:, None]
    found = builder.graph(add_bits(builder, bits, 4, lambda: "node")).evaluate(levels)
    assert found.sum(axis=1).tolist() == [level.bit_count() for level in range(8)]
