"""A difference in a folder: all that shows it again, and no more."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nomul.network import Network, UserError
from nomul.network.files import staged_folder
from nomul.sim.golden import evaluate_levels
from nomul.train.data_files import read_npz
from nomul.train.experiment_file import MODULE_FILE, format_experiment
from nomul.verify.ladder import Subject
from nomul.verify.rung import Rung, climb
from nomul.verify.samples import Samples
from nomul.verify.step import Step

__all__ = ["DIFFERENCE", "Difference", "is_reproducer", "read_reproducer", "write_reproducer"]

DIFFERENCE = "difference.json"
_SAMPLE = re.compile(r"\bsample (\d+)\b")
_SAMPLES_MAX = 1000


@dataclass(frozen=True)
class Difference:
    """What a reproducer's folder says of itself.

    Attributes
    ----------
    step
        Name of the step.
    board, folded
        As in the command that found it.
    first_difference
        What it found: sample, layer and neuron, expected and found.
    samples
        Numbers of the samples that are in the folder, the first and the one behind the last.
    expected
        The golden model's answer to the last of them.
    command
        What shows the difference again.
    """

    step: str
    board: str
    folded: bool
    first_difference: str
    samples: tuple[int, int]
    expected: list[int]
    command: str


def write_reproducer(
    rung: Rung,
    step: Step,
    subject: Subject,
    samples: Samples,
    work: Path,
    folder: Path,
) -> None:
    """Write what shows the difference again that ``step`` found.

    It holds the network, the one sample with what is expected and found, and what the step read:
    the Verilog, the netlist, the bitstream. Where the sample alone shows nothing, all before it
    are there too.

    Parameters
    ----------
    work
        Where the step found what it reads.
    folder
        Where it goes; another reproducer there is removed.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    first = step.first_difference or ""
    chosen = _smallest(rung, first, samples, work)
    part = samples.part(slice(*chosen))
    difference = Difference(
        step.name,
        subject.board.name,
        subject.folded,
        first,
        chosen,
        part.expected[-1].tolist(),
        f"nomul verify {folder}",
    )
    if is_reproducer(folder):
        shutil.rmtree(folder)
    with staged_folder(folder) as stage:
        subject.network.save(stage / "network.safetensors")
        if subject.experiment is not None and MODULE_FILE in rung.files:
            (stage / "experiment.toml").write_text(format_experiment(subject.experiment))
        arrays: dict[str, Any] = {"levels": part.levels}
        if part.features is not None:
            arrays["features"] = part.features
        np.savez_compressed(stage / "samples.npz", **arrays)
        for path in sorted({path for pattern in rung.files for path in work.glob(pattern)}):
            if path.is_file():
                target = stage / path.relative_to(work)
                target.parent.mkdir(exist_ok=True)
                shutil.copy(path, target)
        text = json.dumps(asdict(difference), indent=2, ensure_ascii=False)
        (stage / DIFFERENCE).write_text(text + "\n")


def is_reproducer(folder: Path) -> bool:
    """Return whether :func:`write_reproducer` wrote this folder."""
    return (folder / DIFFERENCE).is_file()


def read_reproducer(folder: Path) -> tuple[Difference, Network, Samples]:
    """Return what a reproducer's folder holds; the golden model is asked again.

    Raises
    ------
    UserError
        If the folder is none, or damaged.
    """
    try:
        values = json.loads((folder / DIFFERENCE).read_text())
        difference = Difference(**values | {"samples": tuple(values["samples"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is no reproducer of `nomul verify`: give it a network file, or the folder "
            "that it named."
        ) from error
    arrays = read_npz(folder / "samples.npz", ("levels",), ("features",))
    levels, features = arrays["levels"], arrays.get("features")
    network = Network.load(folder / "network.safetensors")
    expected = evaluate_levels(network, levels).reshape(len(levels), -1)
    return difference, network, Samples(levels, expected, features)


def _smallest(rung: Rung, first: str, samples: Samples, work: Path) -> tuple[int, int]:
    """Return the fewest samples that show the difference: one, or all up to it."""
    found = _SAMPLE.search(first)
    if found is None or int(found[1]) >= len(samples):
        return 0, min(len(samples), rung.samples_max or _SAMPLES_MAX)
    number = int(found[1])
    alone = climb(rung, samples.part(slice(number, number + 1)), work, makes=False)
    return (number if alone.status == "different" else 0), number + 1
