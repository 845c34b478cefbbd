from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomul.hw import sharing
from nomul.hw.sharing import Pair, SharedSums, Term, share, signed_digits

Weights = list[list[int]]


@st.composite
def weights(draw: st.DrawFn) -> Weights:
    """Draw rows of weights, few of them different, so that rows have parts in common."""
    n_atoms = draw(st.integers(1, 6))
    choice = st.sampled_from(draw(st.sampled_from(((0, 1, -1), (0, 1, 3, -5, 20), (7, -7, 99)))))
    row = st.lists(choice, min_size=n_atoms, max_size=n_atoms)
    return draw(st.lists(row, min_size=1, max_size=6))


def terms(rows: Weights) -> list[list[Term]]:
    return [
        [
            Term(atom, shift, sign)
            for atom, weight in enumerate(row)
            for shift, sign in signed_digits(weight)
        ]
        for row in rows
    ]


def values(sums: SharedSums, atoms: list[int]) -> list[int]:
    numbers = list(atoms)
    for pair in sums.pairs:
        numbers.append(numbers[pair.first] + pair.sign * (numbers[pair.second] << pair.shift))
    return [sum(t.sign * (numbers[t.number] << t.shift) for t in row) for row in sums.rows]


def n_additions(rows: tuple[tuple[Term, ...], ...] | list[list[Term]]) -> int:
    return sum(max(0, len(row) - 1) for row in rows)


@pytest.mark.parametrize("full_chains", [False, True])
@settings(max_examples=150, deadline=None)
@given(weights())
def test_rows_keep_their_values(full_chains: bool, rows: Weights) -> None:
    n_atoms = len(rows[0])
    sums = share([3] * n_atoms, terms(rows), full_chains=full_chains)
    assert sums.n_atoms == n_atoms
    rng = np.random.default_rng(n_atoms)
    for atoms in rng.integers(0, 1000, (5, n_atoms)).tolist():
        expected = [sum(w * x for w, x in zip(row, atoms, strict=True)) for row in rows]
        assert values(sums, atoms) == expected


@settings(max_examples=150, deadline=None)
@given(weights())
def test_every_pair_saves_an_addition(rows: Weights) -> None:
    before = terms(rows)
    sums = share([3] * len(rows[0]), before)
    assert n_additions(sums.rows) + len(sums.pairs) <= n_additions(before) - len(sums.pairs)
    used = {term.number for row in sums.rows for term in row}
    for number, pair in enumerate(sums.pairs, sums.n_atoms):
        assert max(pair.first, pair.second) < number
        assert pair.shift >= 0
        used |= {pair.first, pair.second}
    assert used >= set(range(sums.n_atoms, sums.n_atoms + len(sums.pairs)))


@settings(max_examples=150, deadline=None)
@given(weights())
def test_no_two_rows_have_a_pair_in_common_afterwards(rows: Weights) -> None:
    seen: set[frozenset[tuple[int, int, int]]] = set()
    for row in share([3] * len(rows[0]), terms(rows)).rows:
        found = set()
        for a, b in itertools.combinations(row, 2):
            shift, sign = min(a.shift, b.shift), a.sign if a < b else b.sign
            found.add(frozenset((t.number, t.shift - shift, t.sign * sign) for t in (a, b)))
        # Two terms that are alike but for their shift, the only case that the set cannot tell
        # apart, are one pair whichever comes first.
        assert not found & seen
        seen |= found


def test_what_two_rows_add_is_added_once() -> None:
    a, b, c, d = (Term(number, 0, 1) for number in range(4))
    sums = share([3] * 4, [[a, b, c], [a, b, d]])
    assert sums == SharedSums(4, (Pair(0, 1, 0, 1),), ((c, Term(4, 0, 1)), (d, Term(4, 0, 1))))


def test_a_pair_is_found_shifted_and_negated() -> None:
    """a - 4 b, and -2 a + 8 b with c."""
    rows = [[Term(0, 0, 1), Term(1, 2, -1)], [Term(0, 1, -1), Term(1, 3, 1), Term(2, 0, 1)]]
    sums = share([3] * 3, rows)
    assert sums.pairs == (Pair(0, 1, 2, -1),)
    assert sums.rows == ((Term(3, 0, 1),), (Term(2, 0, 1), Term(3, 1, -1)))


def test_a_weight_of_repeated_digits_is_shared_within_its_row() -> None:
    """0b1010101 is 5, and 5 shifted by 4: two adders instead of three."""
    sums = share([3], terms([[0b1010101]]))
    assert n_additions(sums.rows) + len(sums.pairs) == 2
    assert values(sums, [7]) == [7 * 0b1010101]


def test_rows_that_are_alike_are_added_once() -> None:
    rows = terms([[1, 1, -1, 1, 3]] * 4)
    sums = share([1] * 5, rows)
    assert n_additions(sums.rows) == 0
    assert len(sums.pairs) == n_additions(rows[:1])


def test_too_many_pairs_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = terms([[1, 1, 1]] * 2)
    monkeypatch.setattr(sharing, "PAIRS_MAX", 6)
    assert share([1] * 3, rows).pairs
    monkeypatch.setattr(sharing, "PAIRS_MAX", 5)
    assert share([1] * 3, rows) == SharedSums(3, (), tuple(map(tuple, rows)))


def test_nothing_is_shared_by_nothing() -> None:
    assert share([], []) == SharedSums(0, (), ())
    assert share([5], [[]]) == SharedSums(1, (), ((),))


@pytest.mark.parametrize("factors", [range(-1100, 1101), [2**32 - 1, -(2**32), 0xAAAAAAAA]])
def test_signed_digits_add_up_and_are_no_neighbours(factors: range | list[int]) -> None:
    for factor in factors:
        digits = signed_digits(factor)
        assert sum(sign << shift for shift, sign in digits) == factor
        shifts = [shift for shift, _ in digits]
        assert all(b - a > 1 for a, b in itertools.pairwise(shifts))
        assert {sign for _, sign in digits} <= {1, -1}
        # No form has fewer than the adjacent-free one: the ones of 3 n xor n (Reitwiesner 1960).
        assert len(digits) == (3 * abs(factor) ^ abs(factor)).bit_count()
