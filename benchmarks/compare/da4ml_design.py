"""A network of dense layers with da4ml's adder graphs: the same weights as ours, exactly.

Each layer's sums are one integer matrix times unsigned levels, solved and written by da4ml; its
thresholds are comparators, as an engineer would write them, and the answer a knock-out arg-max.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.design import Design, arg_max
from nomul.network import Dense, Network, UserError

__all__ = ["da4ml_design"]

Integers = NDArray[np.int64]


def da4ml_design(network: Network, top: str = "da4ml_network") -> Design:
    """Return ``network`` with da4ml's adder graphs.

    Raises
    ------
    UserError
        If a layer is not dense or its products are not level times weight plus a constant.
    """
    modules = [_library()]
    lines: list[str] = []
    width = _bits(network.input.n_levels - 1)
    nets = [f"i[{width * number} +: {width}]" for number in range(network.n_inputs)]
    n_levels = network.input.n_levels
    for number, layer in enumerate(network.layers):
        if not isinstance(layer, Dense):
            raise UserError("da4ml's graphs are written for dense layers alone.")
        matrix, offset = _affine(layer)
        name = f"layer_{number}"
        text, body, sums = _sums(name, matrix, n_levels, nets)
        modules.append(text)
        lines += body
        if layer.thresholds is None:
            values, body = _accumulators(name, sums, offset)
            lines += body
        else:
            thresholds = np.broadcast_to(
                layer.thresholds, (layer.n_outputs, layer.thresholds.shape[-1])
            )
            nets, body = _levels(name, sums, thresholds - offset[:, None])
            lines += body
            n_levels = thresholds.shape[1] + 1
    assert network.output.kind == "class", "a classifier"
    class_width = _bits(network.n_outputs - 1)
    body, winner = arg_max(values, class_width)
    ports = f"input [{width * network.n_inputs - 1}:0] i, output [{class_width - 1}:0] o"
    outer = [f"module {top}({ports});", *lines, *body, f"assign o = {winner};", "endmodule", ""]
    return Design("\n".join([*modules, *outer]), top, width)


def _affine(layer: Dense) -> tuple[Integers, Integers]:
    """Return (matrix, offset): the accumulators are levels @ matrix.T + offset."""
    table = layer.product_table.astype(np.int64)
    slope = np.diff(table, axis=0)
    if len(slope) and (slope != slope[0]).any():
        raise UserError("A product table that is not linear in the level has no integer matrix.")
    matrix = slope[0][layer.weight_index]
    offset = layer.bias + table[0][layer.weight_index].sum(axis=1)
    return matrix.astype(np.int64), offset.astype(np.int64)


@dataclass(frozen=True)
class _Sum:
    net: str
    least: int
    greatest: int


def _sums(
    name: str, matrix: Integers, n_levels: int, nets: list[str]
) -> tuple[str, list[str], list[_Sum]]:
    """Return da4ml's module, what instantiates it, and the sums as signed nets."""
    from da4ml.codegen import VerilogModel
    from da4ml.trace import FixedVariableArray, comb_trace
    from da4ml.types import minimal_kif

    used = np.flatnonzero(matrix.any(axis=0))
    if not len(used):
        return "", [], [_Sum("1'sd0", 0, 0)] * len(matrix)
    least, greatest = np.zeros(len(used)), np.full(len(used), float(n_levels - 1))
    levels = FixedVariableArray.from_lhs(least, greatest, np.ones(len(used)))
    logic = comb_trace(levels, levels @ matrix[:, used].T.astype(np.float64))
    with TemporaryDirectory() as folder:
        VerilogModel(logic, name, folder, print_latency=False).write()
        text = (Path(folder) / "src" / f"{name}.v").read_text()
    n_bits = len(used) * _bits(n_levels - 1)
    widths = [sum(minimal_kif(interval)) for interval in logic.out_qint]
    lines = [
        f"wire [{n_bits - 1}:0] {name}_in = {{{', '.join(nets[k] for k in reversed(used))}}};",
        f"wire [{sum(widths) - 1}:0] {name}_out;",
        f"{name} {name}_sums({name}_in, {name}_out);",
    ]
    sums, start = [], 0
    for number, (width, interval) in enumerate(zip(widths, logic.out_qint, strict=True)):
        total = _Sum(f"{name}_sum_{number}", int(interval.min), int(interval.max))
        bits = f"{name}_out[{start} +: {width}]" if width else "1'b0"
        if total.least >= 0:
            bits = f"{{1'b0, {bits}}}"
        # da4ml leaves out the low bits that are always 0: its interval has a step.
        zeros = int(interval.step).bit_length() - 1 if width else 0
        if zeros:
            bits = f"{{{bits}, {zeros}'d0}}"
        wide = _signed_bits(total.least, total.greatest)
        lines.append(f"wire signed [{wide - 1}:0] {total.net} = $signed({bits});")
        sums.append(total)
        start += width
    return text, lines, sums


def _levels(name: str, sums: list[_Sum], thresholds: Integers) -> tuple[list[str], list[str]]:
    """Return the levels' nets and what makes them: a comparator for each threshold, the last."""
    nets, lines = [], []
    width = _bits(thresholds.shape[1])
    for number, (total, row) in enumerate(zip(sums, thresholds, strict=True)):
        level = f"{name}_level_{number}"
        choice = f"{width}'d{int((row <= total.least).sum())}"
        for value in np.unique(row[(row > total.least) & (row <= total.greatest)]).tolist():
            reached = f"{width}'d{int((row <= value).sum())}"
            choice = f"{total.net} >= {_constant(value)} ? {reached} : ({choice})"
        lines.append(f"wire [{width - 1}:0] {level} = {choice};")
        nets.append(level)
    return nets, lines


def _accumulators(
    name: str, sums: list[_Sum], offset: Integers
) -> tuple[list[tuple[str, int]], list[str]]:
    """Return the sums plus their constants, the least of which is made 0."""
    values, lines = [], []
    for number, (total, constant) in enumerate(zip(sums, offset.tolist(), strict=True)):
        more = constant - int(offset.min())
        width = _signed_bits(total.least + more, total.greatest + more)
        net = f"{name}_accumulator_{number}"
        lines.append(f"wire signed [{width - 1}:0] {net} = {total.net} + {_constant(more)};")
        values.append((net, width))
    return values, lines


def _library() -> str:
    """Return the modules that da4ml's Verilog is made of."""
    from da4ml.codegen import rtl

    folder = Path(rtl.__file__).parent / "verilog" / "source"
    return "\n".join((folder / f"{kind}.v").read_text() for kind in ("shift_adder", "negative"))


def _bits(greatest: int) -> int:
    return max(1, greatest.bit_length())


def _signed_bits(least: int, greatest: int) -> int:
    return 1 + max(
        (greatest if greatest >= 0 else ~greatest).bit_length(),
        (~least if least < 0 else least).bit_length(),
    )


def _constant(value: int) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}{1 + abs(value).bit_length()}'sd{abs(value)}"
