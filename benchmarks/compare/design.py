"""A design to be measured: its Verilog, and how samples go in and answers come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nomul.hw.area import Area, Target, measure_area
from nomul.network import CheckFailed
from nomul.sim.circuit import Circuit

__all__ = ["Design", "Measured", "added", "answers", "arg_max", "measure"]

TARGETS: tuple[Target, ...] = ("ice40", "xilinx")


@dataclass(frozen=True)
class Design:
    """A classifier in Verilog.

    Attributes
    ----------
    verilog, top
        All modules, and the name of the outer one.
    input_port, output_port
        The levels of all inputs, input 0 in the least significant bits; and the class.
    input_width
        Bits of a level.
    cycles
        Clock cycles from the levels to the class; 0 for a combinational design.
    held
        What its other ports are held at.
    for_lut6
        The same made for LUTs of six inputs, where its maker can; else empty.
    """

    verilog: str
    top: str
    input_width: int
    input_port: str = "i"
    output_port: str = "o"
    cycles: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    for_lut6: str = ""


@dataclass(frozen=True)
class Measured:
    """What a design takes, and what its netlist for iCE40 answered.

    Attributes
    ----------
    logic_cells, lut4, carry
        iCE40.
    lut6
        Xilinx, 7 series.
    accuracy
        Of the netlist, on the whole test part.
    mean_recall
        The mean over the classes of the part of their samples that is right.
    """

    logic_cells: int
    lut4: int
    carry: int
    lut6: int
    accuracy: float
    mean_recall: float


def measure(
    design: Design,
    levels: NDArray[np.integer],
    expected: NDArray[np.integer],
    classes: NDArray[np.integer],
    folder: Path,
    *,
    fast: bool = False,
) -> Measured:
    """Synthesize a design, test the netlist on all samples and count its cells.

    Parameters
    ----------
    levels
        What goes in, shape (samples, inputs).
    expected
        The classes that the model says.
    classes
        The classes that are right.

    Raises
    ------
    CheckFailed
        If the netlist answers another class than the model to any sample.
    """
    areas: dict[Target, Area] = {
        target: measure_area(
            design.for_lut6 if target == "xilinx" and design.for_lut6 else design.verilog,
            design.top,
            target,
            folder,
            fast=fast,
        )
        for target in TARGETS
    }
    found = answers(design, levels, folder)
    wrong = np.flatnonzero(found != expected)
    if len(wrong):
        first = wrong[0]
        raise CheckFailed(
            f"{design.top} answers {len(wrong)} of {len(levels)} samples as its model does not, "
            f"first sample {first}: {found[first]} and not {expected[first]}."
        )
    ice40 = areas["ice40"]
    return Measured(
        ice40.logic_cells,
        ice40.lut,
        ice40.carry,
        areas["xilinx"].logic_cells,
        float((found == classes).mean()),
        float(np.mean([(found[classes == own] == own).mean() for own in np.unique(classes)])),
    )


def answers(design: Design, levels: NDArray[np.integer], folder: Path) -> NDArray[np.int64]:
    """Return the classes that the netlist for iCE40 in ``folder`` gives."""
    circuit = Circuit(folder / f"{design.top}.ice40.json", design.top)
    bits = (levels[:, :, None] >> np.arange(design.input_width)) & 1
    inputs = {design.input_port: bits.reshape(len(levels), -1).astype(np.bool_)}
    outputs = circuit.evaluate(inputs, design.cycles, design.held)[design.output_port]
    weights = 1 << np.arange(outputs.shape[1], dtype=np.int64)
    result: NDArray[np.int64] = outputs @ weights
    return result


def arg_max(values: Sequence[tuple[str, int]], class_width: int) -> tuple[list[str], str]:
    """Return Verilog lines of a knock-out arg-max, and the name of the winner's index.

    Parameters
    ----------
    values
        The name of each signed net, and its width; the first of equals wins.
    """
    lines: list[str] = []
    entries = [
        (name, width, f"{class_width}'d{number}") for number, (name, width) in enumerate(values)
    ]
    match = 0
    while len(entries) > 1:
        following = []
        for first, second in zip(entries[::2], entries[1::2], strict=False):
            (a, a_width, a_index), (b, b_width, b_index) = first, second
            width = max(a_width, b_width)
            value, index = f"best_{match}", f"best_{match}_index"
            lines += [
                f"wire later_{match} = {b} > {a};",
                f"wire signed [{width - 1}:0] {value} = later_{match} ? {b} : {a};",
                f"wire [{class_width - 1}:0] {index} = later_{match} ? {b_index} : {a_index};",
            ]
            following.append((value, width, index))
            match += 1
        if len(entries) % 2:
            following.append(entries[-1])
        entries = following
    return lines, entries[0][2]


def added(name: str, operands: Sequence[tuple[str, int]], lines: list[str]) -> tuple[str, int]:
    """Add the operands, the two smallest first; return the sum's net and greatest value."""
    if not operands:
        return "1'b0", 0
    waiting = list(operands)
    for step in range(len(operands) - 1):
        waiting.sort(key=lambda operand: operand[1])
        (a, a_greatest), (b, b_greatest), *waiting = waiting
        greatest = a_greatest + b_greatest
        net = f"{name}_{step}"
        lines.append(f"wire [{greatest.bit_length() - 1}:0] {net} = {a} + {b};")
        waiting.append((net, greatest))
    return waiting[0]
