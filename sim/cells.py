"""What the cells of iCE40 and ECP5 do: tables of four bits, and flip-flops.

Of pads there are those that boards use here: a pin that is read as it is, and written as it is,
always or while it is enabled; else it is 0.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nomul.network import UserError

__all__ = ["FlipFlop", "Lookup", "UnknownCell", "model"]

_BUFFERED = "GLOBAL_BUFFER_OUTPUT"
_PAD = re.compile("(?P<output>0000|0110|1010)01")
_ICE40_FLIP_FLOP = re.compile("SB_DFF(?P<enable>E?)(?P<set>SR|SS)?")


class UnknownCell(UserError):
    """A netlist holds a cell of which there is no model here."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"The netlist holds a cell {kind}, and its simulation knows none of that kind."
        )


@dataclass(frozen=True)
class Lookup:
    """Bit ``inputs`` of ``table``, the first input the least significant; all are nets."""

    inputs: tuple[int, int, int, int]
    output: int
    table: int


@dataclass(frozen=True)
class FlipFlop:
    """``q`` takes ``d`` at a clock edge; all but the last two are nets, of which 0 and 1 are 0, 1.

    Attributes
    ----------
    clear, preset
        Where ``q`` becomes 0 or 1 instead, at the edge.
    overrides
        Whether they do so without ``enable`` too.
    start
        What ``q`` is before the first edge.
    """

    d: int
    q: int
    enable: int = 1
    clear: int = 0
    preset: int = 0
    overrides: bool = False
    start: int = 0

    @property
    def inputs(self) -> tuple[int, int, int, int]:
        """The nets that it reads."""
        return (self.d, self.enable, self.clear, self.preset)


def _table(function: Callable[[int, int, int, int], int]) -> int:
    """Return a function of four bits as a table."""
    addresses = itertools.product((0, 1), repeat=4)
    return sum((function(*bits[::-1]) & 1) << place for place, bits in enumerate(addresses))


_MAJORITY = _table(lambda a, b, c, _: int(a + b + c >= 2))
_CHOICE = _table(lambda a, b, c, _: b if c else a)
_PARITY = _table(lambda a, b, _c, _d: a ^ b)
_BOTH = _table(lambda a, b, _c, _d: a & b)
_SAME = _table(lambda a, _b, _c, _d: a)
_INVERSE = _table(lambda a, _b, _c, _d: 1 - a)
_CARRY = _table(lambda propagated, generated, carry, _: carry if propagated else generated)


def model(
    kind: str,
    parameters: Mapping[str, str],
    nets: Mapping[str, int],
    new_net: Callable[[], int],
) -> list[Lookup | FlipFlop]:
    """Return what a cell does.

    Parameters
    ----------
    kind
        Its type, as yosys names it.
    nets
        What its ports are connected to; a port that is not is 0.
    new_net
        Gives a net that nothing else has.

    Raises
    ------
    UnknownCell
        If no such cell is known: a memory, a latch, a flip-flop that falling edges or no edges
        set.
    """

    def at(port: str) -> int:
        return nets.get(port, 0)

    pin_type = parameters.get("PIN_TYPE", "")
    if kind == "SB_LUT4":
        table = int(parameters["LUT_INIT"], 2)
        return [Lookup((at("I0"), at("I1"), at("I2"), at("I3")), at("O"), table)]
    if kind == "SB_CARRY":
        return [Lookup((at("I0"), at("I1"), at("CI"), 0), at("CO"), _MAJORITY)]
    if found := _ICE40_FLIP_FLOP.fullmatch(kind):
        enable = at("E") if found["enable"] else 1
        return [FlipFlop(at("D"), at("Q"), enable, at("R"), at("S"))]
    if kind == "SB_GB":
        return [Lookup((at("USER_SIGNAL_TO_GLOBAL_BUFFER"), 0, 0, 0), at(_BUFFERED), _SAME)]
    if kind in ("SB_IO", "SB_GB_IO") and (pad := _PAD.fullmatch(pin_type)):
        return _pad(pad["output"], at)
    if kind == "LUT4":
        table = int(parameters["INIT"], 2)
        return [Lookup((at("A"), at("B"), at("C"), at("D")), at("Z"), table)]
    if kind == "PFUMX":
        return [Lookup((at("BLUT"), at("ALUT"), at("C0"), 0), at("Z"), _CHOICE)]
    if kind == "L6MUX21":
        return [Lookup((at("D0"), at("D1"), at("SD"), 0), at("Z"), _CHOICE)]
    if kind == "CCU2C":
        return _carries(parameters, at, new_net)
    usual = parameters.get("SRMODE") != "ASYNC" and parameters.get("CLKMUX", "CLK") == "CLK"
    if kind == "TRELLIS_FF" and usual:
        return _trellis(parameters, at, new_net)
    if kind == "$scopeinfo":
        return []
    raise UnknownCell(kind)


