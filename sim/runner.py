"""Simulation: the emitted Verilog against the golden model."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nomul.network import CheckFailed, Network, UserError
from nomul.sim.exchange import Report, Task
from nomul.sim.golden import evaluate_levels
from nomul.sim.simulators import Simulator, available_simulators, build, check_simulator

__all__ = ["Simulation", "Simulator", "available_simulators", "check_simulator", "simulate"]


@dataclass(frozen=True)
class Simulation:
    """What a simulation found.

    Attributes
    ----------
    samples
        Samples driven.
    mismatches
        Samples whose output was wrong in any run, with stalls or without.
    latency_cycles
        From the transfer of an input to that of its output, without stalls.
    initiation_interval
        Cycles between accepted inputs, without stalls.
    simulator
        ``"verilator"`` or ``"icarus"``.
    build_seconds, run_seconds
        Wall time.
    first_mismatch
        Where the first wrong output was, what was expected and what came; None if all are right.
    """

    samples: int
    mismatches: int
    latency_cycles: int
    initiation_interval: int
    simulator: Simulator
    build_seconds: float
    run_seconds: float
    first_mismatch: str | None = None


def simulate(
    network: Network,
    levels: NDArray[np.int64],
    *,
    verilog: str,
    latency: int,
    initiation_interval: int,
    build_folder: Path,
    simulator: Simulator = "verilator",
    top: str = "top",
    seed: int = 0,
) -> Simulation:
    """Simulate the hardware of ``network`` and compare each output with the golden model's.

    All samples are driven back to back; then, from a reset each time, with an idle source, with a
    stalling sink and with both (as many samples as fit into some 20,000 cycles, at least 8).

    Parameters
    ----------
    levels
        Input levels, shape (samples, inputs).
    verilog
        The hardware. Its module ``top`` has the ports clk, rst (synchronous, active high) and the
        streams i and o; value 0 lies in the least significant bits of a payload.
    latency, initiation_interval
        In cycles, as the hardware promises them.
    build_folder
        Where the Verilog, the built simulator and ``simulation.log`` go.
    seed
        Of the random stalls.

    Raises
    ------
    UserError
        If the simulator is missing, the levels are not the network's or the folder cannot be
        written.
    CheckFailed
        If the Verilog cannot be built, breaks a rule of the streams or does not keep its timing.
        A wrong output raises nothing: it is a mismatch.
    """
    check_simulator(simulator)
    n_samples = len(levels)
    if levels.ndim != 2 or n_samples == 0 or levels.shape[1] != network.n_inputs:
        raise UserError(
            f"The levels have shape {levels.shape}: the network takes "
            f"('samples', {network.n_inputs}), with at least one sample."
        )
    if levels.min() < 0 or levels.max() >= network.input.n_levels:
        raise UserError(
            f"The levels range from {levels.min()} to {levels.max()}: those of the network's input "
            f"range from 0 to {network.input.n_levels - 1}."
        )
    # A single sample is driven twice: there is no interval before the second.
    driven = levels if n_samples > 1 else np.repeat(levels, 2, axis=0)
    task = Task(
        levels=driven,
        expected=evaluate_levels(network, driven).reshape(len(driven), -1),
        n_levels=network.input.n_levels,
        n_values=_values(network),
        latency_cycles=latency,
        initiation_interval=initiation_interval,
        seed=seed,
    )
    folder = build_folder.resolve()
    log = folder / "simulation.log"
    source = folder / f"{top}.v"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        source.write_text(verilog)
        task.save(folder)
        (folder / "report.json").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror}.") from error

    # Imported here: the bench needs cocotb, which is known to be there by now.
    from nomul.sim import bench

    started = time.perf_counter()
    build(simulator, source, top=top, ports=bench.PORTS, log=log)
    built = time.perf_counter()
    _run(simulator, folder, top, log, bench.FOLDER_VARIABLE)
    ended = time.perf_counter()

    report = Report.load(folder)
    if report.fault is not None:
        raise CheckFailed(f"The hardware breaks its contract: {report.fault}.")
    if report.finished != list(bench.RUNS):
        raise CheckFailed(f"The simulation ended before its time: see {log}.")
    assert report.latency_cycles is not None
    assert report.initiation_interval is not None
    return Simulation(
        samples=n_samples,
        mismatches=len({number % n_samples for number in report.mismatches}),
        latency_cycles=report.latency_cycles,
        initiation_interval=report.initiation_interval,
        simulator=simulator,
        build_seconds=built - started,
        run_seconds=ended - built,
        first_mismatch=report.first_mismatch,
    )


def _values(network: Network) -> int:
    """How many values an output takes; 0 where it is an accumulator."""
    match network.output.kind:
        case "class":
            return network.n_outputs
        case "accumulators":
            return 0
        case "levels":
            n_levels = network.level_counts[f"layers.{len(network.layers) - 1}"]
            assert n_levels is not None, "a network with levels as output has them"
            return n_levels


def _run(simulator: Simulator, folder: Path, top: str, log: Path, folder_variable: str) -> None:
    """Run the bench on what :func:`build` left in ``folder``."""
    from cocotb_tools.runner import get_runner

    runner = get_runner(simulator)
    runner.log.setLevel(logging.CRITICAL)
    test_log = folder / "bench.log"
    try:
        runner.test(
            test_module="nomul.sim.bench",
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            results_xml=str(folder / "results.xml"),
            extra_env={folder_variable: str(folder)},
            log_file=test_log,
        )
    except (RuntimeError, SystemExit):
        # Under pytest, a failed test ends the process; the report says what failed.
        pass
    finally:
        if test_log.exists():
            with log.open("a") as messages:
                messages.write(test_log.read_text())
            test_log.unlink()
