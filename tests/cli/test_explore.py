from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nomul.cli import explore as module
from nomul.cli.explore import (
    TRAININGS_MAX,
    Trial,
    next_operand_bits,
    pareto_front,
    without_test_part,
)
from nomul.cli.training import Trained, train_discretized
from nomul.hw.estimate import Estimate, estimate
from nomul.hw.plan import plan
from nomul.network import Network, UserError
from nomul.sim.golden import evaluate
from nomul.train.data import load_dataset
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import load_experiment, load_variants
from tests.cli.helpers import RECONSTRUCT, TINY, run, write_experiment
from tests.networks import random_network

Capsys = pytest.CaptureFixture[str]

LOOKUPS = """
[input]
levels = 2
[network]
layers = [{ kind = "lookup", neurons = 10, fan_in = 3 }]
output = { kind = "class_sum" }
levels = 2
[training]
steps = 200
learning_rate = 0.03
[[variants]]
network.layers = [{ kind = "lookup", neurons = 40, fan_in = 3 }]
[[variants]]
training.seed = 1
"""

PRUNED = """
[input]
levels = 2
[network]
hidden = [8]
levels = 2
batch_norm = true
operand_bits = 300
[codebook]
kind = "grid"
size = 3
scope = "layer"
[training]
steps = 200
"""

LARGER = 'network.layers = [{ kind = "lookup", neurons = 40, fan_in = 3 }]'


def cells_of(network: Network) -> int:
    return estimate(plan(network)).logic_cells


def accuracy_of(network: Network, dataset: Dataset) -> float:
    answers = evaluate(network, dataset.test_features[:])
    return float(np.mean(answers == dataset.test_classes))


def test_variants_are_trained_and_judged_without_the_test_part(
    tmp_path: Path, capsys: Capsys
) -> None:
    path, out = write_experiment(tmp_path, LOOKUPS), tmp_path / "out"
    answer = run(capsys, "explore", path, "--out", out, "--json")
    assert answer.exit_code == 0
    assert list(answer.result) == ["device", "variants"]
    part = without_test_part(load_dataset("digits"))
    networks = [train_discretized(variant, part).network for variant in load_variants(path)]
    labels = ["the experiment itself", LARGER, "training.seed = 1"]
    expected = {
        (label, cells_of(network), accuracy_of(network, part))
        for label, network in zip(labels, networks, strict=True)
    }
    rows = answer.result["variants"]
    assert {
        (row["variant"], row["logic_cells"], row["validation_accuracy"]) for row in rows
    } == expected
    assert [row["logic_cells"] for row in rows] == sorted(row["logic_cells"] for row in rows)
    for row in rows:
        assert row["pareto"] == on_front(figures(row), list(map(figures, rows)))
    assert [path.name for path in out.iterdir()] == ["explored"]


def figures(row: dict[str, Any]) -> tuple[int, float]:
    return row["logic_cells"], row["validation_accuracy"]


def on_front(one: tuple[int, float], every: list[tuple[int, float]]) -> bool:
    """Look for another that is at least as good in both, and better in one."""
    for cells, accuracy in every:
        if cells <= one[0] and accuracy >= one[1] and (cells < one[0] or accuracy > one[1]):
            return False
    return True


def trial(cells: int, accuracy: float) -> Trial:
    return Trial(Experiment(), random_network((2, 2), (2,)), cells, accuracy)


def test_the_front_is_what_no_other_dominates() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        every = [(rng.randrange(5), rng.randrange(5) / 4) for _ in range(1 + seed % 8)]
        trials = [trial(*pair) for pair in every]
        expected = [one for one, pair in zip(trials, every, strict=True) if on_front(pair, every)]
        assert pareto_front(trials) == expected


