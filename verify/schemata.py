"""Many faults in one Verilog text, of which each run of a simulator chooses one.

A build takes longer than a run: so all faults go into the same design, each behind a multiplexer
that takes the broken signal where the number of the fault is chosen (mutant schemata: Untch,
Offutt and Harrold 1993). The number comes from a file that is read as the simulation begins, and 0
is none of them.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomul.hw.tools import run_tool

__all__ = [
    "SELECTED",
    "Fault",
    "choose",
    "design_faults",
    "read_design",
    "split_design",
    "write_design",
]

Net = int | str
Module = dict[str, Any]

SELECTED = "selected_fault"
"""The signal that chooses: 0 is no fault."""

_CHOICE = "fault.hex"
_READ = """read_verilog {name}
hierarchy -top top
proc
flatten
opt_expr
opt_clean
opt_dff
opt_clean
memory_collect
write_json {out}
"""
# A fault may take a register from its signal, and with it the start that is written there.
_SPLIT = """read_json choice.json
setattr -unset init w:*
techmap
simplemap
dfflegalize -cell $_DFF_P_ x
simplemap
opt_clean
setundef -undriven -anyseq
delete t:$scopeinfo
write_json split.json
"""


@dataclass(frozen=True)
class Fault:
    """A place in a design, and what is wrong there.

    Attributes
    ----------
    kind
        Such as ``"dropped stall"``.
    place
        A signal, and its bit or what happens to it.
    apply
        Adds the fault to an editor's module; it acts where the net given is 1.
    """

    kind: str
    place: str
    apply: Callable[[_Editor, Net], None]


def read_design(verilog: str, folder: Path) -> Module:
    """Return the module ``top`` as yosys' word-level cells, in one level."""
    (folder / "whole.v").write_text(verilog)
    (folder / "read.ys").write_text(_READ.format(name="whole.v", out="whole.json"))
    run_tool("yosys", ["-q", "-l", "read.log", "read.ys"], folder, "read.log")
    module: Module = json.loads((folder / "whole.json").read_text())["modules"]["top"]
    return module


def write_design(module: Module, faults: Sequence[Fault], folder: Path) -> str:
    """Return the Verilog of ``module`` with all faults; :func:`choose` chooses one for a run."""
    editor = _Editor(module)
    width = len(faults).bit_length()
    selected: list[Net] = editor.new(width)
    for number, fault in enumerate(faults, 1):
        fault.apply(editor, editor.is_number(selected, number))
    editor.module["netnames"][SELECTED] = {"hide_name": 0, "bits": selected, "attributes": {}}
    (folder / "broken.json").write_text(json.dumps({"modules": {"top": editor.module}}))
    (folder / "write.ys").write_text("read_json broken.json\nwrite_verilog -noattr broken.v\n")
    run_tool("yosys", ["-q", "-l", "write.log", "write.ys"], folder, "write.log")
    text = (folder / "broken.v").read_text()
    declared = re.compile(rf"^  wire (\[\d+:0\])? ?{SELECTED};$", re.MULTILINE)
    assert len(declared.findall(text)) == 1, "the number is declared once"
    choice = (folder / _CHOICE).resolve()
    return declared.sub(
        f"  reg [{width - 1}:0] {SELECTED}_file [0:0];\n"
        f'  initial $readmemh("{choice}", {SELECTED}_file);\n'
        f"  wire [{width - 1}:0] {SELECTED} = {SELECTED}_file[0];",
        text,
    )


def split_design(folder: Path) -> Module:
    """Return the design that :func:`write_design` left as gates, registers and memories.

    The number of the fault is an input port, :data:`SELECTED`.
    """
    design = json.loads((folder / "broken.json").read_text())
    top = design["modules"]["top"]
    top["ports"][SELECTED] = {"direction": "input", "bits": top["netnames"][SELECTED]["bits"]}
    (folder / "choice.json").write_text(json.dumps(design))
    (folder / "split.ys").write_text(_SPLIT)
    run_tool("yosys", ["-q", "-l", "split.log", "split.ys"], folder, "split.log")
    module: Module = json.loads((folder / "split.json").read_text())["modules"]["top"]
    return module


def choose(number: int, folder: Path) -> None:
    """Choose the fault of that number, from 1 on, for the runs that begin from now on."""
    (folder / _CHOICE).write_text(f"{number:x}\n")


