from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nomul.cli import results
from nomul.cli.result_row import ResultRow
from nomul.cli.results import add_results, measure_variants, results_page
from nomul.cli.training import experiment_data, train_discretized, train_twin
from nomul.network import memory_account
from nomul.network.encoded import write_encoded
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import load_variants
from tests.cli.helpers import RECONSTRUCT, TINY, run, run_without, write_experiment

Capsys = pytest.CaptureFixture[str]

KEYS = [
    *("experiment", "levels", "codebook", "scope", "seeds", "metric", "float_mean", "float_std"),
    *("mean", "std", "memory_ratio", "encoded_ratio", "command"),
]

VARIANTS = """
[[variants]]
codebook = { size = 5 }
training = { cluster_from = 0.5 }
[[variants]]
network = { levels = 3, fan_in = [] }
[[variants]]
codebook = { scope = "network" }
input.levels = 3
"""


def test_a_row_tells_mean_and_deviation_over_seeds(tmp_path: Path, capsys: Capsys) -> None:
    path, docs = write_experiment(tmp_path), tmp_path / "docs"
    answer = run(capsys, "results", path, "--seeds", 2, "--docs", docs, "--json")
    assert answer.exit_code == 0
    (row,) = answer.result["rows"]
    assert list(row) == KEYS
    assert json.loads((docs / "results.json").read_text()) == [row]
    floats, scores, ratios, encoded = [], [], [], []
    for seed in range(2):
        (experiment,) = load_variants(
            write_experiment(tmp_path, TINY.replace("[training]", f"[training]\nseed = {seed}"))
        )
        dataset = experiment_data(experiment)
        floats.append(train_twin(experiment, dataset))
        trained = train_discretized(experiment, dataset)
        scores.append(trained.score)
        memory = memory_account(trained.network)
        ratios.append(memory.total / (32 * (64 * 4 + 4 + 4 * 10 + 10)))
        write_encoded(trained.network.document(), tmp_path / "encoded")
        bits = 8 * (tmp_path / "encoded").stat().st_size
        encoded.append(bits / (32 * (64 * 4 + 4 + 4 * 10 + 10)))
    assert floats[0] != floats[1]
    assert row == {
        "experiment": "experiment",
        "levels": 2,
        "codebook": "grid 3",
        "scope": "layer",
        "seeds": 2,
        "metric": "accuracy",
        "float_mean": pytest.approx(sum(floats) / 2),
        "float_std": pytest.approx(abs(floats[0] - floats[1]) / 2**0.5),
        "mean": pytest.approx(sum(scores) / 2),
        "std": pytest.approx(abs(scores[0] - scores[1]) / 2**0.5),
        "memory_ratio": pytest.approx(sum(ratios) / 2),
        "encoded_ratio": pytest.approx(sum(encoded) / 2),
        "command": f"nomul results {path} --seeds 2",
    }


def test_one_seed_has_no_deviation(tmp_path: Path, capsys: Capsys) -> None:
    path, docs = write_experiment(tmp_path, RECONSTRUCT), tmp_path / "docs"
    answer = run(capsys, "results", path, "--seeds", 1, "--docs", docs, "--json")
    (row,) = answer.result["rows"]
    assert (row["metric"], row["float_std"], row["std"]) == ("squared_error", 0.0, 0.0)


def counted(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[Experiment], list[Experiment]]:
    """Train one network alone; return of what twins and what networks were wanted."""
    twins: list[Experiment] = []
    wanted: list[Experiment] = []
    networks: list[Any] = []

    def twin(experiment: Experiment, dataset: Dataset) -> float:
        assert dataset.name == "digits"
        twins.append(experiment)
        return 0.5 + experiment.training.seed / 4

    def discretized(experiment: Experiment, dataset: Dataset) -> Any:
        wanted.append(experiment)
        if not networks:
            networks.append(train_discretized(experiment, dataset))
        return networks[0]

    monkeypatch.setattr(results, "train_twin", twin)
    monkeypatch.setattr(results, "train_discretized", discretized)
    return twins, wanted


