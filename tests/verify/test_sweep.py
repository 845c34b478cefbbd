from __future__ import annotations

from functools import reduce

from nomul.verify.gates import FALSE, TRUE, Gates, inverted
from nomul.verify.sweep import decide


def chain_sum(gates: Gates, a: list[int], b: list[int], carry: int = FALSE) -> list[int]:
    total = []
    for x, y in zip(a, b, strict=True):
        total.append(gates.xor(gates.xor(x, y), carry))
        carry = gates.majority(x, y, carry)
    return [*total, carry]


def select_sum(gates: Gates, a: list[int], b: list[int]) -> list[int]:
    """Return the sum by halves, of which the upper is chosen from two."""
    half = len(a) // 2
    low = chain_sum(gates, a[:half], b[:half])
    without = chain_sum(gates, a[half:], b[half:])
    with_carry = chain_sum(gates, a[half:], b[half:], TRUE)
    chosen = [gates.choose(low[-1], x, y) for x, y in zip(with_carry, without, strict=True)]
    return [*low[:-1], *chosen]


def product(gates: Gates, a: list[int], b: list[int]) -> list[int]:
    total = [FALSE] * len(a)
    for place, bit in enumerate(b):
        row = [FALSE] * place + [gates.and_(bit, x) for x in a[: len(a) - place]]
        total = chain_sum(gates, total, row)[:-1]
    return total


def free(gates: Gates, n: int) -> list[int]:
    return [gates.free() for _ in range(n)]


def test_two_adders_are_equal_and_their_carries_differ_from_their_sums() -> None:
    gates = Gates()
    a, b = free(gates, 24), free(gates, 24)
    first = chain_sum(gates, a, b)
    n_first = len(gates)
    pairs = list(zip(first, select_sum(gates, a, b), strict=True))
    assert decide(gates, n_first, pairs, 60.0) == ["equal"] * 25
    shifted = [(x, y) for x, (_, y) in zip(first[1:], pairs, strict=False)]
    assert "equal" not in decide(gates, n_first, shifted, 60.0)


def test_a_difference_in_one_of_2_to_the_40_is_found_where_it_is() -> None:
    gates = Gates()
    bits = free(gates, 40)
    value = 0xA5_1234_5678
    n_first = len(gates)
    matches = [bit if value >> place & 1 else inverted(bit) for place, bit in enumerate(bits)]
    (verdict,) = decide(gates, n_first, [(FALSE, reduce(gates.and_, matches))], 60.0)
    assert not isinstance(verdict, str)
    assert sum(verdict[bit >> 1] << place for place, bit in enumerate(bits)) == value


def test_what_differs_everywhere_is_different() -> None:
    gates = Gates()
    a = gates.free()
    one, same, other = decide(gates, len(gates), [(a, inverted(a)), (a, a), (FALSE, TRUE)], 60.0)
    assert not isinstance(one, str)
    assert same == "equal"
    assert not isinstance(other, str)


def test_what_takes_too_long_stays_open() -> None:
    gates = Gates()
    a, b = free(gates, 32), free(gates, 32)
    first = product(gates, a, b)
    n_first = len(gates)
    pairs = list(zip(first, product(gates, b, a), strict=True))
    verdicts = decide(gates, n_first, pairs, 0.5)
    assert verdicts[0] == "equal"
    assert verdicts[-1] == "open"
