"""Verilog as one side of the formal proof: cells of whole words, read and not yet simplified.

Each is written as its definition reads: an adder is a chain of full adders, a shift a choice for
each bit of the amount. Nothing of this comes from the tool that made the netlist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from nomul.network import UserError
from nomul.verify.gates import FALSE, Gates, inverted
from nomul.verify.module import Bit, Logic, Module, Part

__all__ = ["Words", "word_cell"]


class Words:
    """A Verilog module as yosys reads it; :class:`nomul.verify.mapped.Mapped` has its members.

    A register of which no start is written starts with 0, as the cells of the devices do.

    Raises
    ------
    CheckFailed
        If a register has another clock than the rising edge of ``clk``.
    UserError
        If it holds a cell that is not known; those of the logic are found when it is built.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self._cells: list[tuple[str, Mapping[str, str], dict[str, tuple[int, ...]]]] = []
        self._following: dict[int, int] = {}
        for kind, parameters, ports in module.cells():
            if kind == "$dff":
                module.check_clock(ports.get("CLK", ()), parameters["CLK_POLARITY"])
                self._following.update(zip(ports["Q"], ports["D"], strict=True))
            elif "Y" in ports:
                self._cells.append((kind, parameters, ports))
            elif kind != "$scopeinfo":
                raise _unknown(kind)
        self.starts = {q: module.starts.get(q, 0) for q in self._following}

    def build(
        self, gates: Gates, inputs: Mapping[Bit, int], held: Mapping[int, int]
    ) -> tuple[Logic, dict[int, int]]:
        known = {net: inputs[bit] for bit, net in self.module.ports("input").items()}
        logic = Logic(gates, [_part(gates, *cell) for cell in self._cells], known | dict(held))
        return logic, {q: logic.literal(d) for q, d in self._following.items()}


def _part(
    gates: Gates, kind: str, parameters: Mapping[str, str], ports: dict[str, tuple[int, ...]]
) -> Part:
    read = {port: nets for port, nets in ports.items() if port != "Y"}

    def build(literals: Sequence[int]) -> list[int]:
        told = iter(literals)
        inputs = {port: [next(told) for _ in nets] for port, nets in read.items()}
        return word_cell(gates, kind, parameters, inputs)

    return Part(tuple(net for nets in read.values() for net in nets), ports["Y"], build)


def _unknown(kind: str) -> UserError:
    return UserError(f"The Verilog holds a cell {kind}, and the proof knows none of that kind.")


def word_cell(
    gates: Gates, kind: str, parameters: Mapping[str, str], inputs: Mapping[str, Sequence[int]]
) -> list[int]:
    """Return the literals of a cell's output ``Y``.

    Parameters
    ----------
    kind, parameters
        Type and parameters of the cell, as ``write_json`` writes them.
    inputs
        The literals of each input port, the least significant first.

    Raises
    ------
    UserError
        If no such cell is known.
    """
    a, b = inputs["A"], inputs.get("B", ())
    numbers = {name: int(value, 2) for name, value in parameters.items()}
    width = numbers.get("Y_WIDTH", len(a))
    is_signed = bool(numbers.get("A_SIGNED", 0) and numbers.get("B_SIGNED", 1))
    two: Mapping[str, Callable[[int, int], int]] = {
        "and": gates.and_,
        "or": gates.or_,
        "xor": gates.xor,
    }
    operation = kind.removeprefix("$")
    if operation == "add":
        return _sum(gates, _extended(a, width, is_signed), _extended(b, width, is_signed))
    if operation in two:
        pairs = zip(_extended(a, width, is_signed), _extended(b, width, is_signed), strict=True)
        return [two[operation](x, y) for x, y in pairs]
    if operation == "not":
        return [inverted(x) for x in _extended(a, width, is_signed)]
    if operation == "mux":
        (condition,) = inputs["S"]
        return [gates.choose(condition, y, x) for x, y in zip(a, b, strict=True)]
    if operation == "shr" and not is_signed:
        return _shifted(gates, _extended(a, max(width, len(a)), False), b, width)
    if operation == "gt" and not is_signed:
        return _extended([_exceeds(gates, a, b)], width, False)
    if operation.removeprefix("reduce_") in two and operation not in two:
        return _extended([reduce(two[operation.removeprefix("reduce_")], a)], width, False)
    if operation == "logic_not":
        return _extended([inverted(reduce(gates.or_, a))], width, False)
    raise _unknown(kind)


def _extended(number: Sequence[int], width: int, is_signed: bool) -> list[int]:
    fill = number[-1] if is_signed else FALSE
    return [*number, *[fill] * (width - len(number))][:width]


def _sum(gates: Gates, a: Sequence[int], b: Sequence[int]) -> list[int]:
    total = []
    carry = FALSE
    for x, y in zip(a, b, strict=True):
        total.append(gates.xor(gates.xor(x, y), carry))
        carry = gates.majority(x, y, carry)
    return total


def _exceeds(gates: Gates, a: Sequence[int], b: Sequence[int]) -> int:
    """Return ``a > b``: from the lowest bit on, the higher one decides unless it is equal."""
    width = max(len(a), len(b))
    exceeds = FALSE
    for x, y in zip(_extended(a, width, False), _extended(b, width, False), strict=True):
        exceeds = gates.majority(x, inverted(y), exceeds)
    return exceeds


def _shifted(gates: Gates, a: list[int], amount: Sequence[int], width: int) -> list[int]:
    """Return the low bits of ``a >> amount``; the amount's highest bit chooses first."""
    for place in reversed(range(len(amount))):
        step = 1 << place
        needed = a[: width + step - 1]
        ahead = [*a[step:], *[FALSE] * len(needed)]
        a = [gates.choose(amount[place], y, x) for x, y in zip(needed, ahead, strict=False)]
    return a[:width]
