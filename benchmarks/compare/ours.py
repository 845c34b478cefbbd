"""Networks of ours: those that both sides are given, and those that aim at little logic."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from benchmarks.compare.design import Design
from nomul.hw import Unrolled, emit
from nomul.hw.devices import find_technology
from nomul.hw.plan import plan
from nomul.hw.widths import level_width
from nomul.network import Network
from nomul.train import exact, load_dataset, load_variants, lower, train
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import format_experiment
from nomul.train.layer_settings import LookupSettings

__all__ = ["SAME_WEIGHTS", "our_design", "same_weights", "small_experiments", "trained"]

_TRAINING = "[training]\nbatch_size = 128\nlabel_smoothing = 0.1\ncluster_every = 0\n"
_GRID = '[codebook]\nkind = "grid"\nscope = "layer"\nsize = {size}\n'


def _digits(
    hidden: int,
    levels: int,
    size: int,
    fan_in: str = "[]",
    input_levels: int = 4,
    codebook: str = _GRID,
) -> str:
    return (
        f"[input]\nlevels = {input_levels}\n"
        f"[network]\nhidden = [{hidden}]\nlevels = {levels}\nbatch_norm = true\nfan_in = {fan_in}\n"
        + codebook.format(size=size)
        + _TRAINING
        + "steps = 3000\nnoise = 1.5\nprune_until = 0.4\nstraight_through_from = 0.5\n"
    )


def _other(data: str, hidden: int, levels: int, size: int, fan_in: str, of_input: str) -> str:
    return (
        f'[data]\nname = "{data}"\n[input]\n{of_input}\n'
        f"[network]\nhidden = [{hidden}]\nlevels = {levels}\nbatch_norm = true\nfan_in = {fan_in}\n"
        + _GRID.format(size=size)
        + _TRAINING
        + "steps = 3000\nprune_until = 0.4\nstraight_through_from = 0.5\n"
    )


_KIND = '[codebook]\nkind = "{kind}"\nscope = "layer"\nsize = '
_TERNARY = _KIND.format(kind="ternary") + "{size}\n"
_BILEVEL = _KIND.format(kind="bilevel") + "{size}\n"
_POWERS = _KIND.format(kind="powers_of_two") + "{size}\n"
_BEANS = 'levels = 16\nthresholds = "quantile"\nsharing = "per_feature"'

SAME_WEIGHTS: Mapping[str, str] = {
    "digits 64-12-10, dense, W 3, A 4": _digits(12, 4, 3, codebook=_TERNARY),
    "digits 64-8-10, dense, W 15, A 4": _digits(8, 4, 15),
    "digits 64-8-10, dense, W 2, A 4": _digits(8, 4, 2, codebook=_BILEVEL),
    "digits 64-10, dense, W 7": _digits(10, 4, 7).replace("hidden = [10]", "hidden = []"),
    "digits 64-24-10, fan-in 12, W 3, A 2": _digits(24, 2, 3, "[12, 16]", codebook=_TERNARY),
    "digits 64-32-10, fan-in 6, W 5, A 2": _digits(32, 2, 5, "[6, 16]"),
    "digits 64-24-10, fan-in 8, W 5, A 4": _digits(24, 4, 5, "[8, 12]"),
    "digits 64-16-10, fan-in 12, W 9, A 8": _digits(16, 8, 9, "[12, 12]", 8),
    "digits 64-12-10, fan-in 16, W 31, A 16": _digits(12, 16, 31, "[16, 10]", 16),
    "digits 64-16-10, fan-in 12, W 7 (powers of 2), A 4": _digits(
        16, 4, 7, "[12, 12]", codebook=_POWERS
    ),
    "MNIST 784-16-10, fan-in 24, W 3, A 4": _other("mnist", 16, 4, 3, "[24, 16]", "levels = 4"),
    "MNIST 784-32-10, fan-in 12, W 5, A 2": _other("mnist", 32, 2, 5, "[12, 16]", "levels = 4"),
    "MNIST 784-24-10, fan-in 16, W 5, A 4": _other("mnist", 24, 4, 5, "[16, 16]", "levels = 2"),
    "dry bean 16-12-7, dense, W 7, A 4": _other("dry_bean", 12, 4, 7, "[]", _BEANS),
    "dry bean 16-12-7, fan-in 6, W 15, A 8": _other("dry_bean", 12, 8, 15, "[6, 8]", _BEANS),
    "heartbeats 128-16-5, fan-in 12, W 5, A 4": _other(
        "ecg_mitbih", 16, 4, 5, "[12, 12]", "levels = 16"
    ),
}
"""Experiments by name. Each layer is dense: its weights are one integer matrix."""


def our_design(network: Network, methods: Mapping[str, str] | None = None) -> Design:
    """Return what nomul makes of a network: no register, like the designs that it is put beside."""
    hardware = Unrolled(plan(network, n_stages=0, methods=methods))
    for_lut6 = Unrolled(plan(network, find_technology("xilinx"), n_stages=0, methods=methods))
    return Design(
        emit(hardware, "nomul_network"),
        "nomul_network",
        level_width(network.input.n_levels),
        input_port="i__payload",
        output_port="o__payload",
        cycles=hardware.latency,
        held={"i__valid": 1, "o__ready": 1},
        for_lut6=emit(for_lut6, "nomul_network"),
    )


def small_experiments(folder: Path = Path("examples")) -> dict[str, Experiment]:
    """Return the experiments that aim at little logic and their variants, by file and tables."""
    named = [
        (f"{path.stem}, {_tables(experiment)}", experiment)
        for path in sorted(folder.glob("*-small.toml"))
        for experiment in load_variants(path)
    ]
    assert len(dict(named)) == len(named), "variants differ in their tables"
    return dict(named)


def _tables(experiment: Experiment) -> str:
    layers = [layer for layer in experiment.network.layers if isinstance(layer, LookupSettings)]
    return " and ".join(f"{layer.neurons:,} tables of {layer.fan_in} bits" for layer in layers)


def same_weights(name: str, folder: Path) -> Experiment:
    """Return one of :data:`SAME_WEIGHTS`; its TOML file is left in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.toml"
    path.write_text(f"# {name}\n{SAME_WEIGHTS[name]}")
    return load_variants(path)[0]


def trained(experiment: Experiment, folder: Path) -> Network:
    """Return the experiment's network, trained unless its file is in ``folder`` already."""
    digest = hashlib.sha256(format_experiment(experiment).encode()).hexdigest()[:16]
    path = folder / f"{digest}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        dataset = load_dataset(experiment.data.name)
        module = exact(train(experiment, dataset, discretized=True))
        lower(module, dataset.test_features.shape[1:]).save(path)
    return Network.load(path)
