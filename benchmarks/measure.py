"""Measure what docs/measurements.md states, and write it. Run from the repository's root::

python -m benchmarks.measure
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from nomul.network import Network
from nomul.sim.golden import evaluate
from nomul.train import Experiment, accuracy, exact, load_dataset, load_experiment, lower, train

PAGE = Path("docs/measurements.md")
N_SEEDS = 5
COMMAND = "python -m benchmarks.measure"


def accuracy_rows(name: str, experiment: Experiment) -> tuple[list[str], Network]:
    """Train with several seeds; return table rows and the first seed's network."""
    dataset = load_dataset(experiment.data.name)
    twins, answers, seconds, networks = [], [], [], []
    for seed in range(N_SEEDS):
        seeded = dataclasses.replace(
            experiment, training=dataclasses.replace(experiment.training, seed=seed)
        )
        twins.append(accuracy(train(seeded, dataset, discretized=False), dataset))
        started = time.perf_counter()
        module = exact(train(seeded, dataset, discretized=True))
        seconds.append(time.perf_counter() - started)
        answers.append(accuracy(module, dataset))
        networks.append(lower(module, dataset.test_features.shape[1:]))
        print(name, seed, twins[-1], answers[-1], file=sys.stderr)
    return [
        f"| {name} | {_mean(twins)} | {_mean(answers)} | "
        f"{100 * (statistics.mean(answers) - statistics.mean(twins)):+.2f} | "
        f"{answers[0]:.2%} | {statistics.median(seconds):.1f} |"
    ], networks[0]


def _mean(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f}"


def median_seconds(function: Callable[[], object], times: int = 5) -> float:
    """Return the median seconds of ``function`` over ``times`` runs after one to warm up."""
    function()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    torch.set_num_threads(1)
    demo = load_experiment(Path("examples/digits.toml"))
    demo_rows, small = accuracy_rows("examples/digits.toml", demo)
    paper_rows, large = accuracy_rows("defaults: 64-32-10, 32 levels, 101 centres", Experiment())
    features = np.tile(load_dataset("digits").test_features[:], (50, 1))
    rates = {
        name: len(features) / median_seconds(partial(evaluate, network, features))
        for name, network in (("examples/digits.toml", small), ("defaults", large))
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        small.save(path)
        nomul = [sys.executable, "-m", "nomul.cli.main"]
        output = str(Path(folder) / "top.v")
        commands = {
            "nomul --help": ["--help"],
            "nomul estimate": ["estimate", str(path)],
            "nomul evaluate": ["evaluate", str(path)],
            "nomul verilog": ["verilog", str(path), "-o", output],
        }
        seconds = {
            name: median_seconds(partial(_run, [*nomul, *arguments]))
            for name, arguments in commands.items()
        }
    lines = [
        "# Measurements",
        "",
        f"Written by `{COMMAND}` (`make measure`). Times are wall-clock medians on the",
        "machine that it ran on, one thread; accuracies are on the 360 test digits, mean ±",
        f"standard deviation over seeds 0 to {N_SEEDS - 1}. The float twin has the same",
        "layers, start, batches, noise and budget, but free weights, continuous inputs and",
        "activations, and no pruning.",
        "",
        "| experiment | float twin, % | discretized, % | difference | seed 0 | training, s |",
        "|---|---|---|---|---|---|",
        *demo_rows,
        *paper_rows,
        "",
        "| golden model | digits per second |",
        "|---|---|",
        *(f"| {name} | {rate:,.0f} |" for name, rate in rates.items()),
        "",
        "| command, on the network of examples/digits.toml | seconds |",
        "|---|---|",
        *(f"| `{name}` | {value:.2f} |" for name, value in seconds.items()),
        "",
        "Area and clock of the demo are in the summary that `make demo` writes; the cost model's",
        "prices and its errors on held-out networks are in hw/ice40_costs.json, written by",
        "`python -m benchmarks.cost_model`. `python -m benchmarks.training` prints what a training",
        "step takes beside a plain PyTorch loop's, and a codebook for 60 million weights.",
    ]
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
