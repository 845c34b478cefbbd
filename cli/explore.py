"""Which settings give the best accuracy for their logic cells, and the best network of a budget."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from math import ceil, floor
from pathlib import Path
from typing import Any

from nomul.cli.evaluation import evaluate_network
from nomul.cli.steps import say
from nomul.cli.training import experiment_data, say_notes, train_discretized
from nomul.hw.devices import Device
from nomul.hw.estimate import estimate
from nomul.hw.plan import plan
from nomul.network import Network, UserError
from nomul.network.files import staged_folder, write_complete
from nomul.train import layer_settings as kind
from nomul.train.dataset import Dataset, check_dataset
from nomul.train.experiment import Experiment, TrainingSettings
from nomul.train.experiment_file import MODULE_FILE, format_experiment

__all__ = ["Trial", "explore", "next_operand_bits", "pareto_front"]

TRAININGS_MAX = 6  # in search of operand bits
SLACK = 0.02  # of a budget that may stay unused: trainings that are alike differ by as much
UNROLLED = (
    kind.DenseSettings | kind.DropoutSettings | kind.LookupSettings | kind.ClassSumSettings | None
)


@dataclass(frozen=True, eq=False)
class Trial:
    """Settings, and the network trained with them: its estimated logic cells, its accuracy."""

    experiment: Experiment
    network: Network
    cells: int
    accuracy: float


def explore(
    variants: Sequence[Experiment], device: Device, budget: int | None, out: Path
) -> tuple[str, dict[str, Any]]:
    """Train every variant on a part of the training samples, and judge it by the others.

    With a budget, the most accurate variant within it is trained again on all of them, and
    ``out`` gets its network, its experiment and ``summary.json``. The test part chooses nothing.

    Parameters
    ----------
    budget
        Estimated logic cells, at most. Where variants have operand bits, other numbers of them
        are tried, up to the greatest that fits.
    out
        Folder that keeps every network, so that none is trained twice.

    Returns
    -------
    tuple
        The report to print, and the same as a dict.

    Raises
    ------
    UserError
        If there is no hardware for a variant, variants cannot be compared, or none fits.
    """
    _check(variants, device, budget)
    dataset = experiment_data(variants[0])
    part = without_test_part(dataset)
    say_notes(variants)
    explorer = _Explorer(device, budget or 0, out / "explored", variants[0])
    families: dict[Experiment, list[Experiment]] = {}
    for variant in dict.fromkeys(variants):
        families.setdefault(_with_operand_bits(variant, 1), []).append(variant)
    trials = [trial for family in families.values() for trial in explorer.trials(family, part)]
    trials.sort(key=lambda trial: (trial.cells, -trial.accuracy))
    rows = [
        {
            "variant": explorer.label(trial.experiment),
            "validation_accuracy": trial.accuracy,
            "logic_cells": trial.cells,
            "pareto": trial in pareto_front(trials),
        }
        for trial in trials
    ]
    result: dict[str, Any] = {"device": device.name, "variants": rows}
    if budget:
        validated, final = explorer.choose(trials, dataset)
        result["chosen"] = chosen = {
            "variant": explorer.label(final.experiment),
            "validation_accuracy": validated.accuracy,
            "test_accuracy": final.accuracy,
            "device": device.name,
            **asdict(estimate(plan(final.network, device))),
            "network": str(out / "network.safetensors"),
        }
        # One that `nomul train` left there would be another network's.
        (out / MODULE_FILE).unlink(missing_ok=True)
        with staged_folder(out) as stage:
            final.network.save(stage / "network.safetensors")
            write_complete(stage / "experiment.toml", format_experiment(final.experiment))
            write_complete(stage / "summary.json", json.dumps(chosen, indent=2) + "\n")
    return _report(result), result


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Return those for which none is more accurate or as accurate with fewer cells."""
    return [
        one
        for one in trials
        if one.accuracy == max(other.accuracy for other in trials if other.cells <= one.cells)
        and one.cells == min(other.cells for other in trials if other.accuracy >= one.accuracy)
    ]


