"""Sums of terms as nodes of a graph."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nomul.hw.bases import Derived, derive
from nomul.hw.bit_sums import Bit, add_bits
from nomul.hw.graph import Builder
from nomul.hw.polarity import polarities
from nomul.hw.sharing import SharedSums, Term, share
from nomul.hw.targets import Target
from nomul.hw.terms import Atom, LayerTerms

__all__ = ["Accumulator", "accumulators"]


@dataclass(frozen=True)
class Accumulator:
    """``accumulator = offset + number``."""

    number: int
    offset: int


def accumulators(
    builder: Builder,
    terms: LayerTerms,
    levels: Sequence[int],
    names: Sequence[str],
    target: Target,
    *,
    grouped: bool,
    shared: bool,
    relative: bool,
    aligned: bool,
) -> list[Accumulator]:
    """Return the accumulator of each row of terms.

    Parameters
    ----------
    levels
        The nodes of the layer's inputs.
    names
        What the names of each row's nodes begin with.
    grouped
        Whether sums that depend on few level bits are looked up instead of added.
    relative
        Whether a row may be derived from another row's sum.
    shared
        Whether parts that several neurons have in common are added once.
    aligned
        Whether all get the same offset, so that their nodes compare as they do.
    """
    maxima = [max(atom.entries) for atom in terms.atoms]
    order = (
        derive(len(maxima), terms.rows)
        if relative
        else [Derived(row, None, 1, row_terms) for row, row_terms in enumerate(terms.rows)]
    )
    term_rows = [derived.terms for derived in order]
    sums = (
        share(maxima, term_rows, full_chains=target.full_chains)
        if shared
        else SharedSums(len(maxima), (), tuple(term_rows))
    )
    parts = _Parts(builder, terms.atoms, levels, sums, target, target.table_bits * grouped)
    bases = {derived.base for derived in order}
    rows: dict[int, _Row] = {}
    totals: dict[int, Accumulator] = {}
    for derived, row_terms in zip(order, sums.rows, strict=True):
        offset, base = terms.offsets[derived.row], None
        if derived.base is not None:
            base = totals[derived.base]
            offset -= derived.sign * terms.offsets[derived.base]  # it is in the base's sum
        row = parts.row(row_terms, offset, names[derived.row], base, derived.sign)
        rows[derived.row] = row
        if derived.row in bases or not aligned:
            totals[derived.row] = Accumulator(parts.total(row, 0), row.offset)
    if not aligned:
        return [totals[row] for row in range(len(rows))]
    offset = min((row.offset for row in rows.values()), default=0)
    return [
        Accumulator(
            parts.raised_total(totals[number].number, rows[number].offset - offset)
            if number in totals
            else parts.total(rows[number], rows[number].offset - offset),
            offset,
        )
        for number in range(len(rows))
    ]


@dataclass(frozen=True)
class _Part:
    """A number of the sums as it is in the graph: ``offset + sign * node``."""

    node: int
    offset: int
    sign: int


@dataclass(frozen=True)
class _Addend:
    """``node << shift``, to be added."""

    node: int
    shift: int


@dataclass(frozen=True)
class _Row:
    """A row's sum, ``offset + bits + plus + complement``, but for its last additions."""

    name: str
    bits: tuple[Bit, ...]
    plus: tuple[_Addend, ...]
    complement: _Addend | None
    offset: int


