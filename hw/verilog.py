"""Verilog of an unrolled network, made to be read and dropped into somebody's design."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.back import rtlil
from amaranth.lib import data

from nomul.hw.dense import UnrolledDense
from nomul.hw.netlist import verilog_multipliers
from nomul.hw.tools import run_tool
from nomul.hw.unrolled import Unrolled
from nomul.hw.widths import accumulator_width, level_width
from nomul.network import CheckFailed, UserError

__all__ = ["emit"]

_SCRIPT = """
read_rtlil top.il
proc
opt
opt_clean -purge
memory_collect
attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy
attrmap -modattr -remove generator -remove top -remove src -remove amaranth.hierarchy
write_verilog -norename top.v
"""


def emit(hardware: Unrolled, name: str = "top") -> str:
    """Return the Verilog of ``hardware``: the module ``name`` and one module for each layer.

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
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UserError(
            f"{name!r} cannot be a module's name: use letters, digits and _, and no digit first."
        )
    text = _convert(hardware, name)
    for stage in hardware.stages:
        text = text.replace(f"\\{name}.{stage} ", f"{name}_{stage} ")
        text = text.replace(
            f"module {name}_{stage} (", f"// {_describe(hardware, stage)}\nmodule {name}_{stage} ("
        )
    text = _name_streams(text, hardware, name)
    text = re.sub(r"^(module \w+ ?)\((.*)\);$", _order_ports, text, flags=re.MULTILINE)
    text = text.replace(f"module {name}(", f"{_header(hardware)}module {name}(", 1)
    products = verilog_multipliers(text)
    if products:
        raise CheckFailed(f"The Verilog holds a multiplication: {products[0]}.")
    return text


def _header(hardware: Unrolled) -> str:
    network = hardware.network
    shape = " - ".join(str(n) for n in (network.n_inputs, *(x.n_outputs for x in network.layers)))
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
        f"// i__payload: {network.n_inputs} levels of {width} bits, 0 to "
        f"{network.input.n_levels - 1}, the first in the least significant bits.\n"
        f"// o__payload: {answer}.\n"
        f"// A transfer happens at a rising clk with valid and ready set; rst is synchronous.\n"
        f"// Latency {hardware.latency} cycles, initiation interval "
        f"{hardware.initiation_interval} cycle.\n"
    )


def _describe(hardware: Unrolled, stage: str) -> str:
    component = hardware.stages[stage]
    if not isinstance(component, UnrolledDense):
        return f"{stage}: the index of the greatest of {component.n_values} accumulators"
    layer = component.layer
    result = (
        f"{layer.n_levels} levels"
        if layer.n_levels
        else f"accumulators of {accumulator_width(layer)} bits"
    )
    return (
        f"{stage}: dense, {layer.n_inputs} inputs of {layer.n_levels_in} levels to "
        f"{layer.n_outputs} neurons of {result}; {int(layer.fan_in().sum())} products"
    )


def _convert(hardware: Unrolled, name: str) -> str:
    """Return what yosys writes: registers with enables, and no net that is only another's name."""
    with TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "top.il").write_text(rtlil.convert(hardware, name=name, emit_src=False))
        (work / "top.ys").write_text(_SCRIPT)
        run_tool("yosys", ["-q", "-l", "yosys.log", "top.ys"], work, "yosys.log")
        return (work / "top.v").read_text()


def _name_streams(text: str, hardware: Unrolled, name: str) -> str:
    """Name the nets between the layers for the layer that they leave."""
    start = text.index(f"module {name}(")
    end = text.index("endmodule", start)
    top = text[start:end]
    for stage in hardware.stages:
        instance = top[top.index(f"{name}_{stage} ") :]
        instance = instance[: instance.index(");")]
        for field, net in re.findall(r"\.o__(\w+)\((\\\S+ )\)", instance):
            top = top.replace(net, f"{stage}__{field}")
    return text[:start] + top + text[end:]


def _order_ports(found: re.Match[str]) -> str:
    """Put a module's ports in the order of the documentation."""
    order = ["clk", "rst", "i__payload", "i__valid", "i__ready", "o__payload", "o__valid"]
    ports = found[2].split(", ")
    ports.sort(key=lambda port: order.index(port) if port in order else len(order))
    return f"{found[1]}({', '.join(ports)});"