class _Editor:
    """Adds cells to a copy of a module."""

    def __init__(self, module: Module) -> None:
        self.module: Module = json.loads(json.dumps(module))
        self.cells: dict[str, Any] = self.module["cells"]
        pins = [bits for cell in self.cells.values() for bits in cell["connections"].values()]
        pins += [port["bits"] for port in self.module["ports"].values()]
        bits = [net for own in pins for net in own]
        self._nets = itertools.count(1 + max(net for net in bits if isinstance(net, int)))

    def new(self, width: int) -> list[Net]:
        return [next(self._nets) for _ in range(width)]

    def cell(self, kind: str, output: str, made: list[Net], **inputs: Sequence[Net]) -> list[Net]:
        """Add a cell that drives ``made``, with parameters as yosys has them."""
        if kind in ("$mux", "$dff", "$dffe"):
            parameters = {"WIDTH": len(made)}
            if kind != "$mux":
                parameters |= {"CLK_POLARITY": 1, "EN_POLARITY": 1}
        else:
            parameters = {f"{output}_WIDTH": len(made)}
            for name, bits in inputs.items():
                parameters |= {f"{name}_WIDTH": len(bits), f"{name}_SIGNED": 0}
        self.cells[f"$fault${len(self.cells)}"] = {
            "hide_name": 1,
            "type": kind,
            "parameters": {name: f"{value:032b}" for name, value in parameters.items()},
            "attributes": {},
            "port_directions": {**dict.fromkeys(inputs, "input"), output: "output"},
            "connections": {**{name: list(bits) for name, bits in inputs.items()}, output: made},
        }
        return made

    def is_number(self, bits: Sequence[Net], number: int) -> Net:
        constant = [str(number >> place & 1) for place in range(len(bits))]
        return self.cell("$eq", "Y", self.new(1), A=bits, B=constant)[0]

    def turned(self, bits: Sequence[Net]) -> list[Net]:
        return self.cell("$not", "Y", self.new(len(bits)), A=bits)

    def pins(self, cell: str, port: str) -> list[Net]:
        found: list[Net] = self.cells[cell]["connections"][port]
        return found

    def misread(self, cell: str, port: str, places: slice, wrong: Sequence[Net], hit: Net) -> None:
        """Let an input port read ``wrong`` where ``hit`` is 1."""
        pins = self.pins(cell, port)
        made = self.new(len(wrong))
        pins[places] = self.cell("$mux", "Y", made, A=pins[places], B=wrong, S=[hit])

    def detached(self, cell: str, port: str, places: slice) -> tuple[list[Net], list[Net]]:
        """Give an output port new nets; return the old ones, which nothing drives, and the new."""
        pins = self.pins(cell, port)
        old = list(pins[places])
        pins[places] = self.new(len(old))
        return old, list(pins[places])

    def drive(self, old: list[Net], new: Sequence[Net], wrong: Sequence[Net], hit: Net) -> None:
        self.cell("$mux", "Y", old, A=new, B=wrong, S=[hit])


def design_faults(module: Module, *, is_feed_forward: bool) -> Iterator[Fault]:
    """Yield the faults of each cell of a design.

    Parameters
    ----------
    is_feed_forward
        No register depends on itself: then each may be left out.
    """
    names: dict[int, str] = {}
    named = module["netnames"].items()
    for name, net in sorted(named, key=lambda item: (item[1]["hide_name"], len(item[0]))):
        for place, bit in enumerate(net["bits"]):
            if isinstance(bit, int):
                names.setdefault(bit, f"{name}[{place}]" if len(net["bits"]) > 1 else name)
    readers = {
        net
        for cell in module["cells"].values()
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "input"
        for net in bits
    } | {net for p in module["ports"].values() if p["direction"] == "output" for net in p["bits"]}
    registers: dict[str, str] = {}
    for name, cell in module["cells"].items():
        kind, pins = cell["type"], cell["connections"]
        output = pins.get("Q") or pins.get("Y")
        if kind.startswith(("$mem", "$scopeinfo", "$print", "$check")) or output is None:
            continue
        signal = names[output[-1]]
        if "dff" in kind:
            registers[re.sub(r"\[\d+\]$", "", signal)] = name
            yield from _register_faults(name, cell, signal, is_feed_forward)
        else:
            yield from _logic_faults(name, cell, signal, names, readers)
    yield from _swapped(module, registers)


def _register_faults(
    name: str, cell: Module, signal: str, is_feed_forward: bool
) -> Iterator[Fault]:
    pins, whole = cell["connections"], slice(None)
    if "EN" in pins:
        active = str(int(cell["parameters"]["EN_POLARITY"], 2))
        stuck = "01"[active == "0"]

        def enabled(editor: _Editor, hit: Net, level: str = active) -> None:
            editor.misread(name, "EN", whole, [level], hit)

        yield Fault("dropped stall", f"{signal} moves in each cycle", enabled)
        yield Fault("stuck register", f"{signal} never moves", lambda e, h: enabled(e, h, stuck))

    def late(editor: _Editor, hit: Net) -> None:
        old, new = editor.detached(name, "Q", whole)
        controls = {"CLK": pins["CLK"]}
        kind = "$dff"
        if "EN" in pins and cell["parameters"]["EN_POLARITY"].endswith("1"):
            controls["EN"], kind = editor.pins(name, "EN"), "$dffe"
        wrong = editor.cell(kind, "Q", editor.new(len(new)), D=new, **controls)
        editor.drive(old, new, wrong, hit)

    def early(editor: _Editor, hit: Net) -> None:
        old, new = editor.detached(name, "Q", whole)
        editor.drive(old, new, editor.pins(name, "D"), hit)

    yield Fault("off-by-one latency", f"{signal}, one register more", late)
    if is_feed_forward:
        yield Fault("off-by-one latency", f"{signal}, one register less", early)


