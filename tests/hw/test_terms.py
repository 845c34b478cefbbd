from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomul.hw.terms import LayerTerms, layer_terms
from nomul.network import Dense
from tests.hw.benches import all_or_some_levels, dense, expected_answers, network_of
from tests.hw.layers import LAYERS
from tests.hw.strategies import columns


def check(layer: Dense, table_bits: int) -> LayerTerms:
    """Assert that the terms add up to the accumulators, and return them."""
    found = layer_terms(layer, range(layer.n_outputs), table_bits)
    for atom in found.atoms:
        assert len(atom.entries) == layer.n_levels_in
        assert min(atom.entries) == 0
        assert any(entry % 2 for entry in atom.entries)
    levels = all_or_some_levels(layer.n_levels_in, layer.n_inputs, 64)
    expected = expected_answers(network_of(layer), levels)
    for sample, answers in zip(levels.tolist(), expected.tolist(), strict=True):
        values = [atom.entries[sample[atom.source]] for atom in found.atoms]
        sums = [
            offset + sum(term.sign * (values[term.number] << term.shift) for term in row)
            for row, offset in zip(found.rows, found.offsets, strict=True)
        ]
        assert sums == answers
    return found


@pytest.mark.parametrize("table_bits", [4, 6])
@pytest.mark.parametrize("case", LAYERS)
def test_terms_add_up_to_the_accumulators(case: str, table_bits: int) -> None:
    check(LAYERS[case], table_bits)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 17).flatmap(columns))
def test_any_column_is_its_terms(column: list[int]) -> None:
    check(dense([column, [0] * len(column)], [[0, 1], [0, 0]], bias=[1, -1]), 4)


def test_the_neurons_that_are_asked_for_come_in_their_order() -> None:
    layer = LAYERS["neurons of very different fan-in"]
    every = layer_terms(layer, range(4), 4)
    some = layer_terms(layer, [3, 1], 4)
    assert some.offsets == (every.offsets[3], every.offsets[1])
    assert [len(row) for row in some.rows] == [20, 1]
    assert layer_terms(layer, [], 4) == LayerTerms((), (), ())


def test_products_that_do_not_vary_have_no_term() -> None:
    found = check(dense([[0] * 4, [6] * 4], [[0, 1, 1]], bias=[-12]), 4)
    assert found == LayerTerms((), ((),), (0,))


# Products of a level and a weight: (weight, levels, terms, whether they are of levels).
@pytest.mark.parametrize(
    ("weight", "n_levels", "n_terms", "of_levels"),
    [
        (1, 4, 1, True),
        (-8, 4, 1, True),
        (3, 4, 2, True),
        (28, 4, 2, True),  # 32 - 4
        (21, 4, 1, False),  # 16 + 4 + 1: two adders, or a table
        (-21, 16, 1, False),
        (21, 17, 3, True),  # the levels have too many bits for a table of one LUT
        (21, 2, 1, False),
    ],
)
def test_a_weight_of_few_digits_is_shifts(
    weight: int, n_levels: int, n_terms: int, of_levels: bool
) -> None:
    found = check(dense([[weight * level for level in range(n_levels)]], [[0]]), 4)
    (row,), (atom,) = found.rows, found.atoms
    assert (len(row), atom.is_level) == (n_terms, of_levels)


def test_a_column_is_looked_up_once_for_all_neurons_and_weights_like_it() -> None:
    """A peak, four times it with an offset, and its negative; on each of two inputs."""
    peak = np.array([1, 5, -2, 0])
    layer = dense(
        [peak.tolist(), (4 * peak + 3).tolist(), (-peak).tolist()], [[0, 1], [2, 2], [1, 0]]
    )
    found = check(layer, 4)
    assert len(found.atoms) <= 4
    assert {atom.source for atom in found.atoms} == {0, 1}
    shifts = [[term.shift for term in row] for row in found.rows]
    assert shifts == [[0, 2], [0, 0], [2, 0]]


def test_entries_of_32_bits_keep_their_difference() -> None:
    least, greatest = -(2**31), 2**31 - 1
    found = check(dense([[least, 0, greatest]], [[0]]), 4)
    assert [max(atom.entries) for atom in found.atoms] == [2**32 - 1]