class _Parts:
    """Atoms and pairs as nodes; each is made when it is first asked for."""

    def __init__(
        self,
        builder: Builder,
        atoms: Sequence[Atom],
        levels: Sequence[int],
        sums: SharedSums,
        target: Target,
        table_bits: int,
    ) -> None:
        self._builder = builder
        self._atoms = atoms
        self._levels = levels
        self._sums = sums
        self._target = target
        self._table_bits = table_bits
        self._name = ""
        self._signs = polarities(
            [max(atom.entries) for atom in atoms], sums, self._looked_up_pairs()
        )
        self._made: dict[tuple[int, int], _Part] = {}
        self._n_sums: Counter[str] = Counter()

    def row(
        self,
        terms: Sequence[Term],
        offset: int,
        name: str,
        base: Accumulator | None,
        base_sign: int,
    ) -> _Row:
        """Return what a row of terms adds up, and the sum that it is derived from."""
        self._name = name
        bits, rest = self._split(terms)
        offset -= sum(bit.inverted << bit.shift for bit in bits)
        offset, plus, minus = self._addends(rest, offset)
        if base is not None:
            offset += base_sign * base.offset
            (plus if base_sign == 1 else minus).append(_Addend(base.number, 0))
        if not minus:
            return _Row(name, bits, tuple(plus), None, offset)
        subtracted = self._tree(minus)
        mask = (1 << self._builder.width(subtracted.node)) - 1
        # A sum of this row alone is made complemented; what others use too is turned over.
        turn = self._builder.complement if len(minus) == 1 else self._builder.inverted
        complement = _Addend(turn(subtracted.node, self._next_name()), subtracted.shift)
        return _Row(name, bits, tuple(plus), complement, offset - (mask << subtracted.shift))

    def total(self, row: _Row, constant: int) -> int:
        """Return the node of a row's sum and a constant, at least 0."""
        self._name = row.name
        if row.bits:
            one = self._builder.constant(1)
            ones = [
                Bit(one, 0, inverted=False, shift=shift)
                for shift in range(constant.bit_length())
                if constant >> shift & 1
            ]
            counted = add_bits(self._builder, (*row.bits, *ones), self._table_bits, self._next_name)
            plus = [*row.plus, *(_Addend(node, 0) for node in counted)]
        else:
            plus = self._raised(list(row.plus), constant)
        if row.complement is not None:
            added = self._tree(plus) if plus else None
            plus = [row.complement] if added is None else [added, row.complement]
        total = self._tree(plus or [_Addend(self._builder.constant(0), 0)])
        zero = self._builder.constant(0)
        return self._builder.sum(zero, total.node, total.shift, self._next_name())

    def raised_total(self, number: int, constant: int) -> int:
        """Return the node of a finished sum and a constant, at least 0."""
        raised = _Addend(self._builder.constant(constant), 0)
        return self._tree([_Addend(number, 0), raised]).node

    def _raised(self, addends: list[_Addend], constant: int) -> list[_Addend]:
        """Return the addends, of which one brings the constant: a short one by a table."""
        if constant == 0:
            return addends
        short = [
            addend
            for addend in addends
            if 0 < self._builder.width(addend.node) <= self._table_bits and addend.shift == 0
        ]
        if not short:
            return [*addends, _Addend(self._builder.constant(constant), 0)]
        chosen = min(short, key=self._size)
        raised = self._builder.raised(chosen.node, constant, self._next_name())
        rest = list(addends)
        rest.remove(chosen)  # once: neurons that are alike bring the same addend twice
        return [*rest, _Addend(raised, 0)]

    def _addends(
        self, row: Sequence[Term], offset: int
    ) -> tuple[int, list[_Addend], list[_Addend]]:
        """Return the row's offset, and what is added and subtracted, single bits apart.

        Short numbers, of whatever sign, are first looked up together; a table subtracts for free.
        """
        groups, rest = self._grouped(row)
        plus: list[_Addend] = []
        minus: list[_Addend] = []
        for group in groups:
            part = self._look_up([(term.number, term.shift, term.sign) for term in group], 1)
            offset += part.offset
            plus.append(_Addend(part.node, 0))
        for term in rest:
            part = self._part(term.number, self._signs[term.number])
            sign = term.sign * part.sign
            offset += term.sign * (part.offset << term.shift)
            (plus if sign == 1 else minus).append(_Addend(part.node, term.shift))
        return offset, plus, minus

    def _split(self, row: Sequence[Term]) -> tuple[tuple[Bit, ...], list[Term]]:
        """Split a row into single bits, if they are enough for a counter, and the rest."""
        single = [
            term
            for term in row
            if term.number < self._sums.n_atoms
            and self._atoms[term.number].is_level
            and len(self._bits(term.number)) == 1
        ]
        if len(single) < 3:
            return (), list(row)
        bits = [
            Bit(*self._bits(term.number)[0], inverted=term.sign < 0, shift=term.shift)
            for term in single
        ]
        return tuple(bits), [term for term in row if term not in single]

    def _grouped(self, row: Sequence[Term]) -> tuple[list[list[Term]], list[Term]]:
        """Split a row into groups, of three numbers or more, that one table looks up, and rest."""
        short = [term for term in row if 0 < len(self._bits(term.number)) <= self._table_bits // 3]
        short.sort(key=lambda term: (term.shift, term.number))
        groups: list[list[Term]] = []
        while len(short) > 2:
            group = [short.pop(0)]
            bits = set(self._bits(group[0].number))
            for term in list(short):
                joined = bits | set(self._bits(term.number))
                if len(joined) <= self._table_bits:
                    group.append(term)
                    short.remove(term)
                    bits = joined
            if len(group) > 2:
                groups.append(group)
        grouped = {term for group in groups for term in group}
        return groups, [term for term in row if term not in grouped]

    def _bits(self, number: int) -> tuple[tuple[int, int], ...]:
        """Return the level bits that a number depends on; none if they are too many for a table."""
        if number < self._sums.n_atoms:
            node = self._levels[self._atoms[number].source]
            width = self._builder.width(node)
            return tuple((node, bit) for bit in range(width)) if width <= self._table_bits else ()
        pair = self._sums.pairs[number - self._sums.n_atoms]
        first, second = self._bits(pair.first), self._bits(pair.second)
        joined = tuple(dict.fromkeys(first + second))
        return joined if first and second and len(joined) <= self._table_bits else ()

    def _looked_up_pairs(self) -> list[bool]:
        n_atoms = self._sums.n_atoms
        return [bool(self._bits(n_atoms + number)) for number in range(len(self._sums.pairs))]

    def _part(self, number: int, sign: int) -> _Part:
        """Return a number of the sums as a node of the given sign."""
        if (number, sign) not in self._made:
            self._made[number, sign] = self._make(number, sign)
        return self._made[number, sign]

    def _make(self, number: int, sign: int) -> _Part:
        builder = self._builder
        other = self._made.get((number, -sign))
        if self._bits(number) and number >= self._sums.n_atoms:
            return self._look_up([(number, 0, 1)], sign)
        if number < self._sums.n_atoms or other is not None:
            plain = other or self._atom(number)
            if plain.sign == sign:
                return plain
            mask = (1 << builder.width(plain.node)) - 1
            inverse = builder.complement(plain.node, self._next_name())
            return _Part(inverse, plain.offset + plain.sign * mask, -plain.sign)
        pair = self._sums.pairs[number - self._sums.n_atoms]
        first = self._part(pair.first, sign)
        second = self._part(pair.second, sign * pair.sign)
        node = builder.sum(first.node, second.node, pair.shift, self._next_name())
        return _Part(node, first.offset + pair.sign * (second.offset << pair.shift), sign)

    def _atom(self, number: int) -> _Part:
        atom = self._atoms[number]
        node = self._levels[atom.source]
        if not atom.is_level:
            bits = tuple((node, bit) for bit in range(self._builder.width(node)))
            n_addresses = 1 << len(bits)  # fewer than levels, where the greatest do not occur
            entries = (atom.entries + (0,) * n_addresses)[:n_addresses]
            node = self._builder.table(bits, entries, self._next_name())
        return _Part(node, 0, 1)

    def _look_up(self, terms: Sequence[tuple[int, int, int]], sign: int) -> _Part:
        """Return a table of the sum of some terms."""
        bits = tuple(dict.fromkeys(bit for number, _, _ in terms for bit in self._bits(number)))
        address = np.arange(1 << len(bits))
        place = {bit: address >> index & 1 for index, bit in enumerate(bits)}
        total = np.zeros(len(address), np.int64)
        possible = np.ones(len(address), bool)
        for number, shift, term_sign in terms:
            value, occurs = self._values(number, place)
            total += term_sign * (value << shift)
            possible &= occurs
        offset = int(total[possible].min() if sign == 1 else total[possible].max())
        entries = np.where(possible, sign * (total - offset), 0)
        node = self._builder.table(bits, entries.tolist(), self._next_name())
        return _Part(node, offset, sign)

    def _values(
        self, number: int, place: dict[tuple[int, int], NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return a number's value for each address, and whether its levels can be such."""
        if number < self._sums.n_atoms:
            atom = self._atoms[number]
            bits = self._bits(number)
            level = np.sum([place[bit] << bit[1] for bit in bits], axis=0)
            occurs = level < len(atom.entries)
            return np.array(atom.entries)[np.where(occurs, level, 0)], occurs
        pair = self._sums.pairs[number - self._sums.n_atoms]
        first, first_occurs = self._values(pair.first, place)
        second, second_occurs = self._values(pair.second, place)
        return first + pair.sign * (second << pair.shift), first_occurs & second_occurs

    def _tree(self, addends: Sequence[_Addend]) -> _Addend:
        """Add up at least one addend, so that the adders are short.

        Where every bit of a chain costs as much, the smallest meet first; where only the bits do
        in which both numbers have one, each is added to the largest.
        """
        order = itertools.count()
        queue = [(self._size(addend), next(order), addend) for addend in addends]
        heapq.heapify(queue)
        if not self._target.full_chains:
            queue.sort(reverse=True)
            total = queue[0][2]
            for _, _, addend in queue[1:]:
                total = self._add(total, addend)
            return total
        while len(queue) > 1:
            a, b = heapq.heappop(queue)[2], heapq.heappop(queue)[2]
            total = self._add(a, b)
            heapq.heappush(queue, (self._size(total), next(order), total))
        return queue[0][2]

    def _size(self, addend: _Addend) -> int:
        return self._builder.maximum(addend.node) << addend.shift

    def _add(self, a: _Addend, b: _Addend) -> _Addend:
        low, high = (a, b) if a.shift <= b.shift else (b, a)
        node = self._builder.sum(low.node, high.node, high.shift - low.shift, self._next_name())
        return _Addend(node, low.shift)

    def _next_name(self) -> str:
        self._n_sums[self._name] += 1
        return f"{self._name}_sum_{self._n_sums[self._name]}"
