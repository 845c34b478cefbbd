from __future__ import annotations

from pathlib import Path

import pytest

from nomul.cli.training_commands import DEMO, TRAINING_COMMANDS
from tests.cli.helpers import run, write_experiment

Capsys = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", [*TRAINING_COMMANDS, "demo"])
def test_an_experiment_that_is_not_there_is_refused(
    name: str, tmp_path: Path, capsys: Capsys
) -> None:
    out = {"results": ["--docs", tmp_path], "explore": []}.get(name, ["--out", tmp_path / "out"])
    answer = run(capsys, name, tmp_path / "absent.toml", *out)
    assert (answer.exit_code, answer.output) == (2, "")
    assert "absent.toml" in answer.sentence
    assert list(tmp_path.iterdir()) == []


def test_the_board_of_an_experiment_is_checked_before_it_is_trained(
    tmp_path: Path, capsys: Capsys
) -> None:
    path = write_experiment(tmp_path, '[hardware]\nboard = "icebraker"\n')
    answer = run(capsys, "train", path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence.startswith("Unknown board 'icebraker'")


def test_the_demo_is_the_whole_way() -> None:
    assert "demo" not in TRAINING_COMMANDS
    assert DEMO.example.startswith("nomul demo ")
