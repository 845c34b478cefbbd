"""Sums as differences from other sums, where those are shorter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nomul.hw.sharing import Term, signed_digits

__all__ = ["Derived", "derive"]

BASE_DIGITS = 2
"""What adding another sum costs, in digits: it is wider than they are."""


class Derived(NamedTuple):
    """``sum[row] = sign * sum[base] + terms``; without a base, the terms alone."""

    row: int
    base: int | None
    sign: int
    terms: tuple[Term, ...]


def derive(n_atoms: int, rows: Sequence[Sequence[Term]]) -> list[Derived]:
    """Return all sums, each behind the one that it is derived from.

    The rows and the empty sum are the nodes of a graph, and a shortest tree in it says which sum
    each is derived from (Prim 1957): the digits of the difference are the distance. Dense rows of
    two weights, for instance, have half of their terms in common with another row or its negative.
    """
    weights = np.zeros((len(rows), n_atoms), np.int64)
    for row, terms in enumerate(rows):
        for term in terms:
            weights[row, term.number] += term.sign << term.shift
    distance = _digits(weights)
    bases: list[tuple[int | None, int]] = [(None, 1)] * len(rows)
    left = set(range(len(rows)))
    derived = []
    while left:
        row = min(left, key=distance.__getitem__)
        left.remove(row)
        base, sign = bases[row]
        rest = weights[row] if base is None else weights[row] - sign * weights[base]
        derived.append(Derived(row, base, sign, _terms(rest)))
        for sign in (1, -1):
            through = _digits(weights - sign * weights[row]) + BASE_DIGITS
            for other in left:
                if through[other] < distance[other]:
                    distance[other] = through[other]
                    bases[other] = (row, sign)
    return derived


def _digits(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many signed digits each row's weights have: the ones of ``3 w xor w``."""
    magnitude = np.abs(weights)
    digits: NDArray[np.int64] = np.bitwise_count(3 * magnitude ^ magnitude).sum(
        axis=1, dtype=np.int64
    )
    return digits


def _terms(weights: NDArray[np.int64]) -> tuple[Term, ...]:
    return tuple(
        Term(number, shift, sign)
        for number in np.flatnonzero(weights).tolist()
        for shift, sign in signed_digits(int(weights[number]))
    )
