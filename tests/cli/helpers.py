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

import pytest

from nomul.cli.main import main
from nomul.network import Network
from tests.networks import random_network

__all__ = ["TINY", "Answer", "digits_network", "run", "run_process", "write_experiment"]

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


def digits_network(folder: Path, network: Network | None = None) -> Path:
    """Write a network that takes the digits, or another."""
    path = folder / "network.safetensors"
    (network or random_network((64, 3, 10), (2, 2))).save(path)
    return path


def write_experiment(folder: Path, text: str = TINY) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text)
    return path