def _logic_faults(
    name: str, cell: Module, signal: str, names: dict[int, str], readers: set[Net]
) -> Iterator[Fault]:
    kind, pins = cell["type"], cell["connections"]
    whole = slice(None)
    read = [place for place, net in enumerate(pins["Y"]) if net in readers]
    for place in read:

        def inverted(editor: _Editor, hit: Net, at: slice = slice(place, place + 1)) -> None:
            old, new = editor.detached(name, "Y", at)
            editor.drive(old, new, editor.turned(new), hit)

        yield Fault("inverted bit", names[pins["Y"][place]], inverted)
    if kind in ("$add", "$sub") and len(read) > 1:

        def narrowed(editor: _Editor, hit: Net) -> None:
            old, new = editor.detached(name, "Y", slice(read[-1], read[-1] + 1))
            editor.drive(old, new, ["0"], hit)

        yield Fault("narrowed adder", names[pins["Y"][read[-1]]], narrowed)
    ordered = ("$mux", "$sub", "$lt", "$le", "$gt", "$ge")
    if kind in ordered and len(pins["A"]) == len(pins["B"]):

        def swapped(editor: _Editor, hit: Net) -> None:
            a, b = list(editor.pins(name, "A")), list(editor.pins(name, "B"))
            editor.misread(name, "A", whole, b, hit)
            editor.misread(name, "B", whole, a, hit)

        yield Fault("swapped operands", signal, swapped)
    if kind in ("$and", "$logic_and") and len(pins["Y"]) == 1:
        for port in "AB":

            def dropped(editor: _Editor, hit: Net, own: str = port) -> None:
                editor.misread(name, own, whole, ["1"] * len(pins[own]), hit)

            what = ", ".join(names.get(net, str(net)) for net in pins[port])
            yield Fault("dropped condition", f"{signal} without {what}", dropped)
    for port in "AB":
        constant = pins.get(port, ())
        if kind not in ("$lt", "$le", "$gt", "$ge", "$eq", "$ne") or not _is_constant(constant):
            continue
        value = sum(int(bit == "1") << place for place, bit in enumerate(constant))
        for other in (value - 1, value + 1):
            wrong = tuple(str(other >> place & 1) for place in range(len(constant)))

            def moved(
                editor: _Editor, hit: Net, own: str = port, bits: Sequence[Net] = wrong
            ) -> None:
                editor.misread(name, own, whole, bits, hit)

            yield Fault("threshold off by one", f"{signal}, {other} for {value}", moved)
    for port in "AB":
        if kind not in ("$mux", "$pmux", "$shiftx", "$bmux") or (kind == "$shiftx" and port == "B"):
            continue
        for place, net in enumerate(pins.get(port, ())):
            if net not in ("0", "1"):
                continue

            def turned(
                editor: _Editor,
                hit: Net,
                own: str = port,
                at: int = place,
                to: str = "01"[net == "0"],
            ) -> None:
                editor.misread(name, own, slice(at, at + 1), [to], hit)

            yield Fault("table bit", f"{signal}, bit {place} of {port}", turned)


def _is_constant(bits: Sequence[Net]) -> bool:
    return bool(bits) and all(isinstance(bit, str) for bit in bits)


def _swapped(module: Module, registers: dict[str, str]) -> Iterator[Fault]:
    """Yield pairs of registers of one name but for a number, 1 more in the second."""
    for signal, name in registers.items():
        for number in re.finditer(r"\d+", signal):
            after = str(int(number[0]) + 1)
            other_signal = signal[: number.start()] + after + signal[number.end() :]
            other = registers.get(other_signal)
            widths = {len(module["cells"][n]["connections"]["Q"]) for n in (name, other or name)}
            if other is None or len(widths) > 1:
                continue

            def swapped(editor: _Editor, hit: Net, a: str = name, b: str = other) -> None:
                old_a, new_a = editor.detached(a, "Q", slice(None))
                old_b, new_b = editor.detached(b, "Q", slice(None))
                editor.drive(old_a, new_a, new_b, hit)
                editor.drive(old_b, new_b, new_a, hit)

            yield Fault("swapped lane", f"{signal} and {other_signal}", swapped)
