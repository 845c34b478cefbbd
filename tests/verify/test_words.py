from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from nomul.network import CheckFailed, UserError
from nomul.verify.gates import TRUE, Gates, inverted
from nomul.verify.module import Module
from nomul.verify.words import Words, word_cell
from tests.verify.test_gates import bit, values


def evaluated(kind: str, widths: dict[str, int], y: int, *, signed: bool) -> dict[int, int]:
    """Return ``Y`` by the number that all inputs spell, the first port lowest."""
    gates = Gates()
    inputs = {port: [gates.free() for _ in range(width)] for port, width in widths.items()}
    parameters = {f"{port}_SIGNED": str(int(signed)) for port in widths}
    parameters |= {f"{port}_WIDTH": format(width, "b") for port, width in widths.items()}
    if kind != "$mux":
        parameters["Y_WIDTH"] = format(y, "b")
    literals = word_cell(gates, kind, parameters, inputs)
    assert len(literals) == y
    free = [literal for port in inputs.values() for literal in port]
    words = values(gates, free)
    return {
        address: sum(
            bit(words, literal, address) << place for place, literal in enumerate(literals)
        )
        for address in range(1 << len(free))
    }


def as_signed(number: int, width: int) -> int:
    return number - (number >> width - 1 << width)


TWO: dict[str, Callable[[int, int], int]] = {
    "$add": lambda a, b: a + b,
    "$and": lambda a, b: a & b,
    "$or": lambda a, b: a | b,
    "$xor": lambda a, b: a ^ b,
}


@pytest.mark.parametrize("kind", TWO)
@pytest.mark.parametrize(("a", "b", "y"), [(1, 1, 2), (3, 2, 4), (2, 4, 3), (3, 3, 6)])
@pytest.mark.parametrize("signed", [False, True])
def test_operations_on_two_words(kind: str, a: int, b: int, y: int, signed: bool) -> None:
    found = evaluated(kind, {"A": a, "B": b}, y, signed=signed)
    for left, right in itertools.product(range(1 << a), range(1 << b)):
        numbers = (as_signed(left, a), as_signed(right, b)) if signed else (left, right)
        assert found[left | right << a] == TWO[kind](*numbers) % (1 << y)


ONE: dict[str, Callable[[int], int]] = {
    "$not": lambda a: ~a,
    "$reduce_and": lambda a: int(a == 7),
    "$reduce_or": lambda a: int(a > 0),
    "$reduce_xor": lambda a: a.bit_count() % 2,
    "$logic_not": lambda a: int(a == 0),
}


@pytest.mark.parametrize("kind", ONE)
@pytest.mark.parametrize("y", [1, 2, 4])
def test_operations_on_one_word(kind: str, y: int) -> None:
    found = evaluated(kind, {"A": 3}, y, signed=False)
    assert found == {a: ONE[kind](a) % (1 << y) for a in range(8)}


@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 3), (4, 2), (2, 4)])
def test_a_comparison(a: int, b: int) -> None:
    found = evaluated("$gt", {"A": a, "B": b}, 1, signed=False)
    for left, right in itertools.product(range(1 << a), range(1 << b)):
        assert found[left | right << a] == int(left > right)


@pytest.mark.parametrize(("a", "b", "y"), [(8, 3, 1), (5, 3, 2), (3, 1, 3), (2, 3, 4)])
def test_a_shift(a: int, b: int, y: int) -> None:
    found = evaluated("$shr", {"A": a, "B": b}, y, signed=False)
    for number, amount in itertools.product(range(1 << a), range(1 << b)):
        assert found[number | amount << a] == (number >> amount) % (1 << y)


def test_a_choice() -> None:
    found = evaluated("$mux", {"A": 2, "B": 2, "S": 1}, 2, signed=False)
    for a, b, s in itertools.product(range(4), range(4), range(2)):
        assert found[a | b << 2 | s << 4] == (b if s else a)


@pytest.mark.parametrize("kind", ["$mul", "$reduce_not", "$and_"])
def test_another_cell_is_named(kind: str) -> None:
    gates = Gates()
    with pytest.raises(UserError, match="and the proof knows none of that kind"):
        word_cell(gates, kind, {}, {"A": [gates.free()], "B": [gates.free()]})


def cell(kind: str, **connections: list[int]) -> dict[str, object]:
    return {"type": kind, "parameters": {}, "connections": connections}


def test_a_module_has_logic_and_registers() -> None:
    register = cell("$dff", Q=[5], D=[4], CLK=[9]) | {"parameters": {"CLK_POLARITY": "1"}}
    cells = {"r": register, "n": cell("$not", A=[5], Y=[4])}
    ports = {name: {"direction": "input", "bits": [net]} for name, net in (("i", 2), ("clk", 9))}
    signals = {"r": {"hide_name": 0, "bits": [5], "attributes": {"init": "1"}}}
    words = Words(Module({"ports": ports, "cells": cells, "netnames": signals}))
    assert words.starts == {5: 1}
    gates = Gates()
    held = gates.free()
    logic, following = words.build(gates, {("i", 0): TRUE, ("clk", 0): TRUE}, {5: held})
    assert following == {5: inverted(held)}
    assert logic.literal(2) == TRUE
    falling = register | {"parameters": {"CLK_POLARITY": "0"}}
    with pytest.raises(CheckFailed, match="another clock"):
        Words(Module({"ports": ports, "cells": {"r": falling}, "netnames": signals}))


def test_a_module_with_a_latch_is_refused() -> None:
    latch = cell("$dlatch", Q=[5], D=[4])
    with pytest.raises(UserError) as error:
        Words(Module({"ports": {}, "cells": {"l": latch}, "netnames": {}}))
    assert str(error.value) == (
        "The Verilog holds a cell $dlatch, and the proof knows none of that kind."
    )
