from __future__ import annotations

from argparse import ArgumentError, ArgumentParser
from pathlib import Path

import pytest

from nomul.cli.arguments import (
    data_argument,
    network_argument,
    out_argument,
    plan_arguments,
    planned,
)
from nomul.hw.devices import find_device
from nomul.train.data import DATASETS
from tests.cli.helpers import run
from tests.networks import random_network

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


def plan_parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    plan_arguments(parser)
    return parser


@pytest.mark.parametrize(("text", "n_stages"), [("none", 0), ("0", 0), ("4", 4), ("auto", None)])
def test_a_pipeline_is_none_a_number_or_chosen(text: str, n_stages: int | None) -> None:
    assert plan_parser().parse_args(["--pipeline", text]).pipeline == n_stages


def test_without_options_a_plan_is_the_cheapest_for_the_boards_clock() -> None:
    options = plan_parser().parse_args([])
    assert (options.pipeline, options.clock, options.lower) == (None, None, [])
    network, device = random_network((3, 4, 2), (2, 2)), find_device("hx8k")
    found = planned(options, network, device)
    assert (found.network, found.device) == (network, device)


def test_a_plan_is_what_the_options_ask_for() -> None:
    words = [
        "--pipeline",
        "2",
        "--lower",
        "layers.0=plain",
        "--lower",
        "layers.1=shared",
    ]
    options = plan_parser().parse_args(words)
    found = planned(options, random_network((3, 4, 2), (2, 2)), find_device("up5k"))
    assert found.latency == 2
    assert [choice.method for choice in found.choices] == ["plain", "shared"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--pipeline", "all"), "'all' is not none, auto or a number of stages"),
        (("--pipeline", "-1"), "'-1' is not none, auto or a number of stages"),
        (("--pipeline", "1.5"), "'1.5' is not none, auto or a number of stages"),
        (("--pipeline", ""), "'' is not none, auto or a number of stages"),
        (("--clock", "fast"), "invalid float value: 'fast'"),
        (
            ("--lower", "layers.0"),
            "'layers.0' is not of the form LAYER=METHOD, as layers.0=shared",
        ),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_read_is_refused(words: tuple[str, str], sentence: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        plan_parser().parse_args([f"{words[0]}={words[1]}"])
    assert str(refused.value).endswith(f": {sentence}")
