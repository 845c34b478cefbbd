"""The steps from data to bitstream, each a function from plain arguments to a plain result."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from nomul.boards.catalog import Board
from nomul.network import CheckFailed, Network, UserError, memory_account
from nomul.network.files import write_complete
from nomul.sim.golden import evaluate, input_levels
from nomul.train.data import Dataset, load_dataset
from nomul.train.experiment import Experiment, format_experiment

__all__ = [
    "build_network",
    "evaluate_network",
    "say",
    "simulate_network",
    "train_into",
    "write_verilog",
]


def say(text: str) -> None:
    """Tell the user, on standard error, what is going on."""
    print(text, file=sys.stderr, flush=True)


def train_into(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Train the experiment's network and its float twin, and write what came out.

    ``folder`` gets the network file, the experiment with every key, and the result as JSON.

    Returns
    -------
    dict
        ``accuracy_float`` and ``accuracy`` on the test set; ``memory_bits_float`` and
        ``memory_bits``; ``mismatches_torch_golden``, the test samples on which PyTorch and the
        golden model differ; ``samples``, how many there are; ``seconds``.

    Raises
    ------
    CheckFailed
        If PyTorch and the golden model differ on a test sample; nothing is then written.
    """
    import torch

    from nomul.train import accuracy, exact, lower, train

    torch.set_num_threads(1)  # networks this small only wait for each other on more
    started = time.perf_counter()
    dataset = load_dataset(experiment.data.name)
    twin = train(experiment, dataset, discretized=False, progress=_Progress("float twin"))
    trained = train(experiment, dataset, discretized=True, progress=_Progress("discretized"))
    module = exact(trained)
    network = lower(module)
    features = torch.from_numpy(dataset.test_features).flatten(1)
    with torch.no_grad():
        classes = module(features).argmax(dim=1).numpy()
    n_different = int(np.sum(classes != evaluate(network, dataset.test_features)))
    n_samples = len(dataset.test_features)
    if n_different:
        raise CheckFailed(
            f"PyTorch and the golden model differ on {n_different} of {n_samples} test samples."
        )
    memory = memory_account(network)
    result = {
        "accuracy_float": accuracy(twin, dataset),
        "accuracy": accuracy(module, dataset),
        "memory_bits_float": memory.float_network,
        "memory_bits": memory.total,
        "mismatches_torch_golden": n_different,
        "samples": n_samples,
        "seconds": round(time.perf_counter() - started, 2),
    }
    network.save(folder / "network.safetensors")
    write_complete(folder / "experiment.toml", format_experiment(experiment))
    write_complete(folder / "training.json", json.dumps(result, indent=2) + "\n")
    return result


def evaluate_network(network: Network, dataset: Dataset) -> dict[str, Any]:
    """Return ``accuracy``, ``samples`` and ``correct`` on the data set's test part.

    Raises
    ------
    UserError
        If the network gives no class, or takes other features.
    """
    if network.output.kind != "class":
        raise UserError(
            f"The network's output is {network.output.kind}: accuracy needs one that is a class."
        )
    correct = int(np.sum(evaluate(network, dataset.test_features) == dataset.test_classes))
    n_samples = len(dataset.test_classes)
    return {"accuracy": correct / n_samples, "samples": n_samples, "correct": correct}


def write_verilog(network: Network, path: Path, top: str) -> dict[str, Any]:
    """Write the unrolled network's Verilog and return its timing and size."""
    from nomul.hw.unrolled import Unrolled
    from nomul.hw.verilog import emit

    hardware = Unrolled(network)
    text = emit(hardware, top)
    write_complete(path, text)
    return {
        "verilog": str(path),
        "bytes": len(text.encode()),
        "top": top,
        "latency_cycles": hardware.latency,
        "initiation_interval": hardware.initiation_interval,
    }


def simulate_network(
    network: Network, dataset: Dataset, n_samples: int | None, simulator: str
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
        If the simulator is unknown or missing, or there are not so many samples.
    CheckFailed
        If the hardware breaks a rule of the streams or does not keep its timing. The folder that
        it was simulated in is then kept, as after a mismatch.
    """
    from nomul.hw.unrolled import Unrolled
    from nomul.hw.verilog import emit
    from nomul.sim.runner import check_simulator, simulate

    available = len(dataset.test_features)
    n_samples = available if n_samples is None else n_samples
    if not 1 <= n_samples <= available:
        raise UserError(f"--samples is {n_samples}: {dataset.name} has 1 to {available} to test.")
    levels = input_levels(network, dataset.test_features[:n_samples])
    chosen = check_simulator(simulator)
    hardware = Unrolled(network)
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


def build_network(network: Network, board: Board, out: Path) -> dict[str, Any]:
    """Build the board's bitstream into ``out`` and return what it is made of."""
    from nomul.boards.build import build

    report = dataclasses.asdict(build(network, board, out))
    seconds = {name: round(value, 2) for name, value in report["seconds"].items()}
    return report | {"bitstream": str(report["bitstream"]), "seconds": seconds}


class _Progress:
    """Says how far a loop is, at every quarter."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = 0

    def __call__(self, done: int, total: int) -> None:
        quarter = 4 * done // total
        if quarter > self._said:
            self._said = quarter
            say(f"  {self._name}: {done} of {total} steps")