def next_operand_bits(cells: Mapping[int, int], budget: int) -> int | None:
    """Return the operand bits to try next, by a secant of those tried; None if nothing is left."""
    aim = (1 - SLACK / 2) * budget
    near, *others = sorted(sorted(cells), key=lambda bits: abs(cells[bits] - aim))
    missing = aim - cells[near]
    beyond = [bits for bits in others if (cells[bits] > aim) == (missing > 0)] or others
    rise = (cells[beyond[0]] - cells[near]) / (beyond[0] - near) if others else 0.0
    if abs(missing) <= budget - aim or (others and rise <= 0 and missing > 0):
        return None  # near enough, or nothing is pruned any more
    # Without a secant: as if half of the cells were due to operands.
    guess = near + missing / rise if rise > 0 else near * (aim / cells[near]) ** 2
    bits = max(near // 4, min(ceil(guess) if missing > 0 else floor(guess), 4 * near))
    return None if bits in (0, *cells) else bits


def without_test_part(dataset: Dataset) -> Dataset:
    """Return the training part alone; its test part is a quarter, held out of it."""
    from nomul.train.batches import split_validation

    features, (classes, _) = dataset.train_features, dataset.classes
    settings = TrainingSettings(validation=0.25)
    kept, apart = (numbers.numpy() for numbers in split_validation(settings, len(features)))
    name, held_out = f"{dataset.name}, a quarter held out", (features[apart], classes[apart])
    return check_dataset(Dataset(name, features[kept], classes[kept], *held_out))


class _Explorer:
    """Trains networks for a device and a budget, but for those that ``folder`` has from before."""

    def __init__(self, device: Device, budget: int, folder: Path, first: Experiment) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._device, self._budget, self._folder = device, budget, folder
        self._first = _settings(first)

    def label(self, experiment: Experiment) -> str:
        return ", ".join(sorted(_settings(experiment) - self._first)) or "the experiment itself"

    def trial(self, experiment: Experiment, dataset: Dataset) -> Trial:
        """Return a network trained on the training part, and its accuracy on the test part."""
        from nomul.train.checkpoint import identity

        say(f"{self.label(experiment)}: {len(dataset.train_features):,} samples to train on")
        digest = sha256(identity(experiment, dataset, discretized=True).encode()).hexdigest()
        path = self._folder / f"{digest[:16]}.safetensors"
        if not path.exists():
            train_discretized(experiment, dataset).network.save(path)
        network = Network.load(path)
        cells = estimate(plan(network, self._device)).logic_cells
        accuracy = evaluate_network(network, dataset)["accuracy"]
        say(f"  {cells:,} logic cells, {accuracy:.2%} of {len(dataset.test_features):,} others")
        return Trial(experiment, network, cells, accuracy)

    def trials(self, family: Sequence[Experiment], dataset: Dataset) -> Iterator[Trial]:
        """Yield a trial of each, and with other operand bits, if they have any, for the budget."""
        cells: dict[int, int] = {}
        for experiment in family:
            trial = self.trial(experiment, dataset)
            cells[experiment.network.operand_bits] = trial.cells
            yield trial
        for _ in range(TRAININGS_MAX if self._budget and all(cells) else 0):
            if not (bits := next_operand_bits(cells, self._budget)):
                return
            try:
                trial = self.trial(_with_operand_bits(family[0], bits), dataset)
            except UserError as error:  # so few that a layer would be empty
                say(f"  {error}")
                return
            cells[bits] = trial.cells
            yield trial

    def choose(self, found: Sequence[Trial], dataset: Dataset) -> tuple[Trial, Trial]:
        """Return the most accurate within the budget, and what it is when all samples train it."""
        fitting = [trial for trial in found if trial.cells <= self._budget]
        too_large = [trial for trial in found if trial.cells > self._budget]
        for validated in sorted(fitting, key=lambda trial: -trial.accuracy):
            for final in self.trials([validated.experiment], dataset):
                if final.cells <= self._budget:
                    return validated, final
                too_large.append(final)  # fewer operand bits come next, or the next variant
        smallest = min(too_large, key=lambda trial: trial.cells)
        raise UserError(
            f"No variant fits {self._budget:,} logic cells: the smallest, "
            f"{self.label(smallest.experiment)}, takes {smallest.cells:,}; raise --budget or add "
            "smaller variants."
        )


def _check(variants: Sequence[Experiment], device: Device, budget: int | None) -> None:
    """Refuse before the trainings what would be of no use after them."""
    if budget is not None and not 1 <= budget <= device.logic_cells:
        raise UserError(
            f"--budget is {budget}: {device.title} has 1 to {device.logic_cells:,} logic cells."
        )
    if len({variant.data for variant in variants}) > 1:
        raise UserError("The variants differ in their data: give each data set its own file.")
    for network in (variant.network for variant in variants):
        layers = (*network.layers, network.output)
        if network.task != "classify" or not all(isinstance(one, UNROLLED) for one in layers):
            raise UserError(
                "Logic cells are estimated for chains of dense and lookup layers so far, and "
                "accuracy needs classes: measure this experiment with `nomul results`."
            )


def _with_operand_bits(experiment: Experiment, bits: int) -> Experiment:
    """Return the experiment with ``bits`` in the place of its own operand bits, if it has any."""
    network = replace(experiment.network, operand_bits=bits)
    return replace(experiment, network=network) if experiment.network.operand_bits else experiment


def _settings(experiment: Experiment) -> set[str]:
    """Return every setting, as TOML would have it outside of any section."""
    section, found = "", set()
    for line in format_experiment(experiment).split("\n"):
        if " = " in line:
            found.add(f"{section}.{line}")
        elif line:
            section = line.strip("[]")
    return found


def _report(result: dict[str, Any]) -> str:
    """Return the table of all trials, the Pareto front starred, and what was chosen."""
    lines = ["cells  accuracy     variant"]
    for row in result["variants"]:
        cells, accuracy = f"{row['logic_cells']:>5,}", f"{row['validation_accuracy']:>8.2%}"
        lines.append(f"{cells}  {accuracy}  {' *'[row['pareto']]}  {row['variant']}")
    lines += ["", "* on the Pareto front; accuracies are those on the samples held out"]
    if "chosen" in result:
        lines += ["", *(f"{name:<19}  {value}" for name, value in result["chosen"].items())]
    return "\n".join(lines)
