from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.hw.graph import Builder, Complement, Constant, Count, Greater, Input, Sum, Table
from tests.hw.nodes import LEVELS, MAKERS, N_LEVELS, A, B, C, Maker, bits, three_inputs


def build(make: Maker) -> NDArray[np.int64]:
    """Return what the node that ``make`` makes of three inputs gives for all levels."""
    builder = Builder()
    inputs = three_inputs(builder)
    number = make(builder, inputs)
    found = builder.graph([number]).evaluate(LEVELS)[:, 0]
    assert found.max() <= builder.maximum(number)
    assert builder.maximum(number) < 1 << builder.width(number)
    return found


@pytest.mark.parametrize("case", [case for case in MAKERS if case != "offset"])
def test_a_node_is_what_it_says(case: str) -> None:
    make, expected = MAKERS[case]
    assert np.array_equal(build(make), expected)


def test_an_offset_may_be_negative() -> None:
    builder = Builder()
    number = builder.offset(builder.input(0, N_LEVELS), -3, 4, "o")
    graph = builder.graph([number])
    assert np.array_equal(graph.evaluate(LEVELS)[:, 0], A - 3)
    assert graph.width(graph.outputs[0]) == 4


@pytest.mark.parametrize("case", MAKERS)
def test_equal_nodes_are_one(case: str) -> None:
    make, _ = MAKERS[case]
    builder = Builder()
    inputs = three_inputs(builder)
    assert make(builder, inputs) == make(builder, inputs)
    assert three_inputs(builder) == inputs


def test_what_is_constant_is_folded() -> None:
    builder = Builder()
    a = builder.input(0, N_LEVELS)
    two, five = builder.constant(2), builder.constant(5)
    folded = {
        builder.sum(two, five, 3, "n"): 2 + 5 * 8,
        builder.sum(two, five, 0, "n", complemented=True): 0,
        builder.complement(five, "n"): 2,
        builder.table(bits(five), [7, 6, 5, 4, 3, 9, 1, 0], "n"): 9,
        builder.table(bits(a), [4] * 8, "n"): 4,
        builder.count(a, [-3, 0, 8], "n"): 2,
        builder.count(five, [1, 5, 6], "n"): 2,
        builder.greater(five, two, "n"): 1,
        builder.greater(two, five, "n"): 0,
        builder.greater(builder.constant(0), a, "n"): 0,
        builder.choice(builder.constant(1), five, a, "n"): 5,
        builder.choice(builder.constant(0), a, two, "n"): 2,
        builder.choice(builder.greater(a, two, "n"), five, five, "n"): 5,
    }
    assert {number: builder.value(number) for number in folded} == folded


def test_what_changes_nothing_is_no_node() -> None:
    builder = Builder()
    a, zero = builder.input(0, N_LEVELS), builder.constant(0)
    assert builder.sum(a, zero, 4, "n") == a
    assert builder.sum(zero, a, 0, "n") == a
    assert builder.count(a, [1, 2, 3, 4], "n") == a
    assert builder.table(bits(a), list(range(8)), "n") == a
    assert builder.complement(builder.complement(a, "n"), "n") == a


def test_address_bits_that_do_not_matter_are_dropped() -> None:
    builder = Builder()
    a, b = builder.input(0, N_LEVELS), builder.input(1, N_LEVELS)
    entries = [(x >> 1 & 1) * 3 + (y >> 2) for y in range(8) for x in range(8)]
    number = builder.table(bits(a, b), entries, "t")
    assert builder.node(number) == Table(((a, 1), (b, 2)), (0, 3, 1, 4))


def test_bits_that_a_number_has_not_are_0() -> None:
    builder = Builder()
    a = builder.input(0, 2)
    number = builder.table(((a, 0), (a, 1)), [5, 6, 7, 8], "t")
    assert builder.node(number) == Table(((a, 0),), (5, 6))


def test_a_count_of_large_numbers_takes_no_time() -> None:
    builder = Builder()
    a = builder.input(0, N_LEVELS)
    number = builder.count(builder.sum(a, a, 40, "s"), [1 << 40, 3 << 40], "c")
    expected = (A >= 1).astype(int) + (A >= 3)
    assert np.array_equal(builder.graph([number]).evaluate(LEVELS)[:, 0], expected)


def test_a_graph_has_what_its_outputs_need_in_order() -> None:
    builder = Builder()
    a, b, c = (builder.input(source, N_LEVELS) for source in range(3))
    unused = builder.sum(a, b, 0, "unused")
    used = builder.sum(b, c, 0, "used")
    flag = builder.greater(used, b, "flag")
    assert unused < used
    graph = builder.graph([flag, builder.constant(7), used, flag])
    assert set(graph.nodes) == {
        Input(1, N_LEVELS),
        Input(2, N_LEVELS),
        Sum(0, 1, 0),
        Greater(2, 0),
        Constant(7),
    }
    assert graph.names[2] == "used"
    expected = np.stack([B + C > B, 0 * A + 7, B + C, B + C > B], axis=1)
    assert np.array_equal(graph.evaluate(LEVELS), expected)


def test_each_node_is_moved_with_its_operands() -> None:
    """Behind an unused node, every kind of node keeps its value."""
    for make, expected in MAKERS.values():
        builder = Builder()
        inputs = three_inputs(builder)
        builder.sum(inputs[0], inputs[2], 7, "unused")
        builder.complement(inputs[2], "unused")
        graph = builder.graph([make(builder, inputs)])
        assert np.array_equal(graph.evaluate(LEVELS)[:, 0], expected)
        assert not {Sum(0, 2, 7)} & set(graph.nodes)


def test_kinds_are_as_named() -> None:
    builder = Builder()
    a, b = builder.input(0, N_LEVELS), builder.input(1, N_LEVELS)
    assert builder.node(builder.complement(a, "n")) == Complement(a)
    assert builder.node(builder.count(a, [2, -1], "n")) == Count(a, (0, 2))
    assert builder.node(builder.inverted(builder.sum(a, b, 1, "n"), "n")) == Sum(a, b, 1, True)
