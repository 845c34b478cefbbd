"""A dense layer's products as terms of sums: levels, shifted, or entries of product tables.

``accumulator[o] = offset[o] + sum over the row's terms of sign * (atom << shift)``
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nomul.hw.sharing import Term, signed_digits
from nomul.network import Dense

__all__ = ["Atom", "LayerTerms", "layer_terms"]

TABLE_DIGITS = 3
"""A product of a level and a weight of so many signed digits is looked up, if levels are short.

A table has about as many LUTs as its entries have bits, and each digit but the first an adder.
"""


@dataclass(frozen=True)
class Atom:
    """What is looked up of one input: its level itself, or a column of a product table.

    Attributes
    ----------
    source
        Which input.
    entries
        The value for each level, at least 0; the least is 0 and not all are even.
    """

    source: int
    entries: tuple[int, ...]

    @property
    def is_level(self) -> bool:
        return self.entries == tuple(range(len(self.entries)))


@dataclass(frozen=True)
class LayerTerms:
    """All sums of a layer.

    Attributes
    ----------
    atoms
        What the terms refer to by number.
    rows
        The terms of each neuron.
    offsets
        What is added to each neuron's terms.
    """

    atoms: tuple[Atom, ...]
    rows: tuple[tuple[Term, ...], ...]
    offsets: tuple[int, ...]


def layer_terms(layer: Dense, neurons: Sequence[int], table_bits: int) -> LayerTerms:
    """Return the sums of some neurons of ``layer``.

    Parameters
    ----------
    table_bits
        Address bits of a table that costs one LUT for each bit of its entries.
    """
    columns = [
        _column([int(entry) for entry in column], table_bits) for column in layer.product_table.T
    ]
    numbers: dict[Atom, int] = {}
    rows, offsets = [], []
    for neuron in neurons:
        offset = int(layer.bias[neuron])
        row = []
        for source, weight_index in enumerate(layer.weight_index[neuron]):
            constant, entries, digits = columns[weight_index]
            offset += constant
            for shift, sign in digits:
                number = numbers.setdefault(Atom(source, entries), len(numbers))
                row.append(Term(number, shift, sign))
        rows.append(tuple(row))
        offsets.append(offset)
    return LayerTerms(tuple(numbers), tuple(rows), tuple(offsets))


def _column(
    column: list[int], table_bits: int
) -> tuple[int, tuple[int, ...], list[tuple[int, int]]]:
    """Return constant, entries and digits: ``column = constant + sum of sign * entries << shift``.

    A column of equal entries, such as the products of the weight 0, has no digits.
    """
    levels = tuple(range(len(column)))
    step = column[1] - column[0]
    if all(entry == column[0] + step * level for level, entry in enumerate(column)):
        digits = signed_digits(step)
        if len(digits) < TABLE_DIGITS or (len(column) - 1).bit_length() > table_bits:
            return column[0], levels, digits
    sign = -1 if column[0] > column[-1] else 1
    start = min(column) if sign == 1 else max(column)
    rest = [sign * (entry - start) for entry in column]
    common = math.gcd(*rest)
    shift = (common & -common).bit_length() - 1
    return start, tuple(entry >> shift for entry in rest), [(shift, sign)]
