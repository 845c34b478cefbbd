from __future__ import annotations

import itertools
import random

import pytest

from nomul.verify.gates import FALSE, TRUE, Gates, inverted


def values(gates: Gates, free: list[int]) -> list[int]:
    """Return the words of all gates; bit a of a word is for the free literals that spell a."""
    n = 1 << len(free)
    words = [0] * len(gates)
    for place, literal in enumerate(free):
        words[literal >> 1] = sum((a >> place & 1) << a for a in range(n))
    for gate in range(len(gates)):
        if gates.sources[gate]:
            words[gate] = gates.word(gate, words, (1 << n) - 1)
    return words


def bit(words: list[int], literal: int, address: int) -> int:
    return words[literal >> 1] >> address & 1 ^ literal & 1


@pytest.mark.parametrize("seed", range(50))
def test_a_gate_is_its_table_whatever_its_inputs_are(seed: int) -> None:
    rng = random.Random(seed)
    gates = Gates()
    free = [gates.free() for _ in range(3)]
    choices = [FALSE, TRUE, *free, *map(inverted, free)]
    inputs = [rng.choice(choices) for _ in range(rng.randint(1, 4))]
    table = rng.getrandbits(1 << len(inputs))
    literal = gates.gate(inputs, table)
    words = values(gates, free)
    for address in range(8):
        told = sum(bit(words, source, address) << place for place, source in enumerate(inputs))
        assert bit(words, literal, address) == table >> told & 1


@pytest.mark.parametrize("seed", range(20))
def test_clauses_hold_where_the_gate_has_its_value_and_nowhere_else(seed: int) -> None:
    rng = random.Random(seed)
    gates = Gates()
    free = [gates.free() for _ in range(4)]
    gate = gates.gate(free, rng.getrandbits(16)) >> 1
    words = values(gates, free)
    clauses = gates.clauses(gate)
    for address, value in itertools.product(range(16), (0, 1)):
        held = {literal >> 1: address >> place & 1 for place, literal in enumerate(free)}
        held[gate] = value
        satisfied = all(any(held[x >> 1] ^ x & 1 for x in clause) for clause in clauses)
        assert satisfied == (value == words[gate] >> address & 1)


def test_equal_gates_are_one() -> None:
    gates = Gates()
    a, b = gates.free(), gates.free()
    neither = gates.and_(inverted(a), inverted(b))
    assert inverted(neither) == gates.or_(b, a)
    assert gates.xor(a, inverted(b)) == inverted(gates.xor(b, a))
    assert gates.choose(a, b, b) == b
    assert gates.majority(a, b, FALSE) == gates.and_(a, b)
    assert gates.majority(a, inverted(a), b) == b
    assert gates.gate((a, b), 0b1111) == TRUE


def test_a_cone_is_what_a_gate_depends_on() -> None:
    gates = Gates()
    a, b, c = gates.free(), gates.free(), gates.free()
    both = gates.and_(a, b)
    gates.or_(both, c)
    assert gates.cone([both >> 1]) == [a >> 1, b >> 1, both >> 1]
    assert gates.is_free(a >> 1)
    assert not gates.is_free(both >> 1)
    assert not gates.is_free(FALSE)
