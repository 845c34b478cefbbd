from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from nomul.cli.arguments import data_argument, network_argument, out_argument
from nomul.train.data import DATASETS
from tests.cli.helpers import run

Capsys = pytest.CaptureFixture[str]


def test_files_and_folders_are_paths_and_the_data_are_digits_unless_named() -> None:
    parser = ArgumentParser()
    for add in (network_argument, data_argument, out_argument):
        add(parser)
    options = parser.parse_args(["a.safetensors", "--out", "runs"])
    assert vars(options) == {
        "network": Path("a.safetensors"),
        "data": "digits",
        "out": Path("runs"),
    }


@pytest.mark.parametrize("command", ["evaluate", "simulate"])
def test_the_help_lists_the_data_sets(command: str, capsys: Capsys) -> None:
    with pytest.raises(SystemExit):
        run(capsys, command, "--help")
    output = capsys.readouterr().out
    lines = output[output.index("data sets:\n") :].splitlines()[1:]
    assert [line.split(maxsplit=1) for line in lines] == [
        [name, DATASETS[name].description] for name in sorted(DATASETS)
    ]