@pytest.mark.parametrize("start", [10, 30, 200, 1000, 9000])
@pytest.mark.parametrize("budget", [250, 600, 2000])
@pytest.mark.parametrize("curvature", [0.0, 1e-4])
def test_few_trainings_find_the_operand_bits_of_a_budget(
    start: int, budget: int, curvature: float
) -> None:
    def cells(bits: int) -> int:
        """Rise, up to where nothing is pruned any more."""
        bits = min(bits, 1500)
        return round(200 + 1.7 * bits - curvature * bits**2)

    tried = {start: cells(start)}
    for _ in range(TRAININGS_MAX):
        bits = next_operand_bits(tried, budget)
        if bits is None:
            break
        assert bits > 0
        assert bits not in tried
        tried[bits] = cells(bits)
    assert 0.98 * budget <= max(found for found in tried.values() if found <= budget)


@pytest.mark.parametrize(
    ("cells", "budget"),
    [
        ({100: 990}, 1000),
        ({100: 1000, 50: 600}, 1000),
        ({500: 800, 2000: 800}, 1000),  # nothing is pruned any more
        ({1: 300}, 200),
    ],
)
def test_a_search_ends_where_there_is_nothing_to_gain(cells: dict[int, int], budget: int) -> None:
    assert next_operand_bits(cells, budget) is None


def test_the_samples_held_out_are_a_quarter_of_the_training_part() -> None:
    digits = load_dataset("digits")
    part = without_test_part(digits)
    n_samples = len(digits.train_features)
    assert len(part.test_features) == round(n_samples / 4)
    for features, classes in (
        (part.train_features, part.train_classes),
        (part.test_features, part.test_classes),
    ):
        assert classes is not None
        assert len(features) == len(classes)

    def rows(*parts: tuple[Any, Any]) -> list[tuple[float, ...]]:
        return sorted(
            (float(number), *features.ravel().tolist())
            for one, classes in parts
            for features, number in zip(one[:], classes, strict=True)
        )

    assert rows(
        (part.train_features, part.train_classes), (part.test_features, part.test_classes)
    ) == rows((digits.train_features, digits.train_classes))


def test_the_most_accurate_within_the_budget_is_trained_on_all_samples(
    tmp_path: Path, capsys: Capsys
) -> None:
    path, out = write_experiment(tmp_path, LOOKUPS), tmp_path / "out"
    rows = run(capsys, "explore", path, "--out", out, "--json").result["variants"]
    assert rows[-1]["variant"] == LARGER
    for budget in (rows[-1]["logic_cells"] + 30, rows[-1]["logic_cells"] - 1):
        answer = run(capsys, "explore", path, "--budget", budget, "--out", out, "--json")
        assert answer.exit_code == 0
        chosen = answer.result["chosen"]
        assert json.loads((out / "summary.json").read_text()) == chosen
        best = max(
            (row for row in rows if row["logic_cells"] <= budget),
            key=lambda row: row["validation_accuracy"],
        )
        assert chosen["variant"] == best["variant"]
        assert chosen["validation_accuracy"] == best["validation_accuracy"]
        digits = load_dataset("digits")
        network = Network.load(out / "network.safetensors")
        experiment = load_experiment(out / "experiment.toml")
        again = train_discretized(experiment, digits).network
        assert (
            evaluate(network, digits.test_features[:]) == evaluate(again, digits.test_features[:])
        ).all()
        assert chosen["test_accuracy"] == accuracy_of(network, digits)
        assert chosen["logic_cells"] == cells_of(network) <= budget


def test_operand_bits_are_searched_for_the_budget(tmp_path: Path, capsys: Capsys) -> None:
    path, out = write_experiment(tmp_path, PRUNED), tmp_path / "out"
    answer = run(capsys, "explore", path, "--budget", 500, "--out", out, "--json")
    assert answer.exit_code == 0
    rows, chosen = answer.result["variants"], answer.result["chosen"]
    assert 1 < len(rows) <= 1 + TRAININGS_MAX
    assert rows[-1]["logic_cells"] > 500, "the experiment itself does not fit"
    assert max(row["logic_cells"] for row in rows if row["logic_cells"] <= 500) > 450
    assert cells_of(Network.load(out / "network.safetensors")) == chosen["logic_cells"] <= 500
    bits = load_experiment(out / "experiment.toml").network.operand_bits
    assert chosen["variant"] == f"network.operand_bits = {bits}"


