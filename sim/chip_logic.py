"""The logic of a whole iCE40 chip between its serial pins: of a mapped netlist, of a bitstream."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nomul.network import CheckFailed
from nomul.sim.cells import FlipFlop, Lookup, model
from nomul.sim.chip import Pins

__all__ = ["ChipLogic", "decoded_logic", "netlist_logic"]

_RAM = re.compile(r"\b(SB_RAM40_4K\w*|SB_SPRAM256KA)\b")
_FORMS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "none": r"(module .*|endmodule|(input|output|inout|wire) \w+;|reg \w+ = 0;)?",
        "pad": r"assign (?P<q>\w+) = (?P<e>\w+) \? (?P<d>\w+) : 1'bz;",
        "table": r"assign (?P<q>\w+) += (?P<d>[\w'()!&|?: ]+);",
        "flip-flop": r"always @\(posedge (?P<c>\w+)\) if \((?P<e>\S+)\) "
        r"(?P<q>\w+) <= (?P<r>\S+) \? 1'b(?P<to>[01]) : (?P<d>\S+);",
    }.items()
}
_TOKEN = re.compile(r"1'b[01]|\w+|[()!&|?:]")
_COMMENT = re.compile(r"//.*|/\*.*?\*/ ?")
# What each of a table's inputs is at its 16 addresses.
_INPUTS = (0xAAAA, 0xCCCC, 0xF0F0, 0xFF00)
_ALL = 0xFFFF
_CONSTANTS = {"0": 0, "1": 1, "1'b0": 0, "1'b1": 1}


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


def netlist_logic(netlist: Path, pins: Pins) -> ChipLogic | None:
    """Return the logic of a mapped netlist of iCE40; None if there are RAMs in it.

    Parameters
    ----------
    netlist
        What yosys' ``write_json`` wrote, with the module ``top``.

    Raises
    ------
    UserError
        If it holds a cell that is not known.
    CheckFailed
        If a flip-flop has another clock than the pin's.
    """
    module = json.loads(netlist.read_text())["modules"]["top"]
    if any(_RAM.fullmatch(cell["type"]) for cell in module["cells"].values()):
        return None
    rx, tx, clock = (module["ports"][name]["bits"][0] for name in (pins.rx, pins.tx, pins.clock))
    lookups: list[Lookup] = []
    flip_flops: list[FlipFlop] = []
    clocks: dict[int, str] = {}
    for name, cell in module["cells"].items():
        # x is taken to be 0.
        nets = {
            port: bits[0] if isinstance(bits[0], int) else int(bits[0] == "1")
            for port, bits in cell["connections"].items()
            if bits
        }
        for part in model(cell["type"], cell["parameters"], nets, itertools.count().__next__):
            if isinstance(part, Lookup):
                lookups.append(part)
            else:
                flip_flops.append(part)
                clocks.setdefault(nets["C"], name)
    # The clock goes through a pad, and a buffer; nothing else may read it.
    tree = {clock}
    for _ in range(2):
        buffers = (cell for cell in lookups if cell.table == _INPUTS[0])
        tree |= {cell.output for cell in buffers if cell.inputs[0] in tree}
    for net, name in clocks.items():
        if net not in tree:
            raise CheckFailed(f"The netlist's flip-flop {name} has another clock than the pin's.")
    logic = [cell for cell in lookups if cell.output not in tree]
    return ChipLogic((*logic, *flip_flops), rx, tx)


def decoded_logic(verilog: str, pins: Pins) -> ChipLogic | None:
    """Return the logic of what ``icebox_vlog`` read from a bitstream; None if there are RAMs in it.

    Raises
    ------
    CheckFailed
        If it has a line of another form than known, or another clock than the pin's.
    """
    if _RAM.search(verilog):
        return None
    numbers = itertools.count(2)
    nets: dict[str, int] = defaultdict(
        lambda: next(numbers), {"0": 0, "1": 1, "1'b0": 0, "1'b1": 1}
    )
    cells: list[Lookup | FlipFlop] = []
    for line in verilog.splitlines():
        text = _COMMENT.sub("", line).strip()
        kind, found = next(
            ((kind, match) for kind, form in _FORMS.items() if (match := form.fullmatch(text))),
            ("", None),
        )
        if found is None or (kind == "flip-flop" and found["c"] != pins.clock):
            raise CheckFailed(f"The bitstream holds what its simulation does not know: {text}")
        if kind == "flip-flop":
            enable, override, d, q = (nets[found[part]] for part in "erdq")
            sides = (0, override) if found["to"] == "1" else (override, 0)
            cells.append(FlipFlop(d, q, enable, *sides))
        elif kind != "none":
            text = found["d"] if kind == "table" else f"{found['e']} & {found['d']}"
            cells.append(_lookup(text, nets, found["q"]))
    return ChipLogic(tuple(cells), nets[pins.rx], nets[pins.tx])


def _lookup(text: str, nets: Mapping[str, int], output: str) -> Lookup:
    """Return an expression of four nets at most as a table."""
    tokens = _TOKEN.findall(text)
    names = sorted({token for token in tokens if token[0].isalpha()})
    assert len(names) <= len(_INPUTS), "the inputs of a logic cell"
    values = {name: bit * _ALL for name, bit in _CONSTANTS.items()}
    values |= zip(names, _INPUTS, strict=False)
    tokens.reverse()
    table = _choice(tokens, values)
    assert not tokens, "an expression is one"
    a, b, c, d = [nets[name] for name in names] + [0] * (len(_INPUTS) - len(names))
    return Lookup((a, b, c, d), nets[output], table)


def _choice(tokens: list[str], values: Mapping[str, int]) -> int:
    """Take an expression from the end of ``tokens``, and return its table."""
    condition = _either(tokens, values)
    if tokens[-1:] != ["?"]:
        return condition
    tokens.pop()
    first = _choice(tokens, values)
    tokens.pop()
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
    first = tokens.pop()
    if first == "!":
        return _single(tokens, values) ^ _ALL
    if first != "(":
        return values[first]
    found = _choice(tokens, values)
    tokens.pop()
    return found