def _pad(output: str, at: Callable[[str], int]) -> list[Lookup | FlipFlop]:
    """Return an iCE40's pad, of which the pin is written or read."""
    pin = at("PACKAGE_PIN")
    if output != "0000":
        enable = at("OUTPUT_ENABLE") if output == "1010" else 1
        return [Lookup((at("D_OUT_0"), enable, 0, 0), pin, _BOTH)]
    outputs = [net for net in (at("D_IN_0"), at(_BUFFERED)) if net]
    return [Lookup((pin, 0, 0, 0), net, _SAME) for net in outputs]


def _carries(
    parameters: Mapping[str, str], at: Callable[[str], int], new_net: Callable[[], int]
) -> list[Lookup | FlipFlop]:
    """Return two bits of an ECP5's carry chain.

    Each adds the carry to a table of its four inputs, and gives on either the carry or, where the
    table has 0, what the table's lowest four entries have for two of the inputs. ``INJECT1`` takes
    the place of both by 0.
    """
    carry = at("CIN")
    cells: list[Lookup | FlipFlop] = []
    for bit in (0, 1):
        inputs = tuple(at(f"{name}{bit}") for name in "ABCD")
        table = int(parameters[f"INIT{bit}"], 2)
        propagated, generated, following = new_net(), new_net(), new_net()
        injects = parameters[f"INJECT1_{bit}"] == "YES"
        lowest = 0 if injects else table & 0xF
        a, b, c, d = inputs
        cells += [
            Lookup((a, b, c, d), propagated, table),
            Lookup((a, b, 0, 0), generated, lowest),
            Lookup((propagated, 0 if injects else carry, 0, 0), at(f"S{bit}"), _PARITY),
            Lookup((propagated, generated, carry, 0), following, _CARRY),
        ]
        carry = following
    if at("COUT"):
        cells.append(Lookup((carry, 0, 0, 0), at("COUT"), _SAME))
    return [cell for cell in cells if not isinstance(cell, Lookup) or cell.output]


def _trellis(
    parameters: Mapping[str, str], at: Callable[[str], int], new_net: Callable[[], int]
) -> list[Lookup | FlipFlop]:
    """Return an ECP5's flip-flop, whose reset overrides its enable."""
    cells: list[Lookup | FlipFlop] = []

    def control(port: str, choice: str, default: str) -> int:
        # In JSON, yosys tells such a text from a number by a space behind it.
        chosen = parameters.get(choice, default).rstrip()
        if chosen in ("0", "1"):
            return int(chosen)
        if chosen != "INV":
            return at(port)
        cells.append(Lookup((at(port), 0, 0, 0), inverse := new_net(), _INVERSE))
        return inverse

    enable, reset = control("CE", "CEMUX", "CE"), control("LSR", "LSRMUX", "LSR")
    is_set = parameters.get("REGSET") == "SET"
    clear, preset = (0, reset) if is_set else (reset, 0)
    return [*cells, FlipFlop(at("DI"), at("Q"), enable, clear, preset, True, int(is_set))]