def test_twins_that_are_alike_are_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins, wanted = counted(monkeypatch)
    path = write_experiment(tmp_path, TINY + VARIANTS)
    rows = list(measure_variants(path, load_variants(path), 2))
    assert [(row.levels, row.codebook, row.scope) for row in rows] == [
        (2, "grid 3", "layer"),
        (2, "grid 5", "layer"),
        (3, "grid 3", "layer"),
        (2, "grid 3", "network"),
    ]
    assert len(wanted) == 2 * len(rows)
    assert [(twin.input.levels, twin.training.seed) for twin in twins] == [
        *((2, 0), (2, 1), (3, 0), (3, 1)),
    ]
    for row in rows:
        assert row.float_mean == 0.625
        assert row.float_std == pytest.approx(0.25 / 2**0.5)


def test_a_twin_of_another_network_is_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins, _ = counted(monkeypatch)
    text = f"{TINY}[[variants]]\nnetwork = {{ levels = 3, batch_norm = true }}\n"
    path = write_experiment(tmp_path, text)
    assert len(list(measure_variants(path, load_variants(path), 1))) == 2
    assert [twin.network.batch_norm for twin in twins] == [False, True]


def entry(experiment: str, levels: int, **changes: Any) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "levels": levels,
        "codebook": "grid 3",
        "scope": "layer",
        "seeds": 3,
        "metric": "accuracy",
        "float_mean": 0.98012,
        "float_std": 0.00123,
        "mean": 0.97512,
        "std": 0.00099,
        "memory_ratio": 0.2004,
        "encoded_ratio": 0.1006,
        "command": f"nomul results {experiment}.toml --seeds 3",
    } | changes


def test_rows_of_other_measurements_stay_and_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(monkeypatch)
    path, docs = write_experiment(tmp_path), tmp_path / "docs"
    docs.mkdir()
    others = [entry("experiment", 4), entry("aaa", 2), entry("zzz", 2)]
    old = entry("experiment", 2, mean=0.111)
    (docs / "results.json").write_text(json.dumps([*others, old]))
    (row,) = add_results([path], 1, docs)
    found = json.loads((docs / "results.json").read_text())
    assert [(other["experiment"], other["levels"]) for other in found] == [
        *(("aaa", 2), ("experiment", 4), ("experiment", 2), ("zzz", 2)),
    ]
    assert [found[1], found[0], found[3]] == others
    assert found[2]["mean"] == row.mean != 0.111
    assert (docs / "results.md").read_text() == results_page(
        [ResultRow(**other) for other in found]
    )
    assert {file.name for file in docs.iterdir()} == {"results.json", "results.md"}


def test_the_page_has_a_table_for_each_metric_and_every_command() -> None:
    error = {"metric": "squared_error", "float_mean": 0.01, "float_std": 0.0, "mean": 0.0125}
    rows = [ResultRow(**entry("digits", 2)), ResultRow(**entry("auto", 8, **error, std=0.0005))]
    lines = results_page(rows).splitlines()
    assert lines[0] == "# Results"
    titles = [line for line in lines if line.startswith("## ")]
    assert titles == [
        "## Classification: accuracy in %, and the difference in points",
        "## Auto-encoders: mean squared error × 1000 of features scaled to 0..1",
        "## Commands",
    ]
    assert [line for line in lines if line.startswith("| ") and "|A" not in line][1::2] == [
        "| digits | 2 | grid 3, layer | 3 | 98.01 ± 0.12 | 97.51 ± 0.10 | -0.50 | 0.200 | 0.101 |",
        "| auto | 8 | grid 3, layer | 3 | 10.000 ± 0.000 | 12.500 ± 0.500 | 1.2500 "
        "| 0.200 | 0.101 |",
    ]
    heads = [line for line in lines if line.startswith("| experiment")]
    assert [head.split(" | ")[6] for head in heads] == ["difference", "ratio"]
    assert lines[-4:] == [
        "```sh",
        "nomul results auto.toml --seeds 3",
        "nomul results digits.toml --seeds 3",
        "```",
    ]


def test_a_page_without_auto_encoders_has_no_table_for_them() -> None:
    page = results_page([ResultRow(**entry("digits", 2))])
    assert "squared error" not in page


def test_the_curve_of_an_auto_encoder_is_drawn_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    counted(monkeypatch)
    text = f"{RECONSTRUCT}[[variants]]\nnetwork.levels = 4\n[[variants]]\nnetwork.levels = 2\n"
    path, docs = write_experiment(tmp_path, text), tmp_path / "docs"
    answer = run(capsys, "results", path, "--seeds", 1, "--docs", docs)
    link = "![Squared error of experiment over |A|](experiment-curve.svg)"
    assert link in (docs / "results.md").read_text().splitlines()
    assert {file.name for file in docs.iterdir()} == {
        *("results.json", "results.md", "experiment-curve.svg"),
    }
    assert answer.exit_code == 0
    assert answer.output == (docs / "results.md").read_text().replace(f"\n{link}\n", "")


