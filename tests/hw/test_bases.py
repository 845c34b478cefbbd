from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from nomul.hw.bases import derive
from nomul.hw.sharing import Term
from tests.hw.test_sharing import Weights, n_additions, terms, weights


def check(rows: Weights) -> int:
    """Assert that what is derived is the rows, and return how many terms it has."""
    n_atoms = len(rows[0])
    atoms = np.random.default_rng(n_atoms).integers(0, 1000, n_atoms).tolist()
    sums: dict[int, int] = {}
    derived = derive(n_atoms, terms(rows))
    for row, base, sign, row_terms in derived:
        assert row not in sums
        sums[row] = sum(t.sign * (atoms[t.number] << t.shift) for t in row_terms)
        if base is not None:
            sums[row] += sign * sums[base]
    expected = [sum(w * x for w, x in zip(row, atoms, strict=True)) for row in rows]
    assert [sums[row] for row in range(len(rows))] == expected
    return sum(len(entry.terms) for entry in derived)


@settings(max_examples=150, deadline=None)
@given(weights())
def test_derived_sums_are_the_rows_and_never_more_terms(rows: Weights) -> None:
    assert check(rows) <= sum(len(row) for row in terms(rows))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_that_is_another_or_its_negative_has_no_terms(sign: int) -> None:
    row = [1, -1, 1, 1, -1]
    assert check([row, [sign * weight for weight in row]]) == 5
    first, second = derive(5, terms([row, [sign * weight for weight in row]]))
    assert (first.base, second.base, second.sign, second.terms) == (None, first.row, sign, ())


def test_a_row_near_another_is_their_difference() -> None:
    near, far = [1] * 8, [1] * 7 + [-1]
    derived = derive(8, terms([near, far]))
    assert derived[1].terms in ((Term(7, 1, -1),), (Term(7, 1, 1),))


def test_short_rows_are_their_own() -> None:
    derived = derive(4, terms([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]))
    assert {entry.base for entry in derived} == {None}
    assert n_additions([list(entry.terms) for entry in derived]) == 0


def test_no_rows_are_none() -> None:
    assert derive(3, []) == []
