"""Network → program → the engine's Verilog: the steps of folded hardware."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nomul.hw.engine import Engine
from nomul.hw.engine_verilog import emit_engine
from nomul.hw.program import Program
from nomul.network import Network
from nomul.sim.batch import build_batch
from nomul.sim.folded import run_folded
from nomul.sim.interpreter import execute
from nomul.verify.comparison import answer_place, compared
from nomul.verify.samples import Samples
from nomul.verify.step import Finding

__all__ = ["ENGINE", "emit_engine_verilog", "engine_step", "program_step"]

ENGINE = "engine.v"


def program_step(network: Network, program: Program, samples: Samples) -> Finding:
    """Compare the interpreter, which runs the program tap by tap, with the golden model."""
    execution = execute(program, samples.levels)
    answers = found = execution.answers
    if network.output.kind != "class":
        found = np.empty_like(answers)
        found[:, program.output_order] = answers
    detail = _cycles(execution.cycles.mean(), execution.cycles.max())
    place = answer_place(network)
    return compared(samples.expected, found, place, detail)


def emit_engine_verilog(program: Program, folder: Path) -> None:
    """Write the Verilog of the engine that the program is for into ``folder``."""
    (folder / ENGINE).write_text(emit_engine(Engine(program.settings)))


def engine_step(network: Network, program: Program, samples: Samples, folder: Path) -> Finding:
    """Compare the engine's Verilog in ``folder`` with the golden model and the promised cycles.

    It runs without stalls and once more with random ones.

    Raises
    ------
    UserError
        If Verilator or a C++ compiler is missing.
    CheckFailed
        If the Verilog is refused, or breaks a rule of the streams or its timing.
    """
    simulator = build_batch((folder / ENGINE).read_text(), folder / "engine-simulation")
    result = run_folded(simulator, network, program, samples.levels, seed=1)
    return Finding(
        result.samples,
        "samples",
        result.mismatches,
        "different" if result.mismatches else "equal",
        "with and without random stalls, " + _cycles(result.mean_cycles, result.cycles_per_sample),
        result.first_mismatch,
    )


def _cycles(mean: float, most: float) -> str:
    """Return the cycles of samples in words: they vary where zeros are skipped."""
    varying = "" if mean == most else f", {most:,.0f} at most"
    return f"{mean:,.0f} cycles a sample{varying}"
