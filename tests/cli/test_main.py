from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nomul.cli import main as module
from nomul.cli.commands import COMMANDS
from nomul.network import CheckFailed, UserError
from tests.cli.helpers import TINY, Answer, digits_network, run, run_process, write_experiment
from tests.networks import random_network

KNOWN = (
    "build, demo, encode, estimate, evaluate, explore, fold, memory, program, results, run, "
    "simulate, train, verify, verilog"
)


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        run(capsys, *arguments, "--help")
    assert caught.value.code == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    return output


def test_help_names_every_command_and_a_way_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    assert "nomul train examples/digits.toml --out runs/digits" in text
    assert ", ".join(sorted(COMMANDS)) == KNOWN
    for name, command in COMMANDS.items():
        assert f"    {name} " in text
        assert command.summary.split()[0] in text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_shows_its_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(capsys, name)
    example = COMMANDS[name].example
    assert f"\nexample:\n  {example}\n" in text
    assert example.startswith(f"nomul {name} ")
    assert COMMANDS[name].summary in text
    assert "--json" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_understood(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    other = type(command)(command.summary, command.example, command.add_arguments, lambda _: 0)
    monkeypatch.setitem(COMMANDS, name, other)
    assert run(capsys, *command.example.split()[1:]) == Answer(0, "", "")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from nomul.cli.main import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        "    heavy = {'torch', 'amaranth', 'cocotb', 'sklearn', 'scipy', 'amaranth_boards'}\n"
        "    heavy |= {'PIL', 'constriction', 'matplotlib'}\n"
        "    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
    )
    answer = run_process(script=script)
    assert answer.exit_code == 0
    assert answer.output.startswith("usage: nomul ")
    assert answer.errors == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "The following arguments are required: COMMAND: see `nomul --help`."),
        (
            ("evalute",),
            f"Unknown command 'evalute': did you mean 'evaluate'? The known ones are {KNOWN}.",
        ),
        (
            ("xyz", "--help"),
            f"Unknown command 'xyz': choose one of {KNOWN}.",
        ),
        (
            ("train", "a.toml"),
            "The following arguments are required: --out: see `nomul train --help`.",
        ),
        (
            ("evaluate",),
            "The following arguments are required: NETWORK: see `nomul evaluate --help`.",
        ),
        (
            ("simulate", "n", "--samples", "many"),
            "Argument --samples: invalid int value: 'many': see `nomul simulate --help`.",
        ),
        (
            ("results",),
            "The following arguments are required: EXPERIMENT.toml: see `nomul results --help`.",
        ),
        (
            ("encode", "n"),
            "The following arguments are required: -o/--output: see `nomul encode --help`.",
        ),
        (("evaluate", "n", "--fast"), "Unrecognized arguments: --fast: see `nomul --help`."),
    ],
    ids=" ".join,
)
def test_a_command_line_that_is_wrong_gets_one_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = run(capsys, *arguments)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == sentence


@pytest.mark.parametrize(
    ("error", "exit_code"), [(UserError("So."), 2), (CheckFailed("So."), 1)], ids=repr
)
def test_each_family_of_errors_has_its_exit_code(
    error: Exception,
    exit_code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(module, "_run", fail)
    assert run(capsys) == Answer(exit_code, "", "nomul: So.\n")


def as_process(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> list[float]:
    """Pretend that torchrun started this, and fail; return how long it sleeps."""
    slept: list[float] = []

    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_RANK", str(number))
    monkeypatch.setattr(module, "_run", fail)
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_of_several_processes_the_first_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept = as_process(monkeypatch, 0, UserError("So."))
    assert run(capsys) == Answer(2, "", "nomul: So.\n")
    assert slept == []


def test_another_process_is_silent_when_it_is_ended_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_process(monkeypatch, 1, CheckFailed("So."))

    def ended(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", ended)
    assert run(capsys) == Answer(1, "", "")


def test_another_process_tells_what_is_its_own_trouble(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept = as_process(monkeypatch, 1, UserError("So."))
    assert run(capsys) == Answer(2, "", "nomul: So.\n")
    assert slept == [module.PATIENCE]


def test_an_interrupt_of_several_processes_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, n_lines in ((0, 1), (1, 0)):
        as_process(monkeypatch, number, KeyboardInterrupt())
        answer = run(capsys)
        assert (answer.exit_code, answer.errors.count("\n")) == (2, n_lines)


def test_an_error_of_our_own_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> int:
        raise AssertionError

    monkeypatch.setattr(module, "_run", fail)
    with pytest.raises(AssertionError):
        run(capsys)


def test_the_command_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    answer = run_process("evaluate", digits_network(tmp_path), "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert answer.result["samples"] == 360
    answer = run_process("evaluate", tmp_path / "absent")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == f"There is no network file {tmp_path / 'absent'}: check the path."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_an_interrupt_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    settings = "steps = 2000\ncheckpoint_every = 2000"
    experiment = write_experiment(tmp_path, TINY.replace("steps = 8", settings))
    # A process that was started in the background may have been told to ignore SIGINT.
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from nomul.cli.main import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", script, "train", str(experiment), "--out"]
    with subprocess.Popen(
        [*command, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "  float twin: 500 of 2000 steps\n"
        assert len(list(tmp_path.iterdir())) == 2, "the results are being staged"
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    sentence = (
        "nomul: Interrupted before the end: nothing incomplete was written; run the same "
        "command again."
    )
    assert (process.returncode, output) == (2, "")
    assert errors.splitlines()[-1] == sentence
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == [experiment]


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    network = tmp_path / "network.safetensors"
    random_network((2, 2), (2,)).save(network)
    command = [sys.executable, "-m", "nomul.cli.main", "estimate", str(network)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    network = tmp_path / "network.safetensors"
    random_network((2, 2), (2,)).save(network)
    command = [sys.executable, "-m", "nomul.cli.main", "estimate", str(network)]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (result.returncode, result.stderr) == (
        2,
        b"nomul: The system refused: No space left on device.\n",
    )
