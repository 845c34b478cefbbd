"""The logic of a whole iCE40 chip between its serial pins: of a mapped netlist, of a bitstream.

Of what is not modelled here there is no logic, and the chip is left to :mod:`nomul.sim.chip`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nomul.sim.cells import FlipFlop, Lookup, UnknownCell, model
from nomul.sim.chip import Pins

__all__ = ["ChipLogic", "decoded_logic", "netlist_logic"]

_CONSTANTS = {"0": 0, "1": 1, "1'b0": 0, "1'b1": 1}
_NAME = r"[A-Za-z_]\w*"
_NET = rf"1'b[01]|\b[01]\b|{_NAME}"
_FORMS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "none": r"(module .*|endmodule|(input|output|inout|wire) \w+;|reg \w+ = 0;)?",
        "pad": rf"assign (?P<q>{_NAME}) = (?P<e>{_NET}) \? (?P<d>{_NET}) : 1'bz;",
        "table": rf"assign (?P<q>{_NAME}) += (?P<d>[\w'()!&|?: ]+);",
        "flip-flop": rf"always @\(posedge (?P<c>{_NAME})\) if \((?P<e>{_NET})\) "
        rf"(?P<q>{_NAME}) <= (?P<r>{_NET}) \? 1'b(?P<to>[01]) : (?P<d>{_NET});",
    }.items()
}
_TOKEN = re.compile(rf"{_NET}|[()!&|?:]")
_COMMENT = re.compile(r"//.*|/\*.*?\*/ ?")
# What each of a table's inputs is at its 16 addresses.
_INPUTS = (0xAAAA, 0xCCCC, 0xF0F0, 0xFF00)
_ALL = 0xFFFF


@dataclass(frozen=True)
class ChipLogic:
    """Cells of one clock, from one pin to another.

    Attributes
    ----------
    cells
        Their nets are numbers, of which 0 and 1 are the constants.
    rx, tx
        The nets of the pins.
    """

    cells: tuple[Lookup | FlipFlop, ...]
    rx: int
    tx: int


class _NotModelled(Exception):
    """A line of Verilog, or a part of it, has another form than those known."""


def netlist_logic(netlist: Path, pins: Pins) -> ChipLogic | None:
    """Return the logic of a mapped netlist of iCE40.

    None if something in it is not modelled: a RAM, a cell of another kind than known, a flip-flop
    of another clock than the pin's, logic that reads the clock.

    Parameters
    ----------
    netlist
        What yosys' ``write_json`` wrote, with the module ``top``.
    """
    module = json.loads(netlist.read_text())["modules"]["top"]
    rx, tx, clock = (module["ports"][name]["bits"][0] for name in (pins.rx, pins.tx, pins.clock))
    cells = module["cells"].values()
    buses = [port["bits"] for port in module["ports"].values()]
    buses += [bits for cell in cells for bits in cell["connections"].values()]
    new_nets = itertools.count(1 + max(_net(bit) for bits in buses for bit in bits))
    lookups: list[Lookup] = []
    flip_flops: list[FlipFlop] = []
    clocks: set[int] = set()
    for cell in cells:
        nets = {port: _net(bits[0]) for port, bits in cell["connections"].items() if bits}
        try:
            parts = model(cell["type"], cell["parameters"], nets, new_nets.__next__)
        except UnknownCell:
            return None
        # Net 0 is an output that is not connected.
        for part in parts:
            if isinstance(part, Lookup):
                lookups += [part] if part.output else []
            elif part.q:
                flip_flops.append(part)
                clocks.add(nets.get("C", 0))
    # The clock goes through a pad, and a buffer; nothing else may read it.
    tree = {clock}
    for _ in range(2):
        buffers = (part for part in lookups if part.table == _INPUTS[0])
        tree |= {part.output for part in buffers if part.inputs[0] in tree}
    others = [part for part in lookups if part.output not in tree]
    logic: tuple[Lookup | FlipFlop, ...] = (*others, *flip_flops)
    reads = {tx, *(net for part in logic for net in part.inputs)}
    if tree & reads or not clocks <= tree:
        return None
    return ChipLogic(logic, rx, tx)


def _net(bit: int | str) -> int:
    """Return the number of a net; x is taken to be 0."""
    return bit if isinstance(bit, int) else int(bit == "1")


def decoded_logic(verilog: str, pins: Pins) -> ChipLogic | None:
    """Return the logic of what ``icebox_vlog`` read from a bitstream.

    None if something in it is not modelled: a RAM, a line of another form than known, another
    clock than the pin's, logic that reads the clock.
    """
    nets = defaultdict(itertools.count(2).__next__, _CONSTANTS)
    lines = (_COMMENT.sub("", line).strip() for line in verilog.splitlines())
    try:
        cells = tuple(cell for line in lines for cell in _cells(line, nets, pins.clock))
    except _NotModelled:
        return None
    if pins.clock in nets:
        return None
    return ChipLogic(cells, nets[pins.rx], nets[pins.tx])


def _cells(line: str, nets: defaultdict[str, int], clock: str) -> Iterator[Lookup | FlipFlop]:
    """Yield what a line stands for: a cell, or nothing."""
    matches = ((kind, form.fullmatch(line)) for kind, form in _FORMS.items())
    kind, found = next(((kind, found) for kind, found in matches if found), ("", None))
    if found is None or (kind == "flip-flop" and found["c"] != clock):
        raise _NotModelled
    if kind == "flip-flop":
        enable, override, d, q = (nets[found[part]] for part in "erdq")
        sides = (0, override) if found["to"] == "1" else (override, 0)
        yield FlipFlop(d, q, enable, *sides)
    elif kind == "pad":
        yield _lookup(f"{found['e']} & {found['d']}", nets, found["q"])
    elif kind == "table":
        yield _lookup(found["d"], nets, found["q"])


def _lookup(text: str, nets: defaultdict[str, int], output: str) -> Lookup:
    """Return an expression of four nets at most as a table."""
    tokens = _TOKEN.findall(text)
    names = sorted({token for token in tokens if re.fullmatch(_NAME, token)})
    if len(names) > len(_INPUTS) or "".join(tokens) != text.replace(" ", ""):
        raise _NotModelled
    values = {name: bit * _ALL for name, bit in _CONSTANTS.items()}
    values |= zip(names, _INPUTS, strict=False)
    tokens.reverse()
    table = _choice(tokens, values)
    if tokens:
        raise _NotModelled
    a, b, c, d = [nets[name] for name in names] + [0] * (len(_INPUTS) - len(names))
    return Lookup((a, b, c, d), nets[output], table)


def _choice(tokens: list[str], values: Mapping[str, int]) -> int:
    """Take an expression from the end of ``tokens``, and return its table."""
    condition = _either(tokens, values)
    if tokens[-1:] != ["?"]:
        return condition
    tokens.pop()
    first = _choice(tokens, values)
    _take(tokens, ":")
    return (condition & first) | (~condition & _choice(tokens, values))


def _either(tokens: list[str], values: Mapping[str, int]) -> int:
    found = _both(tokens, values)
    while tokens[-1:] == ["|"]:
        tokens.pop()
        found |= _both(tokens, values)
    return found


def _both(tokens: list[str], values: Mapping[str, int]) -> int:
    found = _single(tokens, values)
    while tokens[-1:] == ["&"]:
        tokens.pop()
        found &= _single(tokens, values)
    return found


def _single(tokens: list[str], values: Mapping[str, int]) -> int:
    first = _take(tokens, "!", "(", *values)
    if first == "!":
        return _single(tokens, values) ^ _ALL
    if first != "(":
        return values[first]
    found = _choice(tokens, values)
    _take(tokens, ")")
    return found


def _take(tokens: list[str], *expected: str) -> str:
    """Take the next token, which must be one of those expected."""
    if tokens[-1:] not in [[token] for token in expected]:
        raise _NotModelled
    return tokens.pop()
