"""Processes killed at any moment leave complete files or none, and the next run clears away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from nomul.network import Network
from nomul.train.experiment_file import load_experiment
from tests.cli.helpers import TINY
from tests.networks import random_network

TINY_WITH_CHECKPOINTS = TINY + "checkpoint_every = 3\n"
LONGER = TINY.replace("steps = 8", "steps = 1500\ncheckpoint_every = 40")

# Runs the command in a fork, once for each number on standard input: 0 is a whole run, n is killed
# when it is about to touch a file for the n-th time. Prints how often it touched one, and how it
# ended.
FORKS = """
import os, signal, sys
import sklearn.datasets, torch
import nomul.cli.training, nomul.network.encoded, nomul.train.data, nomul.train.run
from nomul.cli.main import main

TOUCHES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def run(fatal):
    touched = 0
    def hook(event, arguments):
        nonlocal touched
        touches = event in TOUCHES or event == "open" and bool(arguments[2] & WRITES)
        touched += touches
        if touches and touched == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1), os.dup2(silent, 2)
    code = main(sys.argv[1:])
    assert touched < 1 << 16
    os.write(answer, touched.to_bytes(2, "little"))
    os._exit(code)

for line in sys.stdin:
    asked, answer = os.pipe()
    if not (child := os.fork()):
        run(int(line))
    os.close(answer)
    status = os.waitpid(child, 0)[1]
    touched = int.from_bytes(os.read(asked, 2), "little")
    os.close(asked)
    print(touched, os.waitstatus_to_exitcode(status), flush=True)
"""

Run = Callable[[int], tuple[int, int]]
"""Runs the command, killed at the given touch of a file; returns the touches and how it ended."""


@contextmanager
def forks(*arguments: object) -> Iterator[Run]:
    """Let a process import what training needs, and then run the command in one fork each."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # a fork of threads would stand still
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run(fatal: int) -> tuple[int, int]:
        stdin.write(f"{fatal}\n")
        stdin.flush()
        touched, code = map(int, stdout.readline().split())
        return touched, code

    with process:
        yield run


def damaged(folder: Path) -> list[str]:
    """Return the products in ``folder`` that are there and not complete."""
    return [path.name for path in sorted(folder.glob("[!.]*")) if not is_complete(path)]


def is_complete(path: Path) -> bool:
    content = path.read_bytes()
    match path.suffix:
        case ".checkpoint":
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        case ".json":
            return isinstance(json.loads(content), dict)
        case ".toml":
            return bool(load_experiment(path).training.steps)
        case ".safetensors" if path.stem == "network":
            return Network.load(path).n_outputs > 0
        case _:
            return len(content) > 0


def products(folder: Path) -> dict[str, object]:
    """Return what a run made, without how long it took."""
    made: dict[str, object] = {}
    for path in sorted(folder.iterdir()):
        made[path.name] = path.read_bytes()
        if path.suffix == ".json":
            made[path.name] = timeless(json.loads(path.read_text()))
        elif path.suffix == ".log":
            made[path.name] = "a log"
    return made


def timeless(content: object) -> object:
    """Return a JSON value without the seconds in it."""
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items() if key != "seconds"}
    if isinstance(content, list):
        return [timeless(entry) for entry in content]
    return content


def check_kills_of_training(folder: Path, text: str, choose: Callable[[int], list[int]]) -> None:
    """Kill training at some of its touches of files; each time let it complete, and compare."""
    experiment, out = folder / "experiment.toml", folder / "out"
    experiment.write_text(text)
    with forks("train", experiment, "--out", out) as run:
        touches, code = run(0)
        assert code == 0
        expected = products(out)
        assert {"network.safetensors", "training.json"} <= expected.keys()
        for fatal in choose(touches):
            for path in out.iterdir():
                path.unlink()
            out.rmdir()
            assert run(fatal)[1] == -signal.SIGKILL, fatal
            assert not out.exists() or damaged(out) == [], fatal
            assert run(0)[1] == 0, fatal
            assert products(out) == expected, fatal
            assert sorted(path.name for path in folder.iterdir()) == [experiment.name, "out"]


def test_training_that_is_killed_completes_the_next_time(tmp_path: Path) -> None:
    check_kills_of_training(
        tmp_path,
        TINY_WITH_CHECKPOINTS,
        lambda touches: Random(1).sample(range(1, touches + 1), 3),
    )


@pytest.mark.slow
def test_training_may_be_killed_at_every_touch_of_a_file(tmp_path: Path) -> None:
    check_kills_of_training(
        tmp_path, TINY_WITH_CHECKPOINTS, lambda touches: list(range(1, touches + 1))
    )


def test_an_incomplete_product_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    random_network((3, 2), (2,)).save(path)
    (tmp_path / "training.json").write_text("{}")
    assert damaged(tmp_path) == []
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Exception, match="altered"):
        damaged(tmp_path)


def command(*arguments: object) -> subprocess.Popen[bytes]:
    """Start the command as a user does, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "nomul.cli.main", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def check_kills_of_command(
    out: Path, arguments: tuple[object, ...], n_kills: int, result: str
) -> None:
    """Kill a command at random moments, alone or with its tools; let it complete, and compare."""
    rng = Random(" ".join(map(str, arguments[:1])))
    started = time.monotonic()
    assert command(*arguments, "--out", out).wait() == 0
    seconds = time.monotonic() - started
    expected = products(out)
    again = out.with_name("again")
    n_killed = 0
    sessions = []
    for _ in range(n_kills):
        process = command(*arguments, "--out", again)
        sessions.append(process.pid)
        try:
            process.wait(rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            n_killed += 1
            # Its tools may outlive it, and go on writing while the next run begins.
            (os.killpg if rng.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
        assert not again.exists() or damaged(again) == []
    assert n_killed
    assert command(*arguments, "--out", again).wait() == 0
    for session in sessions:
        with suppress(ProcessLookupError):
            os.killpg(session, signal.SIGKILL)
    assert command(*arguments, "--out", again).wait() == 0
    made = products(again)
    assert made.keys() == expected.keys()
    assert made[result] == expected[result]
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_training_may_be_killed_at_random_moments(tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(LONGER)
    check_kills_of_command(tmp_path / "out", ("train", experiment), 12, "network.safetensors")


@pytest.mark.slow
def test_building_may_be_killed_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    random_network((3, 2), (2,)).save(path)
    check_kills_of_command(
        tmp_path / "out", ("build", path, "--board", "icebreaker"), 8, "icebreaker.bin"
    )


@pytest.mark.slow
def test_verifying_may_be_killed_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    random_network((3, 2), (2,)).save(path)
    check_kills_of_command(tmp_path / "out", ("verify", path), 6, "verify.json")
