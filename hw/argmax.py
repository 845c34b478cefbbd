"""The arg-max of numbers as nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence

from nomul.hw.graph import Builder

__all__ = ["arg_max"]


def arg_max(builder: Builder, numbers: Sequence[int]) -> int:
    """Return the node of the place of the greatest of ``numbers``, ties to the lowest place.

    A knock-out: neighbours meet, and the right one wins only if it is greater.
    """
    entries = [(number, builder.constant(place)) for place, number in enumerate(numbers)]
    n_rounds = (len(numbers) - 1).bit_length()
    for round_number in range(1, n_rounds + 1):
        winners = []
        for match, (left, right) in enumerate(zip(entries[::2], entries[1::2], strict=False)):
            name = f"arg_max_{round_number}_{match}"
            right_wins = builder.greater(right[0], left[0], f"{name}_right_wins")
            value = builder.choice(right_wins, right[0], left[0], f"{name}_value")
            winners.append((value, builder.choice(right_wins, right[1], left[1], f"{name}_place")))
        entries = winners + entries[2 * len(winners) :]
    return entries[0][1]
