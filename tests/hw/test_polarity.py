from __future__ import annotations

import pytest
from hypothesis import given, settings

from nomul.hw.polarity import polarities
from nomul.hw.sharing import Pair, SharedSums, share
from tests.hw.test_sharing import Weights, terms, weights


def turned_bits(
    maxima: list[int], sums: SharedSums, looked_up: list[bool], signs: tuple[int, ...]
) -> int:
    """Return the bits of all numbers that a pair wants in the form that they are not made in."""
    greatest = list(maxima)
    wanted = set()
    for number, pair in enumerate(sums.pairs, sums.n_atoms):
        greatest.append(greatest[pair.first] + (greatest[pair.second] << pair.shift))
        if not looked_up[number - sums.n_atoms]:
            wanted |= {(pair.first, signs[number]), (pair.second, signs[number] * pair.sign)}
    return sum(greatest[number].bit_length() for number, sign in wanted if sign != signs[number])


def check(maxima: list[int], sums: SharedSums, looked_up: list[bool]) -> int:
    signs = polarities(maxima, sums, looked_up)
    n_atoms, n_pairs = sums.n_atoms, len(sums.pairs)
    assert len(signs) == n_atoms + n_pairs
    assert signs[:n_atoms] == (1,) * n_atoms, "atoms come as they are"
    assert set(signs) <= {1, -1}
    found = turned_bits(maxima, sums, looked_up, signs)
    assert found <= turned_bits(maxima, sums, looked_up, (1,) * (n_atoms + n_pairs))
    return found


@pytest.mark.parametrize("every", [1, 2, 3])
@settings(max_examples=100, deadline=None)
@given(weights())
def test_no_choice_is_worse_than_none_complemented(every: int, rows: Weights) -> None:
    maxima = [1 + 5 * atom for atom in range(len(rows[0]))]
    sums = share(maxima, terms(rows))
    check(maxima, sums, [index % every == 1 for index in range(len(sums.pairs))])


def test_a_sum_turns_nothing_and_a_difference_one_atom() -> None:
    assert check([3, 3], SharedSums(2, (Pair(0, 1, 0, 1),), ()), [False]) == 0
    assert check([3, 1], SharedSums(2, (Pair(0, 1, 0, -1),), ()), [False]) == 1
    assert check([1, 3], SharedSums(2, (Pair(0, 1, 0, -1),), ()), [False]) == 1


def test_what_is_subtracted_is_complemented_where_it_is_narrow() -> None:
    """c - (a - b): c and the sums a + ~b as they are would turn the three bits of that sum."""
    sums = SharedSums(3, (Pair(0, 1, 0, -1), Pair(2, 3, 0, -1)), ())
    assert turned_bits([3, 3, 3], sums, [False] * 2, (1,) * 5) == 2 + 3
    assert check([3, 3, 3], sums, [False] * 2) <= 2 + 2


def test_what_is_looked_up_turns_nothing() -> None:
    sums = SharedSums(2, (Pair(0, 1, 0, -1),), ())
    assert check([3, 3], sums, [True]) == 0


def test_nothing_is_no_choice() -> None:
    assert polarities([], SharedSums(0, (), ()), []) == ()
