"""Simulation of a folded engine: whole test sets against the golden model and the promised time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nomul.hw.program import Program
from nomul.hw.program_image import load_words
from nomul.network import CheckFailed, Network, UserError
from nomul.sim.batch import Batch, BatchSimulator, build_batch
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import execute, sample_cycles

__all__ = ["FoldedSimulation", "packed_load_words", "run_folded", "simulate_folded"]

_STALL_CYCLES = 1000  # more than any stall lasts


@dataclass(frozen=True)
class FoldedSimulation:
    """What a simulation found.

    Attributes
    ----------
    samples
        Samples driven.
    mismatches
        Samples whose answer was wrong in any run, with stalls or without.
    cycles_per_sample
        The most between the answers to two samples one behind the other, without stalls; for a
        single sample, from its last level to its answer.
    mean_cycles
        The mean of these: another number only where zeros are skipped, or samples come late.
    build_seconds, run_seconds
        Wall time.
    first_mismatch
        Where the first wrong answer was, what was expected and what came; None if all are right.
    """

    samples: int
    mismatches: int
    cycles_per_sample: int
    mean_cycles: float
    build_seconds: float
    run_seconds: float
    first_mismatch: str | None = None


def simulate_folded(
    network: Network,
    program: Program,
    levels: NDArray[np.int64],
    *,
    verilog: str,
    folder: Path,
    seed: int = 0,
) -> FoldedSimulation:
    """Build an engine, load a program through its load port, and compare every answer.

    Parameters
    ----------
    network
        What the program was made of.
    levels
        Input levels in the network's order, shape (samples, inputs).
    verilog
        The engine: its module ``top`` is made by the program's settings.
    folder
        Where the Verilog, the built simulator and ``simulation.log`` go.
    seed
        Of random stalls at all streams, with which all samples are driven once more; 0 for none.

    Raises
    ------
    UserError
        If Verilator or a C++ compiler is missing, the levels are not the network's or the folder
        cannot be written.
    CheckFailed
        If the Verilog cannot be built, breaks a rule of the streams or does not keep its timing.
        A wrong answer raises nothing: it is a mismatch.
    """
    _check_levels(network, levels)
    started = time.perf_counter()
    simulator = build_batch(verilog, folder)
    return run_folded(
        simulator,
        network,
        program,
        levels,
        seed=seed,
        build_seconds=time.perf_counter() - started,
    )


def run_folded(
    simulator: BatchSimulator,
    network: Network,
    program: Program,
    levels: NDArray[np.int64],
    *,
    seed: int = 0,
    build_seconds: float = 0.0,
) -> FoldedSimulation:
    """Do what :func:`simulate_folded` does on an engine that is built: it runs any program."""
    _check_levels(network, levels)
    expected = evaluate_levels(network, levels).reshape(len(levels), -1)
    if network.output.kind != "class":
        expected = expected[:, program.output_order]
    started = time.perf_counter()
    wrong: set[int] = set()
    first_mismatch = None
    cycles = np.zeros(1, np.int64)
    for stalls in sorted({0, seed}):
        batch = simulator.run(
            levels[:, program.input_order].ravel(),
            expected.size,
            loads=packed_load_words(program),
            limit=sample_cycles(program) + _STALL_CYCLES,
            seed=stalls,
        )
        answers = batch.answers.reshape(expected.shape)
        places = np.argwhere(answers != expected)
        if len(places) and first_mismatch is None:
            sample, place = places[0]
            is_class = network.output.kind == "class"
            name = "the class" if is_class else f"output {program.output_order[place]}"
            first_mismatch = (
                f"sample {sample}, {name}, with{'' if stalls else 'out'} stalls: "
                f"expected {expected[sample, place]}, found {answers[sample, place]}"
            )
        wrong |= set(places[:, 0].tolist())
        if not stalls:
            cycles = _measured_cycles(program, batch, levels)
    return FoldedSimulation(
        samples=len(levels),
        mismatches=len(wrong),
        cycles_per_sample=int(cycles.max()),
        mean_cycles=float(cycles.mean()),
        build_seconds=build_seconds,
        run_seconds=time.perf_counter() - started,
        first_mismatch=first_mismatch,
    )


def packed_load_words(program: Program) -> NDArray[np.uint64]:
    """Return the payloads of an engine's load port that bring it a program, uint64.

    Memory in the lowest 3 bits, then 3 bits of step, 16 of address and 16 of word.
    """
    rows = np.array(list(load_words(program)), np.uint64)
    places = np.array([0, 3, 6, 22], np.uint64)
    packed: NDArray[np.uint64] = (rows << places).sum(axis=1, dtype=np.uint64)
    return packed


def _measured_cycles(
    program: Program, batch: Batch, levels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the cycles between answers, and see that they follow each other as promised.

    A sample begins in the cycle after that of its last level, or when the one before it ends.
    """
    n_samples = len(levels)
    if program.settings.skips_zeros:
        promised = execute(program, levels).cycles.tolist()
    else:
        promised = [sample_cycles(program)] * n_samples
    last_levels = batch.input_cycles.reshape(n_samples, -1)[:, -1].tolist()
    last_answers = batch.answer_cycles.reshape(n_samples, -1)[:, -1].tolist()
    end, answer_to_end = 0, promised[0] - (last_answers[0] - (last_levels[0] + 1))
    rows = zip(last_levels, last_answers, promised, strict=True)
    for sample, (last_level, last_answer, cycles) in enumerate(rows):
        begin = max(end, last_level + 1)
        end = begin + cycles
        if last_answer != end - answer_to_end:
            raise CheckFailed(
                f"The hardware breaks its contract: {cycles:,} cycles were promised for sample "
                f"{sample}, and it took {last_answer + answer_to_end - begin:,}."
            )
    if n_samples == 1:
        return np.array([last_answers[0] - last_levels[0]])
    between: NDArray[np.int64] = np.diff(last_answers)
    return between


def _check_levels(network: Network, levels: NDArray[np.int64]) -> None:
    if levels.ndim != 2 or len(levels) == 0 or levels.shape[1] != network.n_inputs:
        raise UserError(
            f"The levels have shape {levels.shape}: the network takes "
            f"('samples', {network.n_inputs}), with at least one sample."
        )
    if levels.min() < 0 or levels.max() >= network.input.n_levels:
        raise UserError(
            f"The levels range from {levels.min()} to {levels.max()}: those of the network's input "
            f"range from 0 to {network.input.n_levels - 1}."
        )