def faked(monkeypatch: pytest.MonkeyPatch, cells: Callable[[int, int], int]) -> list[Experiment]:
    """Train nothing: take so many cells, by operand bits and samples; return for what."""
    wanted: list[Experiment] = []

    def train(experiment: Experiment, dataset: Dataset) -> Trained:
        wanted.append(experiment)
        n_neurons = cells(experiment.network.operand_bits, len(dataset.train_features))
        return Trained(random_network((64, n_neurons), (2,)), 0.0, 0)

    def estimated(network: Network) -> Estimate:
        return Estimate(network.n_outputs, 0, 0, 0, 0, 0.0, True)

    monkeypatch.setattr(module, "train_discretized", train)
    monkeypatch.setattr(module, "plan", lambda network, _: network)
    monkeypatch.setattr(module, "estimate", estimated)
    return wanted


def given_accuracies(monkeypatch: pytest.MonkeyPatch, *accuracies: float) -> None:
    given = iter(accuracies)
    monkeypatch.setattr(module, "evaluate_network", lambda *_: {"accuracy": next(given)})


def test_what_is_larger_with_all_samples_gets_fewer_operand_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    wanted = faked(monkeypatch, lambda bits, samples: 100 + bits + 5 * (samples > 1078))
    path, out = write_experiment(tmp_path, PRUNED), tmp_path / "out"
    answer = run(capsys, "explore", path, "--budget", 400, "--out", out, "--json")
    assert [row["variant"] for row in answer.result["variants"]] == ["the experiment itself"]
    assert [experiment.network.operand_bits for experiment in wanted[:2]] == [300, 300]
    bits = wanted[-1].network.operand_bits
    assert 280 <= bits <= 295
    assert answer.result["chosen"]["logic_cells"] == 105 + bits
    assert load_experiment(out / "experiment.toml") == wanted[-1]


def test_what_is_larger_with_all_samples_makes_room_for_the_next_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    sizes = iter([98, 100, 99, 101, 97])
    wanted = faked(monkeypatch, lambda *_: next(sizes))
    given_accuracies(monkeypatch, 0.5, 0.75, 0.25, 0.9, 0.6)
    path, out = write_experiment(tmp_path, LOOKUPS), tmp_path / "out"
    answer = run(capsys, "explore", path, "--budget", 100, "--out", out, "--json")
    assert answer.exit_code == 0
    assert [row["validation_accuracy"] for row in answer.result["variants"]] == [0.5, 0.25, 0.75]
    chosen = answer.result["chosen"]
    assert (chosen["logic_cells"], chosen["validation_accuracy"]) == (97, 0.5)
    assert chosen["test_accuracy"] == 0.6
    assert wanted[3:] == [wanted[1], wanted[0]]


def test_a_layer_that_would_be_empty_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    def cells(bits: int, _: int) -> int:
        if bits < 100:
            raise UserError("Too few.")
        return 100 + bits

    wanted = faked(monkeypatch, cells)
    path, out = write_experiment(tmp_path, PRUNED), tmp_path / "out"
    answer = run(capsys, "explore", path, "--budget", 150, "--out", out)
    assert (answer.exit_code, answer.output, len(wanted)) == (2, "", 2)
    assert answer.errors.splitlines()[-2:] == [
        "  Too few.",
        "nomul: No variant fits 150 logic cells: the smallest, the experiment itself, takes 400; "
        "raise --budget or add smaller variants.",
    ]


def test_a_budget_that_nothing_fits_names_the_smallest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    sizes = iter([70, 90, 60])
    faked(monkeypatch, lambda *_: next(sizes))
    path, out = write_experiment(tmp_path, LOOKUPS), tmp_path / "out"
    answer = run(capsys, "explore", path, "--budget", 50, "--out", out, "--json")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.errors.splitlines()[-1] == (
        "nomul: No variant fits 50 logic cells: the smallest, training.seed = 1, takes 60; "
        "raise --budget or add smaller variants."
    )
    assert [path.name for path in out.iterdir()] == ["explored"]


