"""Which shared numbers are made complemented.

A pair whose second number is subtracted needs one of the two complemented. An adder gives its
complement for nothing, but not both forms; so each pair is made in one, chosen such that few bits
have to be turned over.
"""

from __future__ import annotations

from collections.abc import Sequence

from nomul.hw.sharing import SharedSums

__all__ = ["polarities"]

_PASSES = 4


def polarities(
    maxima: Sequence[int], sums: SharedSums, looked_up: Sequence[bool]
) -> tuple[int, ...]:
    """Return 1 or -1, made complemented, for each atom and each pair.

    Atoms come as they are: 1. Greedy, one number at a time, until no change saves bits.

    Parameters
    ----------
    maxima
        The greatest value of each atom.
    looked_up
        Whether each pair is a table of the levels themselves, which needs neither of its numbers.
    """
    n_atoms = sums.n_atoms
    widths = [maximum.bit_length() for maximum in maxima]
    spans = list(maxima)
    for pair in sums.pairs:
        spans.append(spans[pair.first] + (spans[pair.second] << pair.shift))
        widths.append(spans[-1].bit_length())
    signs = [1] * len(widths)
    # How often each number is wanted as it is, and complemented.
    wanted = [{1: 0, -1: 0} for _ in widths]

    def want(index: int, sign: int, change: int) -> None:
        if not looked_up[index]:
            pair = sums.pairs[index]
            wanted[pair.first][sign] += change
            wanted[pair.second][sign * pair.sign] += change

    def extra_bits(number: int) -> int:
        return widths[number] if wanted[number][-signs[number]] else 0

    def cost(index: int) -> int:
        pair = sums.pairs[index]
        return sum(extra_bits(n) for n in {pair.first, pair.second, n_atoms + index})

    for index in range(len(sums.pairs)):
        want(index, 1, 1)
    for _ in range(_PASSES):
        changed = False
        for index in reversed(range(len(sums.pairs))):
            number = n_atoms + index
            before = cost(index)
            want(index, signs[number], -1)
            signs[number] = -signs[number]
            want(index, signs[number], 1)
            if cost(index) < before:
                changed = True
                continue
            want(index, signs[number], -1)
            signs[number] = -signs[number]
            want(index, signs[number], 1)
        if not changed:
            break
    return tuple(signs)
