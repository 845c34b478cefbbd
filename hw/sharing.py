"""Sums of several neurons that have parts in common: each part is added once.

A neuron's sum is a row of terms, each a signed and shifted number. The pair of terms that saves
most adder bits over all rows, wherever it occurs with the same relative shift and sign, becomes a
number of its own, again and again until no pair occurs twice (common sub-expression elimination
as for constant multiplications: Hartley 1996; Hosangadi et al. 2005).
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Pair", "SharedSums", "Term", "share", "signed_digits"]

PAIRS_MAX = 3_000_000
"""Pairs of terms that are compared; rows with more are left as they are, for it would take long."""


class Term(NamedTuple):
    """``sign * (number << shift)``; numbers below the count of atoms are atoms, then come pairs."""

    number: int
    shift: int
    sign: int


class Pair(NamedTuple):
    """``first + sign * (second << shift)``, a number that several rows add."""

    first: int
    second: int
    shift: int
    sign: int


@dataclass(frozen=True)
class SharedSums:
    """Rows of terms over atoms and pairs.

    Attributes
    ----------
    pairs
        Pair i is number ``n_atoms + i`` and refers to smaller numbers.
    rows
        The terms of each sum.
    """

    n_atoms: int
    pairs: tuple[Pair, ...]
    rows: tuple[tuple[Term, ...], ...]


def signed_digits(factor: int) -> list[tuple[int, int]]:
    """Return shifts and signs whose sum of powers of two is ``factor``, as few as possible.

    The canonical signed-digit form (Avizienis 1961; Reitwiesner 1960): no two are neighbours.
    """
    digits = []
    shift = 0
    while factor:
        if factor & 1:
            sign = 2 - (factor & 3)
            digits.append((shift, sign))
            factor -= sign
        factor >>= 1
        shift += 1
    return digits


def share(
    maxima: Sequence[int], rows: Sequence[Sequence[Term]], *, full_chains: bool = True
) -> SharedSums:
    """Return the sums of ``rows`` with common pairs taken out.

    Parameters
    ----------
    maxima
        The greatest value of each atom; the least is 0.
    rows
        Terms over atoms; no term is in a row twice.
    full_chains
        Whether an adder is as large as its sum; else as the smaller of its two numbers.
    """
    n_pairs = sum(len(row) * (len(row) - 1) // 2 for row in rows)
    if n_pairs > PAIRS_MAX:
        return SharedSums(len(maxima), (), tuple(tuple(row) for row in rows))
    sharing = _Sharing(maxima, rows, full_chains=full_chains)
    sharing.run()
    return SharedSums(len(maxima), tuple(sharing.pairs), tuple(tuple(row) for row in sharing.rows))


def _pair(a: Term, b: Term) -> Pair:
    """Return the pair that two terms of a row are, whatever their common shift and sign."""
    low, high = (a, b) if (a.shift, a.number) <= (b.shift, b.number) else (b, a)
    return Pair(low.number, high.number, high.shift - low.shift, low.sign * high.sign)


class _Sharing:
    """Rows in which pairs are replaced, and how often each pair occurs where."""

    def __init__(
        self, maxima: Sequence[int], rows: Sequence[Sequence[Term]], *, full_chains: bool
    ) -> None:
        self._full_chains = full_chains
        self.n_atoms = len(maxima)
        self.spans = list(maxima)  # greatest less least value of each number
        self.pairs: list[Pair] = []
        self.rows = [list(row) for row in rows]
        self._occurrences: defaultdict[Pair, Counter[int]] = defaultdict(Counter)
        self._queue: list[tuple[int, Pair]] = []
        for row, terms in enumerate(self.rows):
            for a, b in itertools.combinations(terms, 2):
                self._occurrences[_pair(a, b)][row] += 1
        for pair in self._occurrences:
            self._offer(pair)

    def run(self) -> None:
        while self._queue:
            saving, pair = heapq.heappop(self._queue)
            if -saving != self._saving(pair):
                self._offer(pair)
                continue
            found = [
                (row, *terms) for row in self._occurrences[pair] for terms in self._find(row, pair)
            ]
            if len(found) > 1:
                self._replace(pair, found)

    def _saving(self, pair: Pair) -> int:
        """Adder bits that the pair saves, if no two of its occurrences have a term in common."""
        count = sum(self._occurrences[pair].values())
        first, second = self.spans[pair.first], self.spans[pair.second]
        n_bits = (
            (first + (second << pair.shift)).bit_length() - pair.shift
            if self._full_chains
            else min(first.bit_length() - pair.shift, second.bit_length())
        )
        return (count - 1) * max(1, n_bits)

    def _offer(self, pair: Pair) -> None:
        saving = self._saving(pair)
        if saving > 0:
            heapq.heappush(self._queue, (-saving, pair))

    def _find(self, row: int, pair: Pair) -> list[tuple[Term, Term]]:
        """Return occurrences of ``pair`` in a row that share no term."""
        terms = set(self.rows[row])
        found = []
        for term in self.rows[row]:
            if term.number != pair.first or term not in terms:
                continue
            other = Term(pair.second, term.shift + pair.shift, term.sign * pair.sign)
            if other in terms and other != term:
                terms -= {term, other}
                found.append((term, other))
        return found

    def _replace(self, pair: Pair, found: list[tuple[int, Term, Term]]) -> None:
        number = self.n_atoms + len(self.pairs)
        self.pairs.append(pair)
        self.spans.append(self.spans[pair.first] + (self.spans[pair.second] << pair.shift))
        for row, first, second in found:
            self._remove(row, first)
            self._remove(row, second)
            self._insert(row, Term(number, first.shift, first.sign))

    def _remove(self, row: int, term: Term) -> None:
        self.rows[row].remove(term)
        for other in self.rows[row]:
            self._occurrences[_pair(term, other)][row] -= 1

    def _insert(self, row: int, term: Term) -> None:
        for other in self.rows[row]:
            pair = _pair(term, other)
            self._occurrences[pair][row] += 1
            self._offer(pair)
        self.rows[row].append(term)
