"""A node of every kind, with what it gives for all levels of three inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nomul.hw.graph import Builder

__all__ = ["LEVELS", "MAKERS", "N_LEVELS", "A", "B", "C", "Maker", "Three", "bits", "three_inputs"]


class Three(NamedTuple):
    """The inputs' nodes."""

    a: int
    b: int
    c: int


Maker = Callable[[Builder, Three], int]

N_LEVELS = 5
LEVELS = np.array(list(itertools.product(range(N_LEVELS), repeat=3)))
A, B, C = LEVELS.T


def three_inputs(builder: Builder) -> Three:
    return Three(*(builder.input(source, N_LEVELS) for source in range(3)))


def bits(*numbers: int) -> tuple[tuple[int, int], ...]:
    """Return the address of three-bit numbers."""
    return tuple((number, bit) for number in numbers for bit in range(3))


MAKERS: dict[str, tuple[Maker, NDArray[Any]]] = {
    "constant": (lambda g, _: g.constant(9), 0 * A + 9),
    "input": (lambda g, _: g.input(1, N_LEVELS), B),
    "complement": (lambda g, n: g.complement(n.a, "n"), 7 - A),
    "complement of a complement": (
        lambda g, n: g.complement(g.complement(n.a, "n"), "m"),
        A,
    ),
    "complement of a table": (
        lambda g, n: g.complement(g.table(bits(n.a), [3, 1, 4, 1, 5, 9, 2, 6], "t"), "n"),
        15 - np.array([3, 1, 4, 1, 5])[A],
    ),
    "sum": (lambda g, n: g.sum(n.a, n.b, 0, "s"), A + B),
    "shifted sum": (lambda g, n: g.sum(n.a, n.b, 2, "s"), A + 4 * B),
    "sum beyond": (lambda g, n: g.sum(n.a, n.b, 5, "s"), A + 32 * B),
    "sum with itself": (lambda g, n: g.sum(n.a, n.a, 0, "s"), 2 * A),
    "sum with 0 below": (lambda g, n: g.sum(g.constant(0), n.b, 3, "s"), 8 * B),
    "sum with a constant": (lambda g, n: g.sum(g.constant(5), n.b, 1, "s"), 5 + 2 * B),
    "complemented sum": (
        lambda g, n: g.sum(n.a, n.b, 1, "s", complemented=True),
        15 - A - 2 * B,
    ),
    "sum with a carry": (
        lambda g, n: g.sum(n.a, n.b, 0, "s", carry=g.count(n.c, [3], "c")),
        A + B + (C >= 3),
    ),
    "complemented sum with a carry": (
        lambda g, n: g.sum(n.a, n.b, 0, "s", complemented=True, carry=g.count(n.c, [1], "c")),
        15 - A - B - (C >= 1),
    ),
    "sum with a constant carry": (
        lambda g, n: g.sum(n.a, n.b, 0, "s", carry=g.constant(1)),
        A + B + 1,
    ),
    "sum of sums": (lambda g, n: g.sum(g.sum(n.a, n.b, 0, "s"), n.c, 1, "t"), A + B + 2 * C),
    "inverted sum": (lambda g, n: g.inverted(g.sum(n.a, n.b, 0, "s"), "n"), 15 - A - B),
    "sum inverted twice": (
        lambda g, n: g.inverted(g.inverted(g.sum(n.a, n.b, 0, "s"), "n"), "m"),
        A + B,
    ),
    "inverted input": (lambda g, n: g.inverted(n.a, "n"), 7 - A),
    "table of two numbers": (
        lambda g, n: g.table(bits(n.a, n.c), [x * y for y in range(8) for x in range(8)], "t"),
        A * C,
    ),
    "table of bits": (
        lambda g, n: g.table(((n.c, 0), (n.a, 2), (n.b, 1)), [5, 0, 3, 2, 1, 7, 6, 4], "t"),
        np.array([5, 0, 3, 2, 1, 7, 6, 4])[C % 2 + 2 * (A // 4) + 4 * (B // 2 % 2)],
    ),
    "raised input": (lambda g, n: g.raised(n.a, 100, "r"), A + 100),
    "raised table": (
        lambda g, n: g.raised(g.table(bits(n.a), list(range(7, -1, -1)), "t"), 2, "r"),
        9 - A,
    ),
    "count": (lambda g, n: g.count(n.a, [1, 3, 3, 4], "c"), sum(x <= A for x in (1, 3, 3, 4))),
    "count from below": (lambda g, n: g.count(n.a, [-9, 0, 2, 99], "c"), 2 + (A >= 2)),
    "count of all": (lambda g, n: g.count(n.a, [1, 2, 3, 4], "c"), A),
    "greater": (lambda g, n: g.greater(n.a, n.b, "g"), A > B),
    "greater than a constant": (lambda g, n: g.greater(n.a, g.constant(2), "g"), A > 2),
    "a constant is greater": (lambda g, n: g.greater(g.constant(2), n.a, "g"), A < 2),
    "greater than itself": (lambda g, n: g.greater(n.a, n.a, "g"), 0 * A),
    "choice": (
        lambda g, n: g.choice(g.greater(n.a, n.b, "g"), n.a, n.c, "x"),
        np.where(A > B, A, C),
    ),
    "choice of bits": (
        lambda g, n: g.choice(g.greater(n.a, n.b, "g"), g.constant(1), g.constant(0), "x"),
        A > B,
    ),
    "offset": (lambda g, n: g.offset(n.a, -3, 4, "o"), A - 3),
}
