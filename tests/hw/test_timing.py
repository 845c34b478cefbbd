from __future__ import annotations

import pytest

from nomul.hw.graph import Builder
from nomul.hw.timing import Timing, node_delay

TIMING = Timing(lut_ns=10, carry_ns=1, register_ns=100)


def delay(builder: Builder, number: int) -> float:
    graph = builder.graph([number])
    return node_delay(graph, graph.outputs[0], TIMING)


def inputs(width: int) -> tuple[Builder, int, int]:
    builder = Builder()
    return builder, builder.input(0, 1 << width), builder.input(1, 1 << width)


def test_a_sum_takes_a_lut_and_its_chain() -> None:
    builder, a, b = inputs(8)
    assert delay(builder, builder.sum(a, b, 0, "s")) == 10 + 9
    assert delay(builder, builder.sum(a, b, 5, "s")) == 10 + 9, "five bits pass by"
    assert delay(builder, builder.sum(a, b, 8, "s")) == 0, "wires"


@pytest.mark.parametrize(
    ("n_bits", "n_luts"), [(1, 1), (2, 1), (4, 1), (5, 2), (6, 2), (8, 3), (12, 5)]
)
def test_a_table_takes_a_lut_for_two_bits_more(n_bits: int, n_luts: int) -> None:
    builder = Builder()
    address = tuple((builder.input(source, 2), 0) for source in range(n_bits))
    entries = [place.bit_count() % 2 * 2 + 1 for place in range(1 << n_bits)]
    assert delay(builder, builder.table(address, entries, "parity")) == 10 * n_luts


def test_other_nodes_take_luts_and_chains() -> None:
    builder, a, b = inputs(8)
    greater = builder.greater(a, b, "g")
    assert delay(builder, greater) == 20 + 8
    assert delay(builder, builder.complement(a, "n")) == 10
    assert delay(builder, builder.choice(greater, a, b, "c")) == 10
    assert delay(builder, builder.offset(a, -3, 9, "o")) == 10 + 8
    assert delay(builder, a) == delay(builder, builder.constant(7)) == 0


def test_a_comparison_is_deeper_for_wider_numbers_and_a_count_of_several() -> None:
    delays = []
    for width in (3, 9, 27):
        builder, a, _ = inputs(width)
        delays.append(delay(builder, builder.count(a, [3], "c")))
        assert delay(builder, builder.count(a, [3, 5], "c")) == delays[-1] + 10
    assert delays == sorted(set(delays))
