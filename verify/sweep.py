"""Proofs that signals are equal: from the inputs on, with what is proved used by what follows.

Gates that have equal values on many samples are probably equal. In the order in which gates depend
on each other, each gate of the Verilog is proved equal to those of the netlist that it seems to be
equal to, by a SAT solver that knows all equalities before (Kuehlmann and Krohn 1997: "Equivalence
checking using cuts and heaps"; Mishchenko et al. 2006: "Improvements to combinational equivalence
checking"). So a proof spans a table, an adder's bit or a comparison, and no whole neuron. A sample
on which two gates differ after all, and its neighbours, join the others.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from pysat.solvers import Glucose4

from nomul.verify.gates import Gates

__all__ = ["Verdict", "decide"]

Verdict = Mapping[int, int] | Literal["equal", "open"]
"""``"equal"``: proved. ``"open"``: not decided in the time. Else a counterexample: the values of
the free gates."""

_SAMPLES = 16384
_NEIGHBOURS = 256
_FLIPPED = 3  # each bit of a neighbour differs with a probability of 2**-3

# How often the solver may be wrong before it gives up: gates are cheap to leave, pairs are not.
_GATE_CONFLICTS = 50
_PAIR_CONFLICTS = 1000
_GROWTH = 8


def decide(
    gates: Gates, n_first: int, pairs: Sequence[tuple[int, int]], seconds: float
) -> list[Verdict]:
    """Decide which pairs of literals are equal, whatever the free gates are.

    Parameters
    ----------
    n_first
        The first so many gates are one side, the others the other one.
    seconds
        When to give up.
    """
    sweep = _Sweep(gates, [literal >> 1 for pair in pairs for literal in pair])
    end = time.monotonic() + seconds
    timer = threading.Timer(seconds, sweep.stop)
    timer.start()
    try:
        sweep.merge(n_first, seconds / 2)
        return sweep.verdicts(pairs, end)
    finally:
        timer.cancel()
        timer.join()  # it may be stopping the solver
        sweep.close()


class _Sweep:
    def __init__(self, gates: Gates, roots: Sequence[int]) -> None:
        self._gates = gates
        self._cone = gates.cone([0, *roots])
        self._free = [gate for gate in self._cone if gates.is_free(gate)]
        self._random = random.Random(0)  # noqa: S311
        self._n_samples = _SAMPLES
        self._words = self._simulated(self._first_samples(), _SAMPLES)
        self._solver = Glucose4()
        self._solver.add_clause([-_variable(0)])
        for gate in self._cone:
            if gates.sources[gate]:
                for clause in gates.clauses(gate):
                    self._solver.add_clause(list(map(_signed, clause)))

    def stop(self) -> None:
        """Let the proof that is being tried, and all later ones, fail."""
        self._solver.interrupt()

    def close(self) -> None:
        self._solver.delete()

    def merge(self, n_first: int, seconds: float) -> None:
        """Prove gates of the one side equal to gates of the other, where that is easy."""
        end = time.monotonic() + seconds
        classes = defaultdict(list)
        for gate in self._cone:
            if gate < n_first:
                classes[self._either_way(gate)].append(gate)
        alike = {
            gate: classes.get(self._either_way(gate), [])
            for gate in self._cone
            if gate >= n_first and self._gates.sources[gate]
        }
        for gate, others in alike.items():
            for other in others:
                if time.monotonic() > end:
                    return
                # Both are turned over where their first sample is 1.
                a = 2 * gate + (self._words[gate] & 1)
                b = 2 * other + (self._words[other] & 1)
                self._decide(a, b, _GATE_CONFLICTS)

    def verdicts(self, pairs: Sequence[tuple[int, int]], end: float) -> list[Verdict]:
        """Decide all pairs, the easy ones first."""
        verdicts: list[Verdict] = ["open"] * len(pairs)
        left = list(range(len(pairs)))
        conflicts = _PAIR_CONFLICTS
        while left:
            for number in left:
                verdicts[number] = self._decide(*pairs[number], conflicts)
            left = [number for number in left if verdicts[number] == "open"]
            if time.monotonic() > end:
                break
            conflicts *= _GROWTH
        return verdicts

    def _decide(self, a: int, b: int, conflicts: int) -> Verdict:
        """Decide if two literals are equal; if they are, whatever is decided next may use it."""
        if a == b:
            return "equal"
        differing = self._value(a) ^ self._value(b)
        if differing:
            sample = (differing & -differing).bit_length() - 1
            return {gate: self._words[gate] >> sample & 1 for gate in self._free}
        for one, other in ((a, b), (b, a)):
            self._solver.conf_budget(conflicts)
            assumptions = [_signed(one), -_signed(other)]
            answer = self._solver.solve_limited(assumptions=assumptions, expect_interrupt=True)
            if answer is None:
                return "open"
            if answer:
                return self._counterexample()
            self._solver.add_clause([-_signed(one), _signed(other)])
        return "equal"

    def _counterexample(self) -> Verdict:
        """Return the free gates' values that the solver found, and make samples of them."""
        model = self._solver.get_model()
        values = {gate: int(model[_variable(gate) - 1] > 0) for gate in self._free}
        ones = (1 << _NEIGHBOURS) - 1
        samples = {}
        for gate, value in values.items():
            flips = ones - 1  # not of the first one
            for _ in range(_FLIPPED):
                flips &= self._random.getrandbits(_NEIGHBOURS)
            samples[gate] = (ones if value else 0) ^ flips
        for gate, word in enumerate(self._simulated(samples, _NEIGHBOURS)):
            self._words[gate] |= word << self._n_samples
        self._n_samples += _NEIGHBOURS
        return values

    def _first_samples(self) -> dict[int, int]:
        """Return random samples: half even, a quarter each with few ones and with few zeros."""
        quarter, bits = _SAMPLES // 4, self._random.getrandbits
        samples = {}
        for gate in self._free:
            rare = bits(quarter) & bits(quarter) & bits(quarter)
            often = bits(quarter) | bits(quarter) | bits(quarter)
            samples[gate] = bits(2 * quarter) | rare << 2 * quarter | often << 3 * quarter
        return samples

    def _simulated(self, samples: Mapping[int, int], n_samples: int) -> list[int]:
        """Return the words of all gates; of those that nothing needs, 0."""
        words = [0] * len(self._gates)
        ones = (1 << n_samples) - 1
        for gate in self._cone:
            words[gate] = samples[gate] if gate in samples else self._gates.word(gate, words, ones)
        return words

    def _value(self, literal: int) -> int:
        word = self._words[literal >> 1]
        return word ^ ((1 << self._n_samples) - 1) if literal & 1 else word

    def _either_way(self, gate: int) -> int:
        """Return the gate's samples, turned over where the first is 1."""
        return self._value(2 * gate + (self._words[gate] & 1))


def _variable(gate: int) -> int:
    return gate + 1  # the solver's count from 1


def _signed(literal: int) -> int:
    """Return a literal as the solver writes it."""
    variable = _variable(literal >> 1)
    return -variable if literal & 1 else variable
