from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from nomul.cli.board_commands import BOARD_COMMANDS
from tests.cli.helpers import digits_network, run

Capsys = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", BOARD_COMMANDS)
def test_a_board_is_the_icebreaker_unless_named(name: str) -> None:
    parser = ArgumentParser()
    BOARD_COMMANDS[name].add_arguments(parser)
    needed = {"build": ["--out", "o"], "program": ["--port", "p"], "run": ["--port", "p"]}
    options = parser.parse_args(["n.safetensors", *needed.get(name, [])])
    assert (options.board, options.network) == ("icebreaker", Path("n.safetensors"))


def test_verify_takes_the_experiments_data_unless_named_and_one_effort(capsys: Capsys) -> None:
    parser = ArgumentParser()
    BOARD_COMMANDS["verify"].add_arguments(parser)
    options = parser.parse_args(["n"])
    assert (options.data, options.fast, options.full, options.out) == (None, False, False, None)
    answer = run(capsys, "verify", "n", "--fast", "--full")
    assert answer.exit_code == 2
    assert answer.sentence.startswith("Argument --full: not allowed with argument --fast")


@pytest.mark.parametrize("name", BOARD_COMMANDS)
def test_an_unknown_board_is_refused_before_anything_happens(
    name: str, tmp_path: Path, capsys: Capsys
) -> None:
    needed = {"program": ["--port", "p"], "run": ["--port", "p"], "fold": []}
    out = needed.get(name, ["--out", tmp_path / "out"])
    answer = run(capsys, name, digits_network(tmp_path), "--board", "icebraker", *out)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence.startswith("Unknown board 'icebraker': did you mean 'icebreaker'?")
    assert not (tmp_path / "out").exists()