def test_what_was_finished_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    path, out = write_experiment(tmp_path, LOOKUPS), tmp_path / "out"
    arguments = ("explore", path, "--budget", 5000, "--out", out)
    sizes = iter([30, 0])
    wanted = faked(monkeypatch, lambda *_: next(sizes) or interrupted())
    answer = run(capsys, *arguments)
    assert (answer.exit_code, answer.output, len(wanted)) == (2, "", 2)
    assert answer.errors.endswith("run the same command again.\n")
    wanted = faked(monkeypatch, lambda *_: 40)
    first = run(capsys, *arguments)
    assert (first.exit_code, len(wanted)) == (0, 3), "two variants, and the chosen one"
    wanted = faked(monkeypatch, lambda *_: interrupted())
    assert run(capsys, *arguments) == first
    assert wanted == []


def interrupted() -> int:
    raise KeyboardInterrupt


def test_the_table_is_sorted_by_cells_and_stars_the_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    sizes = iter([1004, 98, 1005])
    faked(monkeypatch, lambda *_: next(sizes))
    given_accuracies(monkeypatch, 0.75, 0.5, 0.25)
    path = write_experiment(tmp_path, LOOKUPS)
    answer = run(capsys, "explore", path, "--out", tmp_path / "out")
    assert answer.output.splitlines() == [
        "cells  accuracy     variant",
        f"   98    50.00%  *  {LARGER}",
        "1,004    75.00%  *  the experiment itself",
        "1,005    25.00%     training.seed = 1",
        "",
        "* on the Pareto front; accuracies are those on the samples held out",
    ]


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (
            TINY,
            ("--device", "up5"),
            "Unknown device 'up5': did you mean 'up5k'? The known ones are hx8k, up5k.",
        ),
        (
            TINY,
            ("--budget", 0),
            "--budget is 0: iCE40UP5K has 1 to 5,280 logic cells.",
        ),
        (
            TINY,
            ("--budget", 7681, "--device", "hx8k"),
            "--budget is 7681: iCE40HX8K has 1 to 7,680 logic cells.",
        ),
        (
            TINY + '[[variants]]\ndata.name = "dry-bean"\n',
            (),
            "The variants differ in their data: give each data set its own file.",
        ),
        (
            RECONSTRUCT,
            (),
            "Logic cells are estimated for chains of dense and lookup layers so far, and accuracy "
            "needs classes: measure this experiment with `nomul results`.",
        ),
        (
            '[network]\nlayers = [{ kind = "max_pool", size = 2 }]\n',
            (),
            "Logic cells are estimated for chains of dense and lookup layers so far, and accuracy "
            "needs classes: measure this experiment with `nomul results`.",
        ),
    ],
    ids=["device", "no cell", "more than there are", "data", "task", "layers"],
)
def test_what_cannot_be_explored_is_one_sentence(
    text: str, options: tuple[object, ...], sentence: str, tmp_path: Path, capsys: Capsys
) -> None:
    path = write_experiment(tmp_path, text)
    answer = run(capsys, "explore", path, "--out", tmp_path / "out", *options)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == sentence
    assert list(tmp_path.iterdir()) == [path]


def test_the_test_part_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    path = write_experiment(tmp_path, LOOKUPS.replace("steps = 200", "steps = 20"))
    arguments = ("explore", path, "--budget", 5000, "--json", "--out")
    first = run(capsys, *arguments, tmp_path / "first").result
    digits = load_dataset("digits")
    assert digits.test_classes is not None
    other = replace(digits, test_classes=(digits.test_classes + 1) % 10)
    monkeypatch.setattr(module, "experiment_data", lambda _: other)
    second = run(capsys, *arguments, tmp_path / "second").result
    assert second["variants"] == first["variants"]
    assert second["chosen"].pop("test_accuracy") != first["chosen"].pop("test_accuracy")
    assert second["chosen"].pop("network") != first["chosen"].pop("network")
    assert second["chosen"] == first["chosen"]
