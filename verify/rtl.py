"""Network → Verilog: the emitted text, simulated by Verilator without Python in each cycle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nomul.hw.plan import Plan
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import emit
from nomul.network import CheckFailed
from nomul.sim.batch import build_batch
from nomul.verify.comparison import answer_place, compared
from nomul.verify.hardware_coverage import stream_coverage
from nomul.verify.samples import Samples
from nomul.verify.step import Finding

__all__ = ["VERILOG", "emit_verilog", "verilog_step"]

VERILOG = "top.v"
_STALL_CYCLES = 1000  # more than any stall lasts


def emit_verilog(plan: Plan, folder: Path) -> None:
    """Write the Verilog of a plan into ``folder``, if it is not there."""
    path = folder / VERILOG
    if not path.exists():
        path.write_text(emit(Unrolled(plan)))


def verilog_step(plan: Plan, samples: Samples, folder: Path) -> Finding:
    """Compare the Verilog in ``folder`` with the golden model, without stalls and with them.

    Raises
    ------
    UserError
        If Verilator or a C++ compiler is missing.
    CheckFailed
        If the Verilog is refused, or breaks a rule of the streams or its timing.
    """
    network = plan.network
    simulator = build_batch((folder / VERILOG).read_text(), folder / "simulation")
    runs, state_cycles = [], []
    for seed in (0, 1):
        batch = simulator.run(
            samples.levels,
            len(samples),
            limit=plan.latency + _STALL_CYCLES,
            n_values=samples.expected.shape[1],
            is_signed=network.output.kind == "accumulators",
            seed=seed,
        )
        runs.append(batch.answers)
        state_cycles.append(batch.state_cycles)
        latencies = batch.answer_cycles - batch.input_cycles
        late = latencies != plan.latency
        if seed == 0 and late.any():
            raise CheckFailed(
                f"The hardware breaks its contract: sample {late.argmax()} was answered after "
                f"{latencies[late.argmax()]} cycles, and {plan.latency} were promised."
            )

    def place(sample: int, answer: int) -> str:
        stalled, own = divmod(answer, samples.expected.shape[1])
        return f"{answer_place(network)(sample, own)}, with{'' if stalled else 'out'} stalls"

    expected = np.hstack([samples.expected, samples.expected])
    states = stream_coverage(state_cycles).states
    detail = (
        f"with and without random stalls, {states.seen} of {states.exist} states of the streams"
    )
    return compared(expected, np.hstack(runs), place, detail)
