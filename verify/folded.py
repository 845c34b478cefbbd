"""Network → program → the engine's Verilog: the steps of folded hardware."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from nomul.hw.engine import Engine
from nomul.hw.engine_verilog import emit_engine
from nomul.hw.program import Program
from nomul.network import Network
from nomul.sim.batch import build_batch
from nomul.sim.folded import run_folded
from nomul.sim.interpreter import execute, sample_cycles
from nomul.verify.comparison import answer_place, compared
from nomul.verify.samples import Samples
from nomul.verify.step import Step

__all__ = ["ENGINE", "emit_engine_verilog", "engine_step", "program_step"]

ENGINE = "engine.v"


def program_step(network: Network, program: Program, samples: Samples) -> Step:
    """Compare the interpreter, which runs the program tap by tap, with the golden model."""
    started = time.perf_counter()
    answers = np.array([execute(program, row) for row in samples.levels], np.int64)
    found = answers
    if network.output.kind != "class":
        found = np.empty_like(answers)
        found[:, program.output_order] = answers
    detail = f"{sample_cycles(program):,} cycles a sample"
    place = answer_place(network)
    return compared("network → program", samples.expected, found, place, started, detail)


def emit_engine_verilog(program: Program, folder: Path) -> None:
    """Write the Verilog of the engine that the program is for into ``folder``."""
    (folder / ENGINE).write_text(emit_engine(Engine(program.settings)))


def engine_step(network: Network, program: Program, samples: Samples, folder: Path) -> Step:
    """Compare the engine's Verilog in ``folder`` with the golden model and the promised cycles.

    It runs without stalls and once more with random ones.

    Raises
    ------
    UserError
        If Verilator or a C++ compiler is missing.
    CheckFailed
        If the Verilog is refused, or breaks a rule of the streams or its timing.
    """
    started = time.perf_counter()
    simulator = build_batch((folder / ENGINE).read_text(), folder / "engine-simulation")
    result = run_folded(simulator, network, program, samples.levels, seed=1)
    return Step(
        "network → engine",
        result.samples,
        "samples",
        result.mismatches,
        time.perf_counter() - started,
        "different" if result.mismatches else "equal",
        f"with and without random stalls, {result.cycles_per_sample:,} cycles a sample",
        result.first_mismatch,
    )
