"""The steps from network file to bitstream: functions from plain arguments to plain results."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nomul.boards.catalog import Board
from nomul.cli.evaluation import check_features
from nomul.hw.plan import Plan
from nomul.network import CheckFailed, Network, UserError
from nomul.network.files import write_complete
from nomul.sim.golden import input_levels
from nomul.train.dataset import Dataset

if TYPE_CHECKING:
    from nomul.boards.build import BuildReport

__all__ = [
    "build_network",
    "build_report",
    "say",
    "simulate_network",
    "some_levels",
    "write_verilog",
]


def say(text: str) -> None:
    """Tell the user, on standard error, what is going on."""
    print(text, file=sys.stderr, flush=True)


def write_verilog(plan: Plan, path: Path, top: str) -> dict[str, Any]:
    """Write the unrolled network's Verilog and return its timing, size and lowering."""
    from nomul.hw.unrolled import Unrolled
    from nomul.hw.verilog import emit

    hardware = Unrolled(plan)
    text = emit(hardware, top)
    write_complete(path, text)
    return {
        "verilog": str(path),
        "bytes": len(text.encode()),
        "top": top,
        "latency_cycles": hardware.latency,
        "initiation_interval": hardware.initiation_interval,
        "lowering": {choice.layer: choice.method for choice in plan.choices},
    }


def simulate_network(
    plan: Plan, dataset: Dataset, n_samples: int | None, simulator: str
) -> tuple[dict[str, Any], str | None]:
    """Simulate the first ``n_samples`` test samples, with stalls and without.

    Returns
    -------
    tuple
        ``samples``, ``mismatches``, ``latency_cycles``, ``initiation_interval`` and
        ``simulator``; and the first mismatch in words, if there is one.

    Raises
    ------
    UserError
        If the simulator is unknown or missing, there are not so many samples, or the network
        takes other features.
    CheckFailed
        If the hardware breaks a rule of the streams or does not keep its timing. The folder that
        it was simulated in is then kept, as after a mismatch.
    """
    from nomul.hw.unrolled import Unrolled
    from nomul.hw.verilog import emit
    from nomul.sim.runner import check_simulator, simulate

    network = plan.network
    levels = some_levels(network, dataset, n_samples)
    chosen = check_simulator(simulator)
    hardware = Unrolled(plan)
    verilog = emit(hardware)
    folder = Path(tempfile.mkdtemp(prefix="nomul-simulation-"))
    try:
        result = simulate(
            network,
            levels,
            verilog=verilog,
            latency=hardware.latency,
            initiation_interval=hardware.initiation_interval,
            build_folder=folder,
            simulator=chosen,
        )
    except BaseException as error:
        if not isinstance(error, CheckFailed):
            shutil.rmtree(folder)
        raise
    first = result.first_mismatch
    if first is None:
        shutil.rmtree(folder)
    else:
        first += f" ({folder} has the simulation)"
    names = ("samples", "mismatches", "latency_cycles", "initiation_interval", "simulator")
    return {name: getattr(result, name) for name in names}, first


def some_levels(network: Network, dataset: Dataset, n_samples: int | None) -> NDArray[np.int64]:
    """Return the input levels of the first ``n_samples`` test samples, or of all.

    Raises
    ------
    UserError
        If there are not so many samples, or the network takes other features.
    """
    check_features(network, dataset)
    available = len(dataset.test_features)
    n_samples = available if n_samples is None else n_samples
    if not 1 <= n_samples <= available:
        raise UserError(f"--samples is {n_samples}: {dataset.name} has 1 to {available} to test.")
    return input_levels(network, dataset.test_features[:n_samples])


def build_network(plan: Plan, board: Board, out: Path) -> dict[str, Any]:
    """Build the board's bitstream into ``out`` and return what it is made of."""
    from nomul.boards.build import build

    return build_report(build(plan, board, out))


def build_report(report: BuildReport) -> dict[str, Any]:
    """Return a build's report in plain values."""
    values = dataclasses.asdict(report)
    seconds = {name: round(value, 2) for name, value in report.seconds.items()}
    return values | {"bitstream": str(report.bitstream), "seconds": seconds}
