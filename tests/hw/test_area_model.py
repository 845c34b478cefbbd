from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nomul.hw.area_model import graph_area, is_chain, node_area
from nomul.hw.graph import Builder, Sum
from nomul.hw.targets import TARGETS

ICE40, XILINX = TARGETS["ice40"], TARGETS["xilinx"]
EVERY_TARGET = pytest.mark.parametrize("name", TARGETS)


class Drawing:
    """A graph of nodes that one after the other are priced."""

    def __init__(self, n_levels: int = 16, n_inputs: int = 3) -> None:
        self.builder = Builder()
        self.inputs = [self.builder.input(source, n_levels) for source in range(n_inputs)]

    def sum(self, shift: int) -> int:
        """Return the sum of the first two inputs, the second shifted."""
        return self.builder.sum(self.inputs[0], self.inputs[1], shift, "s")

    def area(self, number: int, name: str = "ice40") -> float:
        """Return the area of one node: that of its graph, of which all else is free inputs."""
        graph = self.builder.graph([number])
        found = node_area(graph, graph.outputs[0], TARGETS[name])
        assert graph_area(graph, TARGETS[name]) == found
        return found


def n_address_bits(column: list[int], n_bits: int) -> int:
    """Count the bits of which some flip changes the column."""
    return sum(
        any(column[address] != column[address ^ 1 << bit] for address in range(1 << n_bits))
        for bit in range(n_bits)
    )


@EVERY_TARGET
@pytest.mark.parametrize("n_bits", [1, 2, 3, 4, 6, 8])
def test_a_table_takes_what_each_of_its_bits_depends_on(n_bits: int, name: str) -> None:
    rng = np.random.default_rng(n_bits)
    for n_values in (2, 3, 8):
        drawing = Drawing(2, n_bits)
        # Bit 0 depends on few address bits, the others on any.
        entries = rng.integers(0, n_values, 1 << n_bits)
        entries = (entries & ~1 | (np.arange(1 << n_bits) & 1)).tolist()
        number = drawing.builder.table(tuple((i, 0) for i in drawing.inputs), entries, "t")
        columns = {tuple(entry >> bit & 1 for entry in entries) for bit in range(3)}
        expected = sum(
            TARGETS[name].table_area(n_address_bits(list(column), n_bits)) for column in columns
        )
        assert drawing.area(number, name) == expected


def test_equal_bits_of_a_table_are_one() -> None:
    drawing = Drawing(2, 2)
    address = tuple((number, 0) for number in drawing.inputs)
    assert drawing.area(drawing.builder.table(address, [0, 1, 1, 0], "t")) == 1
    assert drawing.area(drawing.builder.table(address, [0, 7, 7, 0], "t")) == 1
    assert drawing.area(drawing.builder.table(address, [0, 3, 1, 0], "t")) == 2


def test_a_bit_of_a_table_that_is_an_address_bit_is_a_wire() -> None:
    drawing = Drawing(4, 1)
    address = tuple((drawing.inputs[0], bit) for bit in (1, 0))
    assert drawing.area(drawing.builder.table(address, [0, 2, 1, 3], "swapped")) == 0


@EVERY_TARGET
def test_operands_that_do_not_overlap_need_no_adder(name: str) -> None:
    drawing = Drawing()
    a, b, _ = drawing.inputs
    assert drawing.area(drawing.builder.sum(a, b, 4, "beside"), name) == 0
    assert drawing.area(drawing.builder.sum(a, b, 9, "beyond"), name) == 0
    assert drawing.area(drawing.builder.sum(a, b, 3, "met"), name) > 0


@EVERY_TARGET
def test_a_wider_sum_is_no_smaller(name: str) -> None:
    areas = []
    for width in range(1, 20):
        drawing = Drawing(1 << width, 2)
        areas.append(drawing.area(drawing.sum(0), name))
    assert areas == sorted(areas)
    assert areas[0] > 0


def test_narrow_adders_are_gates_and_wide_ones_chains() -> None:
    for width, on_chain in ((1, False), (2, False), (3, True), (9, True)):
        drawing = Drawing(1 << width, 2)
        graph = drawing.builder.graph([drawing.sum(0)])
        node = graph.nodes[-1]
        assert isinstance(node, Sum)
        assert is_chain(graph, node, replace(ICE40, gate_bits=2)) is on_chain
        assert not is_chain(graph, node, TARGETS["asic"])


def test_an_adder_of_two_single_bits_is_a_half_adder() -> None:
    drawing = Drawing(2, 2)
    assert drawing.area(drawing.sum(0)) == 2


def test_a_chain_of_an_ice40_has_a_cell_for_each_bit_of_the_sum() -> None:
    drawing = Drawing(256, 2)
    area = drawing.area(drawing.sum(0))
    assert area == 9 + ICE40.chain_start
    # The low bits pass by.
    area = drawing.area(drawing.sum(5))
    assert area == 9 + ICE40.chain_start


@EVERY_TARGET
def test_a_complement_takes_a_lut_for_each_bit(name: str) -> None:
    drawing = Drawing(16)
    number = drawing.builder.complement(drawing.inputs[0], "n")
    assert drawing.area(number, name) == 4 * TARGETS[name].area_of_one


@EVERY_TARGET
def test_thresholds_that_are_always_reached_or_repeated_cost_nothing(name: str) -> None:
    drawing = Drawing(16)
    areas = [
        drawing.area(drawing.builder.count(drawing.inputs[0], bounds, "c"), name)
        for bounds in ([3, 9], [0, 3, 9], [3, 3, 9, 9], [3, 9, 16])
    ]
    assert len(set(areas)) == 1
    more = drawing.area(drawing.builder.count(drawing.inputs[0], [3, 7, 9], "c"), name)
    assert more > areas[0] > 0


def test_a_comparison_takes_fewer_luts_with_more_inputs_each() -> None:
    drawing = Drawing(1 << 16)
    number = drawing.builder.count(drawing.inputs[0], [12345], "c")
    assert drawing.area(number, "xilinx") < drawing.area(number, "ice40")
    # A power of two is reached if one of the bits from it up is set: of four, one LUT.
    assert drawing.area(drawing.builder.count(drawing.inputs[0], [1 << 12], "c")) == 1


@EVERY_TARGET
def test_a_choice_of_constants_is_free_and_of_numbers_a_lut_a_bit(name: str) -> None:
    drawing = Drawing(16)
    builder = drawing.builder
    a, b, c = drawing.inputs
    flag = builder.greater(a, b, "g")
    graph = builder.graph(
        [
            builder.choice(flag, a, c, "numbers"),
            builder.choice(flag, builder.constant(5), builder.constant(2), "constants"),
        ]
    )
    areas = dict(
        zip(
            graph.names,
            (node_area(graph, n, TARGETS[name]) for n in range(len(graph.nodes))),
            strict=True,
        )
    )
    one = TARGETS[name].area_of_one
    assert (areas["numbers"], areas["constants"]) == (4 * one, 0)
    assert areas["g"] >= 4 * one
    assert graph_area(graph, TARGETS[name]) == sum(areas.values())


@EVERY_TARGET
def test_inputs_and_constants_are_free(name: str) -> None:
    drawing = Drawing()
    assert drawing.area(drawing.inputs[0], name) == 0
    assert drawing.area(drawing.builder.constant(99), name) == 0
