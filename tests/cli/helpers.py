"""Runs of the command in this process and in others."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nomul.cli.main import main
from nomul.network import Conv2d, Dense, Input, Network
from tests.networks import random_network, random_tables

__all__ = [
    "RECONSTRUCT",
    "TINY",
    "Answer",
    "digits_network",
    "picture_network",
    "run",
    "run_process",
    "run_without",
    "write_experiment",
]

TINY = """
[input]
levels = 2
[network]
hidden = [4]
levels = 2
fan_in = [3, 4]
[codebook]
kind = "grid"
size = 3
scope = "layer"
[training]
steps = 8
"""

RECONSTRUCT = """
[input]
levels = 4
[network]
task = "reconstruct"
hidden = [4]
levels = 8
[codebook]
kind = "grid"
size = 5
[training]
steps = 8
"""


@dataclass(frozen=True)
class Answer:
    """What a run of the command left behind."""

    exit_code: int
    output: str
    errors: str

    @property
    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.output)
        return content

    @property
    def sentence(self) -> str:
        """The one sentence of a run that failed."""
        assert self.errors.startswith("nomul: "), self.errors
        assert self.errors.endswith("\n")
        assert self.errors.count("\n") == 1
        return self.errors.removeprefix("nomul: ").removesuffix("\n")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Answer:
    """Run the command in this process."""
    capsys.readouterr()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        exit_code = main([str(argument) for argument in arguments])
    finally:
        signal.signal(signal.SIGTERM, handler)
        # Amaranth warns of hardware that was never turned into anything: here, for it was refused.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
    return Answer(exit_code, *capsys.readouterr())


def run_process(*arguments: object, script: str | None = None) -> Answer:
    """Run the command, or a Python script, in a process of its own."""
    program = ["-m", "nomul.cli.main"] if script is None else ["-c", script]
    command = [sys.executable, *program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return Answer(result.returncode, result.stdout, result.stderr)


_HIDING = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from nomul.cli.main import main
sys.exit(main())
"""


def run_without(hidden: tuple[str, ...], *arguments: object) -> Answer:
    """Run the command in a process of its own, on a machine that has not these packages."""
    return run_process(*arguments, script=_HIDING.format(hidden=hidden))


def digits_network(folder: Path, network: Network | None = None) -> Path:
    """Write a network that takes the digits, or another."""
    path = folder / "network.safetensors"
    (network or random_network((64, 3, 10), (2, 2))).save(path)
    return path


def picture_network() -> Network:
    """Return a network that convolves pictures of 1×4×4."""
    conv = Conv2d(**random_tables((2, 1, 3, 3), 2, 2, 2))
    dense = Dense(**random_tables((3, 8), 3, 2, None), source="layers.0")
    return Network(Input((1, 4, 4), np.array([0.5])), (conv, dense))


def write_experiment(folder: Path, text: str = TINY) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text)
    return path
