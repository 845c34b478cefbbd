"""Verilog of an unrolled network, made to be read and dropped into somebody's design."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.back import rtlil
from amaranth.lib import data, wiring

from nomul.hw.chain import unrolled_chain
from nomul.hw.netlist import verilog_multipliers
from nomul.hw.plan import Plan
from nomul.hw.tools import ToolFailed, run_tool
from nomul.hw.unrolled import Unrolled
from nomul.hw.widths import level_width
from nomul.network import CheckFailed, Lookup, Network, UserError

__all__ = ["convert", "emit"]

# A table keeps a bit for each of its addresses, zeros at its end too: Verilator 5.048 takes
# `4'hf >> a | 16'hfff3 >> a` for `(4'hf | 4'h3) >> a`, and loses the upper twelve bits.
_SCRIPT = """
read_rtlil top.il
proc -noopt
opt_expr t:$shift %n
opt_clean
opt_dff
opt_clean -purge
memory_collect
rename -enumerate -pattern table_% t:$pmux
attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy
attrmap -modattr -remove generator -remove top -remove src -remove amaranth.hierarchy
write_verilog top.v
"""


def emit(hardware: Unrolled, name: str = "top") -> str:
    """Return the Verilog of ``hardware``, the module ``name``.

    Parameters
    ----------
    name
        A simple Verilog identifier.

    Raises
    ------
    UserError
        If the name is no identifier, or yosys, which writes the Verilog, is not installed.
    CheckFailed
        If the text holds a multiplication.
    """
    text = convert(hardware, name)
    text = re.sub(r"^(module \w+ ?)\((.*)\);$", _order_ports, text, flags=re.MULTILINE)
    return text.replace(f"module {name}(", f"{_header(hardware)}module {name}(", 1)


def _header(hardware: Unrolled) -> str:
    network = hardware.plan.network
    sizes = [network.n_inputs, *(layer.n_outputs for layer in unrolled_chain(network))]
    shape = " - ".join(map(str, sizes))
    width = level_width(network.input.n_levels)
    output = hardware.o.payload.shape()
    if isinstance(output, data.ArrayLayout):
        values = (
            f"{output.length} {network.output.kind} of {output.elem_shape.width} bits, the first"
        )
        answer = f"{values} in the least significant bits"
    else:
        answer = f"the class, 0 to {network.n_outputs - 1}"
    return (
        f"// A network of {shape} neurons without a multiplier, one sample per clock cycle.\n"
        f"{_layers(hardware.plan)}"
        f"// i__payload: {network.n_inputs} levels of {width} bits, 0 to "
        f"{network.input.n_levels - 1}, the first in the least significant bits.\n"
        f"{_thresholds(network)}"
        f"// o__payload: {answer}.\n"
        f"{_clocking(hardware.latency)}"
        f"// Latency {hardware.latency} cycles, initiation interval "
        f"{hardware.initiation_interval} cycle.\n"
    )


def _clocking(latency: int) -> str:
    if latency == 0:
        return "// Nothing is held: a transfer happens at your clock with valid and ready set.\n"
    return "// A transfer happens at a rising clk with valid and ready set; rst is synchronous.\n"


def _thresholds(network: Network) -> str:
    """Return the line that tells, to the bit, how a feature becomes a level, where one can."""
    thresholds = network.input.thresholds
    if thresholds.ndim > 1:
        return ""
    values = ", ".join(map(repr, thresholds.tolist()))
    if network.input.encoding == "thermometer":
        return (
            f"// A feature is a bit for each of these thresholds, 1 if it is reached: {values}.\n"
        )
    return f"// A level is how many of these thresholds its feature reaches: {values}.\n"


def _layers(plan: Plan) -> str:
    """Return a line for each layer: what it is and how it was lowered."""
    lines = []
    for choice, layer in zip(plan.choices, unrolled_chain(plan.network), strict=True):
        if isinstance(layer, Lookup):
            what = f"{layer.n_outputs} neurons, tables of {layer.n_address_bits} level bits"
        else:
            result = f"{layer.n_levels} levels" if layer.n_levels else "accumulators"
            what = (
                f"{layer.n_inputs} inputs of {layer.n_levels_in} levels to {layer.n_outputs} "
                f"neurons of {result}, {int(layer.fan_in().sum())} products"
            )
        lines.append(f"// {choice.layer}: {layer.kind}, {what}; lowered as {choice.method!r}.\n")
    return "".join(lines)


def convert(hardware: wiring.Component, name: str) -> str:
    """Return the Verilog of any component, the module ``name``.

    Raises
    ------
    UserError
        If the name is no identifier, or yosys, which writes the Verilog, is not installed or fails.
    CheckFailed
        If the text holds a multiplication.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UserError(
            f"{name!r} cannot be a module's name: use letters, digits and _, and no digit first."
        )
    text = _written(hardware, name)
    if f"module {name}(" not in text:
        raise UserError(f"{name!r} is a word of the Verilog language: choose another name.")
    products = verilog_multipliers(text)
    if products:
        raise CheckFailed(f"The Verilog holds a multiplication: {products[0]}.")
    return re.sub(
        r"^/\* Generated by (Yosys \S+).*\*/",
        rf"// Generated by nomul {version('nomul')} with \1.",
        text,
    )


def _written(hardware: wiring.Component, name: str) -> str:
    """Return what yosys writes: registers with enables, and no net that is only another's name."""
    with TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "top.il").write_text(rtlil.convert(hardware, name=name, emit_src=False))
        (work / "top.ys").write_text(_SCRIPT)
        try:
            run_tool("yosys", ["-q", "-l", "yosys.log", "top.ys"], work, "yosys.log")
        except ToolFailed as failure:
            raise UserError(f"yosys failed with {failure.reason!r}.") from failure
        return (work / "top.v").read_text()


def _order_ports(found: re.Match[str]) -> str:
    """Put a module's ports in the order of the documentation."""
    order = ["clk", "rst", "i__payload", "i__valid", "i__ready", "o__payload", "o__valid"]
    ports = found[2].split(", ")
    ports.sort(key=lambda port: order.index(port) if port in order else len(order))
    return f"{found[1]}({', '.join(ports)});"
