"""Logic as one list of small truth tables, where equal gates are one gate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

__all__ = ["FALSE", "TRUE", "Gates", "inverted"]

# A literal is 2 × gate, plus 1 where the gate's value is turned over; gate 0 is always 0.
FALSE = 0
TRUE = 1


def inverted(literal: int) -> int:
    """Return the literal of the opposite value."""
    return literal ^ 1


class Gates:
    """Gates of up to four inputs, each after those it reads.

    A gate is kept in one form: its inputs are different, in rising order, not constant and not
    turned over, it depends on all of them, and it is 0 where they are. So gates that are told in
    different ways, and are equal at a glance, are one.
    """

    def __init__(self) -> None:
        self.sources: list[tuple[int, ...]] = [()]
        self.tables: list[int] = [0]
        self._known: dict[tuple[tuple[int, ...], int], int] = {}

    def __len__(self) -> int:
        return len(self.sources)

    def free(self) -> int:
        """Return the literal of a new input, which may have any value."""
        self.sources.append(())
        self.tables.append(0)
        return 2 * (len(self.sources) - 1)

    def is_free(self, gate: int) -> bool:
        return gate > 0 and not self.sources[gate]

    def gate(self, inputs: Sequence[int], table: int) -> int:
        """Return the literal of a gate.

        Parameters
        ----------
        inputs
            Up to four literals.
        table
            Bit a is the gate's value where a is the number that the inputs make, the first in
            the least significant bit.
        """
        sources = sorted({literal >> 1 for literal in inputs} - {0})
        # Where each input comes from: place among the sources, or -1 for a constant.
        places = tuple(
            (sources.index(literal >> 1) if literal >> 1 else -1, literal & 1) for literal in inputs
        )
        kept, table, is_inverted = _canonical(places, len(sources), table)
        reads = tuple(sources[place] for place in kept)
        if not reads:
            return is_inverted
        if table == 0b10 and len(reads) == 1:
            return 2 * reads[0] + is_inverted
        key = (reads, table)
        if key not in self._known:
            self._known[key] = len(self.sources)
            self.sources.append(reads)
            self.tables.append(table)
        return 2 * self._known[key] + is_inverted

    def and_(self, a: int, b: int) -> int:
        return self.gate((a, b), 0b1000)

    def or_(self, a: int, b: int) -> int:
        return self.gate((a, b), 0b1110)

    def xor(self, a: int, b: int) -> int:
        return self.gate((a, b), 0b0110)

    def choose(self, condition: int, if_true: int, if_false: int) -> int:
        return self.gate((if_false, if_true, condition), 0b11001010)

    def majority(self, a: int, b: int, c: int) -> int:
        return self.gate((a, b, c), 0b11101000)

    def cone(self, roots: Sequence[int]) -> list[int]:
        """Return the gates on which the gates ``roots`` depend, and these, in rising order."""
        seen = set(roots)
        waiting = list(seen)
        while waiting:
            for source in self.sources[waiting.pop()]:
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
        return sorted(seen)

    def word(self, gate: int, words: Sequence[int], ones: int) -> int:
        """Return a gate's values on many samples, one for each bit of a word.

        Parameters
        ----------
        words
            Those of the gates it reads, by their numbers.
        ones
            The word of ones alone.
        """
        sources = self.sources[gate]
        value = 0
        for cube in _implicants(self.tables[gate], len(sources)):
            product = ones
            for place, is_one in cube:
                word = words[sources[place]]
                product &= word if is_one else ~word
            value |= product
        return value

    def clauses(self, gate: int) -> list[list[int]]:
        """Return what the gate is, as clauses: of each, one literal at least is 1."""
        sources, table = self.sources[gate], self.tables[gate]
        every = (1 << (1 << len(sources))) - 1
        clauses = []
        for value, entries in ((1, table), (0, every ^ table)):
            for cube in _implicants(entries, len(sources)):
                no_match = [2 * sources[place] + is_one for place, is_one in cube]
                clauses.append([2 * gate + 1 - value, *no_match])
        return clauses


@cache
def _canonical(
    places: tuple[tuple[int, int], ...], n_sources: int, table: int
) -> tuple[tuple[int, ...], int, int]:
    """Return the sources that a table depends on, its entries by them, and if they are inverted."""
    entries = []
    for address in range(1 << n_sources):
        told = 0
        for number, (place, is_turned) in enumerate(places):
            bit = 0 if place < 0 else address >> place & 1
            told |= (bit ^ is_turned) << number
        entries.append(table >> told & 1)
    kept = [
        place
        for place in range(n_sources)
        if any(entries[address] != entries[address ^ 1 << place] for address in range(len(entries)))
    ]
    short = 0
    for address in range(1 << len(kept)):
        full = sum((address >> number & 1) << place for number, place in enumerate(kept))
        short |= (entries[full] ^ entries[0]) << address
    return tuple(kept), short, entries[0]


@cache
def _implicants(table: int, n_inputs: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the prime implicants of a table, each as the values of some of the inputs."""
    cubes: list[tuple[int, int]] = []  # places that count, and their values
    masks = sorted(range(1 << n_inputs), key=int.bit_count)
    for mask in masks:
        for value in range(1 << n_inputs):
            if value & ~mask or any(
                value & wider == held and mask & wider == wider for wider, held in cubes
            ):
                continue
            if all(
                table >> address & 1 for address in range(1 << n_inputs) if address & mask == value
            ):
                cubes.append((mask, value))
    return tuple(
        tuple((place, value >> place & 1) for place in range(n_inputs) if mask >> place & 1)
        for mask, value in cubes
    )