def test_the_steps_and_notes_go_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    counted(monkeypatch)
    text = TINY.replace("size = 3", "size = 6")
    text += "[[variants]]\nnetwork.levels = 3\n[[variants]]\nnetwork.levels = 4\n"
    path = write_experiment(tmp_path, text)
    answer = run(capsys, "results", path, "--seeds", 2, "--docs", tmp_path, "--json")
    assert [line for line in answer.errors.splitlines() if line[0] != " "] == [
        "note: codebook.size is 6: grid is symmetric around a centre, so 5 centres are used.",
        *(
            f"experiment, |A| = {levels}, grid 5, layer, seed {seed}"
            for levels in (2, 3, 4)
            for seed in (0, 1)
        ),
    ]


def test_there_is_a_seed(tmp_path: Path, capsys: Capsys) -> None:
    path = write_experiment(tmp_path)
    for seeds in (0, -1):
        answer = run(capsys, "results", path, "--seeds", seeds, "--docs", tmp_path / "docs")
        assert (answer.exit_code, answer.output) == (2, "")
        assert answer.sentence == f"--seeds is {seeds}: at least one is needed."
    assert not (tmp_path / "docs").exists()


def test_a_file_that_is_no_list_of_results_is_refused_before_the_training(
    tmp_path: Path, capsys: Capsys
) -> None:
    junk = tmp_path / "results.json"
    junk.write_text('[{"experiment": "digits"}]')
    answer = run(capsys, "results", write_experiment(tmp_path), "--docs", tmp_path)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == f"{junk} is no list of results: mend it, or remove it."
    assert junk.read_text() == '[{"experiment": "digits"}]'


def test_every_experiment_is_read_before_the_first_is_trained(
    tmp_path: Path, capsys: Capsys
) -> None:
    absent = tmp_path / "absent.toml"
    answer = run(capsys, "results", write_experiment(tmp_path), absent, "--docs", tmp_path / "docs")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (f"Cannot read the experiment {absent}: No such file or directory.")


def test_rows_that_would_take_each_others_place_are_refused(tmp_path: Path, capsys: Capsys) -> None:
    path = write_experiment(tmp_path, f"{TINY}[[variants]]\nnetwork.batch_norm = true\n")
    answer = run(capsys, "results", path, "--docs", tmp_path / "docs")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        f"{path} leads to two rows for |A| = 2, grid 3, layer: variants must differ in levels, "
        "lookups, codebook or scope, and files in their names."
    )


LOOKUPS = """
[input]
levels = 2
[network]
layers = [{ kind = "lookup", neurons = 12, fan_in = 3 }]
output = { kind = "class_sum" }
levels = 2
[training]
steps = 8
[[variants]]
network.layers = [{ kind = "lookup", neurons = 30 }, { kind = "lookup", neurons = 20 }]
[[variants]]
codebook = { kind = "ternary", size = 3, scope = "layer" }
network.layers = [{ kind = "lookup", neurons = 20 }]
network.output = { kind = "dense", neurons = 10 }
"""


def test_lookups_stand_where_a_codebook_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(monkeypatch)
    rows = add_results([write_experiment(tmp_path, LOOKUPS)], 1, tmp_path)
    assert [(row.codebook, row.scope, row.n_centres) for row in rows] == [
        ("lookups 3 x 12", "neuron", 12),
        ("lookups 4 x 30, 4 x 20", "neuron", 20),
        ("lookups 4 x 20; ternary 3", "layer", 3),
    ]


def test_a_path_with_a_space_is_quoted_in_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(monkeypatch)
    folder = tmp_path / "my experiments"
    folder.mkdir()
    (row,) = add_results([write_experiment(folder)], 1, tmp_path)
    assert row.command == f"nomul results '{folder}/experiment.toml' --seeds 1"


def test_without_matplotlib_it_is_said_before_the_training(tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    answer = run_without(("matplotlib",), "results", path, "--docs", tmp_path / "docs")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == 'matplotlib is not installed: run `pip install "nomul[results]"`.'
    assert list(tmp_path.iterdir()) == [path]
