"""Whoever reads what others wrote takes it or says why not, whatever it is: docs/fuzzing.md."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from benchmarks.fuzz import __main__ as command
from benchmarks.fuzz.__main__ import INPUTS, LIMITS
from benchmarks.fuzz.guard import Forbidden, watched
from benchmarks.fuzz.lines import reached_lines
from benchmarks.fuzz.mutation import Bytes, changed_bytes
from benchmarks.fuzz.page import Found, write_page
from benchmarks.fuzz.targets import TARGETS, Target, attempt, prepare
from nomul.network.errors import UserError

ROOT = Path(__file__).parents[1]
N_INPUTS = 1_500


def inputs(target: Target, n_inputs: int) -> list[bytes]:
    """Return changed seeds, and changed ones of these."""
    rng = Random(target.what)
    made = list(target.seeds())
    change = changed_bytes(rng)
    for _ in range(n_inputs):
        made.append(target.change(rng.choice(made), rng, change)[: target.max_bytes])
    return made


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    names = prepare(target, tmp_path)
    tried = inputs(target, N_INPUTS)
    taken = sum(attempt(target, data, tmp_path) for data in tried)
    assert 0 < taken <= len(tried)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str, tmp_path: Path) -> None:
    """But for the answers of a board that refuses, and an engine that is foreign."""
    target = TARGETS[name]
    prepare(target, tmp_path)
    taken = [attempt(target, data, tmp_path) for data in target.seeds()]
    assert sum(taken) >= len(taken) / 2 if name == "host" else all(taken)


needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris comes with the extra fuzz"
)


@pytest.mark.slow
@needs_atheris
@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_finds_nothing(name: str, tmp_path: Path) -> None:
    arguments = ["-m", "benchmarks.fuzz.worker", name, "5000", "2", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert json.loads((tmp_path / "report.json").read_text())["inputs"] >= 5000
    assert list((tmp_path / "findings").iterdir()) == []


# Its parser fails when it meets anything but a seed: long before the worker's next report is due.
BROKEN_WORKER = """
import dataclasses
from benchmarks.fuzz import targets, worker

target = targets.TARGETS["host"]
seeds = target.seeds()

def fail(data, path):
    if data and data not in seeds:
        raise KeyError("planted")

targets.TARGETS["host"] = dataclasses.replace(target, parse=fail)
worker.main()
"""


@needs_atheris
def test_a_finding_among_the_first_inputs_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "host" / "1"
    folder.mkdir(parents=True)
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN_WORKER, "host", "5000", "1", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert ended.returncode
    (folder / "log").write_bytes(ended.stdout + f"\nexit code {ended.returncode}\n".encode())
    monkeypatch.setattr(command, "KEPT", tmp_path)
    found = command._found("host")
    assert found.findings == ("KeyError: 'planted'",)
    assert found.inputs < 1_000


def test_a_process_that_ends_without_an_exception_is_a_finding() -> None:
    killed, whole = "INFO: Seed: 1\n\nexit code -9\n", "Done 5 runs\n\nexit code 0\n"
    assert command._findings(killed) == ["exit code -9"]
    assert command._findings(whole) == []


def test_a_parser_that_raises_something_else_is_found(tmp_path: Path) -> None:
    def fail(data: bytes, path: Path) -> None:  # noqa: ARG001
        raise KeyError("x")

    with pytest.raises(KeyError):
        attempt(broken(fail), b"", tmp_path)


def broken(parse: Callable[[bytes, Path], None]) -> Target:
    def unchanged(data: bytes, rng: Random, change: Bytes) -> bytes:  # noqa: ARG001
        return data

    return Target("", list, unchanged, parse, 0, ())


@pytest.mark.parametrize(
    "does",
    [
        lambda path: (path / "made").write_text(""),
        lambda path: (path / "made").mkdir(),
        lambda path: (path / "other").read_text(),
        os.listdir,
        lambda path: list(os.scandir(path)),
        lambda _: eval("1"),
        lambda _: os.system("true"),
        lambda _: subprocess.run(["true"], check=False),
    ],
    ids=["writes", "makes", "reads", "lists", "scans", "evaluates", "calls", "starts"],
)
def test_a_parser_that_does_more_than_read_its_file_is_found(
    does: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(Forbidden), watched(tmp_path / "input", frozenset()):
        does(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_the_file_itself_may_be_read(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text("1")
    with watched(path, frozenset()):
        assert path.read_text() == "1"
    with pytest.raises(Forbidden), watched(path, frozenset()):
        path.write_text("2")
    assert path.read_text() == "1"


def test_lines_are_those_of_the_functions_that_are_entered(tmp_path: Path) -> None:
    target = TARGETS["data"]
    seed = target.seeds()[0]
    reached, of = reached_lines(target, [seed], tmp_path)
    more, of_more = reached_lines(target, [*target.seeds(), b"no data"], tmp_path)
    assert 0 < reached < more
    assert of < of_more
    assert more <= of_more


def test_the_shares_make_a_whole() -> None:
    assert sum(target.share for target in TARGETS.values()) == pytest.approx(1)


def test_a_sentence_is_what_a_parser_may_raise(tmp_path: Path) -> None:
    def refuse(data: bytes, path: Path) -> None:  # noqa: ARG001
        raise UserError("No.")

    assert not attempt(broken(refuse), b"", tmp_path)


def test_the_page_is_what_the_command_writes() -> None:
    content = json.loads((ROOT / "docs/fuzzing.json").read_text())
    found = {
        name: Found(**row | {"findings": tuple(row["findings"])})
        for name, row in content["targets"].items()
    }
    assert found.keys() == TARGETS.keys()
    assert sum(row.inputs for row in found.values()) >= INPUTS
    assert not any(row.findings for row in found.values())
    page = write_page(found, content["command"], content["atheris"], LIMITS)
    assert (ROOT / "docs/fuzzing.md").read_text() == page
