from __future__ import annotations

import itertools

import numpy as np
import pytest

from nomul.hw.graph import Builder
from nomul.hw.sums import Accumulator, accumulators
from nomul.hw.targets import TARGETS
from nomul.hw.terms import layer_terms
from nomul.network import Dense
from tests.hw.benches import all_or_some_levels, check_nodes, dense, expected_answers, network_of
from tests.hw.layers import LAYERS

WAYS = [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]


def sums(
    layer: Dense, builder: Builder, way: tuple[bool, bool, bool], target: str, *, aligned: bool
) -> list[Accumulator]:
    names = [f"neuron_{neuron}" for neuron in range(layer.n_outputs)]
    grouped, shared, relative = way
    return accumulators(
        builder,
        layer_terms(layer, range(layer.n_outputs), TARGETS[target].table_bits),
        [builder.input(source, layer.n_levels_in) for source in range(layer.n_inputs)],
        names,
        TARGETS[target],
        grouped=grouped,
        shared=shared,
        relative=relative,
        aligned=aligned,
    )


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("target", ["ice40", "xilinx"])
@pytest.mark.parametrize("case", LAYERS)
def test_offset_and_number_make_the_accumulator(case: str, target: str, aligned: bool) -> None:
    layer = LAYERS[case]
    levels = all_or_some_levels(layer.n_levels_in, layer.n_inputs, 64)
    expected = expected_answers(network_of(layer), levels)
    for way in WAYS:
        builder = Builder()
        found = sums(layer, builder, way, target, aligned=aligned)
        graph = builder.graph([accumulator.number for accumulator in found])
        check_nodes(graph, levels)
        offsets = [accumulator.offset for accumulator in found]
        assert np.array_equal(graph.evaluate(levels) + offsets, expected)
        assert not aligned or len(set(offsets)) == 1


@pytest.mark.parametrize("way", WAYS)
def test_no_neurons_have_no_sums(way: tuple[bool, bool, bool]) -> None:
    terms = layer_terms(LAYERS["two levels"], [], 4)
    grouped, shared, relative = way
    found = accumulators(
        Builder(),
        terms,
        [],
        [],
        TARGETS["ice40"],
        grouped=grouped,
        shared=shared,
        relative=relative,
        aligned=True,
    )
    assert found == []


@pytest.mark.parametrize("way", WAYS)
def test_a_sum_needs_no_more_bits_than_its_range(way: tuple[bool, bool, bool]) -> None:
    """Numbers count from 0, so each sum is as wide as the span of its accumulator, or a bit more.

    The bit more is what a complement leaves unused.
    """
    for case, layer in LAYERS.items():
        builder = Builder()
        found = sums(layer, builder, way, "ice40", aligned=False)
        table = layer.product_table.astype(np.int64)
        spans = (table.max(axis=0) - table.min(axis=0))[layer.weight_index].sum(axis=1)
        for accumulator, span in zip(found, spans.tolist(), strict=True):
            extra = layer.n_inputs.bit_length()
            assert builder.width(accumulator.number) <= span.bit_length() + extra, case


def test_bits_of_equal_weight_are_counted_for_any_signs() -> None:
    for signs in itertools.product((0, 1), repeat=7):
        layer = dense([[0, 1], [0, -1]], [list(signs)])
        levels = all_or_some_levels(2, 7, 128)
        builder = Builder()
        (found,) = sums(layer, builder, WAYS[1], "ice40", aligned=False)
        values = builder.graph([found.number]).evaluate(levels)[:, 0] + found.offset
        assert np.array_equal(values, np.where(signs, -levels, levels).sum(axis=1))
