"""Network → netlist: the network alone, mapped as its build maps it, evaluated cell by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nomul.boards.tool_chain import synthesis_options
from nomul.hw.devices import Device
from nomul.hw.plan import Plan
from nomul.hw.tools import run_tool
from nomul.network import CheckFailed
from nomul.network.shapes import level_width
from nomul.sim.circuit import Circuit
from nomul.verify.comparison import answer_place, compared
from nomul.verify.rtl import VERILOG
from nomul.verify.samples import Samples
from nomul.verify.step import Finding

__all__ = ["NETLIST", "map_verilog", "netlist_step"]

NETLIST = "top.netlist.json"
_LOG = "top.yosys.log"
_AT_ONCE = 8192


def map_verilog(device: Device, folder: Path) -> None:
    """Map the Verilog in ``folder`` onto the cells of ``device``, beside it.

    Raises
    ------
    UserError
        If yosys is missing or refuses it.
    """
    commands = [
        f"read_verilog {VERILOG}",
        f"synth_{device.target.name} {synthesis_options(device)} -top top",
        f"write_json {NETLIST}",
    ]
    (folder / "top.ys").write_text("\n".join([*commands, ""]))
    run_tool("yosys", ["-q", "-l", _LOG, "top.ys"], folder, _LOG)


def netlist_step(plan: Plan, samples: Samples, folder: Path) -> Finding:
    """Compare the netlist in ``folder`` with the golden model: 64 samples in each operation.

    Raises
    ------
    UserError
        If it holds a cell that is not known.
    CheckFailed
        If an answer is not there when the plan says.
    """
    circuit = Circuit(folder / NETLIST, "top")
    starts = range(0, len(samples), _AT_ONCE)
    found = np.concatenate(
        [_answers(circuit, plan, samples.levels[start : start + _AT_ONCE]) for start in starts]
    )
    offered = found[:, -1] == 1
    if not offered.all():
        raise CheckFailed(
            f"The netlist breaks its contract: sample {offered.argmin()} has no answer after "
            f"{plan.latency} cycles."
        )
    detail = f"{circuit.n_luts:,} LUT4"
    place = answer_place(plan.network)
    return compared(samples.expected, found[:, :-1], place, detail)


def _answers(circuit: Circuit, plan: Plan, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the answers behind the latency, and behind them ``o__valid``."""
    network = plan.network
    places = np.arange(level_width(network.input.n_levels))
    bits = (levels[:, :, None] >> places & 1).astype(np.bool_).reshape(len(levels), -1)
    held = {"i__valid": 1, "o__ready": 1}
    outputs = circuit.evaluate({"i__payload": bits}, plan.latency, held)
    n_answers = 1 if network.output.kind == "class" else network.n_outputs
    payload = outputs["o__payload"].reshape(len(levels), n_answers, -1)
    weights = 1 << np.arange(payload.shape[2], dtype=np.int64)
    if network.output.kind == "accumulators":
        weights[-1] = -weights[-1]
    return np.hstack([payload @ weights, outputs["o__valid"].astype(np.int64)])
