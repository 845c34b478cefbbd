from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nomul.cli.result_row import ResultRow, read_rows, rows_as_json
from nomul.network import UserError

ENTRY: dict[str, Any] = {
    "experiment": "digits",
    "levels": 4,
    "codebook": "grid 5",
    "scope": "layer",
    "seeds": 3,
    "metric": "accuracy",
    "float_mean": 0.75,
    "float_std": 0.01,
    "mean": 0.5,
    "std": 0.02,
    "memory_ratio": 0.2,
    "encoded_ratio": 0.1,
    "command": "nomul results digits.toml --seeds 3",
}


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([ENTRY, ENTRY | {"levels": 8}]))
    rows = read_rows(path)
    assert rows == [ResultRow(**ENTRY), ResultRow(**(ENTRY | {"levels": 8}))]
    assert json.loads(rows_as_json(rows)) == [ENTRY, ENTRY | {"levels": 8}]
    assert list(json.loads(rows_as_json(rows))[0]) == list(ENTRY)


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "absent.json") == []


JUNK = {
    "no JSON": "[",
    "no list": "7",
    "deep": "[" * 100_000,
    "an object": json.dumps(ENTRY),
    "a list of numbers": "[1]",
    "a key too few": json.dumps([{key: ENTRY[key] for key in list(ENTRY)[1:]}]),
    "a key too many": json.dumps([ENTRY | {"more": 1}]),
    "a text as number": json.dumps([ENTRY | {"mean": "0.5"}]),
    "truth as number": json.dumps([ENTRY | {"seeds": True}]),
    "not finite": json.dumps([ENTRY | {"std": math.nan}]),
    "another metric": json.dumps([ENTRY | {"metric": "loss"}]),
    "a codebook without a size": json.dumps([ENTRY | {"codebook": "grid"}]),
    "a codebook of nothing": json.dumps([ENTRY | {"codebook": "grid 0"}]),
}


@pytest.mark.parametrize("name", JUNK)
def test_what_is_no_list_of_results_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(JUNK[name])
    with pytest.raises(UserError) as caught:
        read_rows(path)
    assert str(caught.value) == f"{path} is no list of results: mend it, or remove it."


def test_another_measurement_has_another_identity() -> None:
    row = ResultRow(**ENTRY)
    assert ResultRow(**(ENTRY | {"seeds": 5, "mean": 0.1, "command": "x"})).identity == row.identity
    for other in (
        {"experiment": "mnist"},
        {"levels": 8},
        {"codebook": "kmeans 5"},
        {"scope": "network"},
    ):
        assert ResultRow(**(ENTRY | other)).identity != row.identity


def test_many_levels_and_centres_come_first() -> None:
    rows = [
        ResultRow(**(ENTRY | {"experiment": name, "levels": levels, "codebook": codebook}))
        for name, levels, codebook in (
            ("b", 32, "grid 101"),
            ("a", 4, "grid 5"),
            ("a", 16, "grid 5"),
            ("a", 16, "kmeans 33"),
            ("a", 16, "grid 101"),
        )
    ]
    assert [
        (row.experiment, row.levels, row.n_centres)
        for row in sorted(rows, key=lambda row: row.order)
    ] == [("a", 16, 101), ("a", 16, 33), ("a", 16, 5), ("a", 4, 5), ("b", 32, 101)]


def test_accuracies_are_compared_by_difference_and_errors_by_ratio() -> None:
    assert ResultRow(**ENTRY).compared == -0.25
    errors = ENTRY | {"metric": "squared_error", "mean": 1.5}
    assert ResultRow(**errors).compared == 2.0
    assert ResultRow(**(errors | {"float_mean": 0.0})).compared == math.inf
