"""Both ends of a stream, for benches: what offers words, and what takes them.

A word is a string of binary digits, as it lies in the payload.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

__all__ = ["Driver", "FaultError", "Monitor", "bursts"]

COMPLEMENT = str.maketrans("01", "10")


class FaultError(Exception):
    """The hardware breaks the rules of its streams, or does not keep its timing."""


def bursts(rng: random.Random, longest: int) -> Iterator[bool]:
    """Yield pauses and their ends, cycle by cycle: half of the bursts are short ones."""
    while True:
        for pausing in (True, False):
            length = rng.randint(1, rng.choice((3, longest)))
            yield from (pausing for _ in range(length))


class Driver:
    """Offers word after word at ``i``, each held until it is taken.

    In every cycle :meth:`drive` comes first and, once all has settled, :meth:`takes`.
    """

    def __init__(self, dut: Any, words: list[str], pauses: Iterator[bool]) -> None:
        self.dut = dut
        self.words = words
        self.pauses = pauses
        self.n_taken = 0
        self.offering = False

    def drive(self) -> None:
        if self.offering:
            return
        self.offering = self.n_taken < len(self.words) and not next(self.pauses)
        self.dut.i__valid.value = int(self.offering)
        if self.offering:
            self.dut.i__payload.value = self.words[self.n_taken]
        else:
            # Nobody may look at it: so it is as wrong as can be.
            last = self.words[self.n_taken - 1]
            self.dut.i__payload.value = last.translate(COMPLEMENT)

    def takes(self) -> bool:
        """Tell whether the word on offer is transferred at the coming edge."""
        if not (self.offering and digit(self.dut.i__ready)):
            return False
        self.offering = False
        self.n_taken += 1
        return True


class Monitor:
    """Takes words at ``o``, and sees to it that those on offer are held.

    In every cycle :meth:`drive` comes first and, once all has settled, :meth:`gives`. A patient
    monitor is ready only once something was on offer: it finds a valid that waits for ready.
    """

    def __init__(self, dut: Any, pauses: Iterator[bool], *, patient: bool) -> None:
        self.dut = dut
        self.pauses = pauses
        self.n_given = 0
        self.ready = False
        self.held: str | None = None
        self.awaiting_offer = patient

    def drive(self) -> None:
        self.ready = not self.awaiting_offer and not next(self.pauses)
        self.dut.o__ready.value = int(self.ready)

    def gives(self) -> str | None:
        """Return the word that is transferred at the coming edge, if one is."""
        word = str(self.dut.o__payload.value) if digit(self.dut.o__valid) else None
        if self.held is not None and word != self.held:
            broken = "o__valid fell" if word is None else "o__payload changed"
            raise FaultError(
                f"{broken} before output {self.n_given} was taken, where both must hold"
            )
        if word is not None:
            self.awaiting_offer = False
        if not self.ready:
            self.held = word
            return None
        self.held = None
        self.n_given += word is not None
        return word


def digit(handle: Any) -> bool:
    """Return the value of a port of one bit.

    Raises
    ------
    FaultError
        If it is neither 0 nor 1.
    """
    value = str(handle.value)
    if value not in ("0", "1"):
        raise FaultError(f"{handle._name} is {value} after reset, where it must be 0 or 1")
    return value == "1"
