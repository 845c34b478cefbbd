"""The ladder on a network file: its rows, its report, and what shows a difference again."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from nomul.boards.catalog import Board, find_board
from nomul.boards.fitting import fold_for
from nomul.cli.evaluation import check_features
from nomul.cli.training import experiment_data
from nomul.network import CheckFailed, Network, UserError
from nomul.network.files import write_complete
from nomul.train.data import load_dataset
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import load_experiment
from nomul.verify.coverage import coverage
from nomul.verify.hardware_coverage import folded_coverage
from nomul.verify.ladder import FAST, FULL, Subject, rungs
from nomul.verify.reproducer import read_reproducer, write_reproducer
from nomul.verify.rung import climb
from nomul.verify.samples import directed_samples, random_samples, samples_of
from nomul.verify.step import Step

__all__ = ["verify", "verify_again"]

_N_RANDOM = 1000
_N_COVERED = 1000  # of pictures, more take long


def verify(
    path: Path,
    board: Board,
    *,
    folded: bool,
    data: str | None,
    is_full: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Take a network through all steps, print a row for each, and write ``out/verify.json``.

    Parameters
    ----------
    data
        Data set; by default the one of experiment.toml beside the network, or random levels where
        there is none.

    Raises
    ------
    UserError
        If the network can be made no hardware of, or its data are not there.
    CheckFailed
        If a step differs. ``out/different`` then shows the first of them again.
    """
    subject = _subject(path, board, data, folded=folded)
    network, dataset = subject.network, subject.dataset
    if dataset is None:
        samples = random_samples(network, _N_RANDOM)
        origin = f"{_N_RANDOM:,} samples of random levels"
    else:
        check_features(network, dataset)
        samples = samples_of(network, dataset.test_features[:])
        origin = f"{len(samples):,} test samples of {dataset.name}"
    if not len(samples):
        raise UserError(f"{origin.capitalize()}: there is nothing to compare.")
    everything = samples
    if is_full and not folded:
        everything = samples.joined(directed_samples(network))
        origin += f", and {len(everything) - len(samples):,} that lead hardware to its edges"
    effort = FULL if is_full else FAST
    ladder = list(rungs(subject, effort))
    if not as_json:
        print(f"{path} on {board.title}, {origin}\n\n{_HEADER}")
    steps: list[Step] = []
    failed: Step | None = None
    with tempfile.TemporaryDirectory(prefix="nomul-verify-") as name:
        for rung in ladder:
            taken = everything if rung.takes_directed else samples
            if not as_json and sys.stderr.isatty():
                # As wide as the names of rows, one of which will be written over it.
                print(f"{rung.name:<26} ...", end="\r", flush=True, file=sys.stderr)
            step = climb(rung, taken, Path(name))
            steps.append(step)
            if not as_json:
                print(_row(step), flush=True)
            if failed is None and step.status == "different":
                failed = step
                write_reproducer(rung, step, subject, taken, Path(name), out / "different")
    covered = coverage(network, everything.levels[:_N_COVERED])
    lines = covered.lines()
    if folded:
        lines += folded_coverage(subject.program).lines()
    if not as_json:
        print(f"\nWhat {covered.n_samples:,} samples exercise\n", *lines, sep="\n")
    result = {
        "network": str(path),
        "board": board.name,
        "folded": folded,
        "samples": origin,
        "effort": "full" if is_full else "fast",
        "steps": [step.row() for step in steps],
        "coverage": {"samples": covered.n_samples, "found": lines},
        "reproducer": str(out / "different") if failed else None,
    }
    write_complete(out / "verify.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print(json.dumps(result))
    if failed is not None:
        raise CheckFailed(
            f"{failed.name} differs: {failed.first_difference}; `nomul verify {out / 'different'}` "
            "shows it again."
        )


def verify_again(folder: Path, *, as_json: bool) -> None:
    """Take the step again that left ``folder``, on what it left there.

    Raises
    ------
    UserError
        If the folder is none that :func:`verify` left.
    CheckFailed
        If the difference is there again.
    """
    difference, _, samples = read_reproducer(folder)
    subject = _subject(
        folder / "network.safetensors",
        find_board(difference.board),
        None,
        folded=difference.folded,
    )
    named = [rung for rung in rungs(subject, FULL) if rung.name == difference.step]
    if not named:
        raise UserError(f"{folder} names a step that there is not, {difference.step!r}.")
    # Where the making itself failed, nothing of it is there.
    made = any(path.is_file() for pattern in named[0].files for path in folder.glob(pattern))
    step = climb(named[0], samples, folder, makes=not made)
    if as_json:
        print(json.dumps({"steps": [step.row()], "reproducer": str(folder)}))
    else:
        print(f"{_HEADER}\n{_row(step)}")
    if step.status == "skipped":
        raise UserError(f"{step.name} cannot be taken again here: {step.detail}")
    if step.status == "different":
        raise CheckFailed(f"{step.name} differs: {step.first_difference}.")


def _subject(path: Path, board: Board, data: str | None, *, folded: bool) -> Subject:
    """Return what a network file and what lies beside it say."""
    network = Network.load(path)
    if folded:
        fold_for(network, board)  # refuses, before data are read, what the board does not hold
    experiment, dataset = _known(path.parent / "experiment.toml", data)
    return Subject(network, board, folded, path.parent, experiment, dataset)


def _known(path: Path, data: str | None) -> tuple[Experiment | None, Dataset | None]:
    """Return the experiment that lies beside a network, and the data set to use."""
    if not path.is_file():
        return None, None if data is None else load_dataset(data)
    experiment = load_experiment(path)
    if data is not None:
        settings = dataclasses.replace(experiment.data, name=data)
        experiment = dataclasses.replace(experiment, data=settings)
    return experiment, experiment_data(experiment)


_HEADER = f"{'step':<26} {'compared':>16} {'differences':>12} {'seconds':>8}"


def _row(step: Step) -> str:
    """Return a step as a line of the table."""
    if step.status == "skipped":
        return f"{step.name:<26} {'skipped':>16} {'':>12} {step.seconds:>8.1f}  {step.detail}"
    compared = f"{step.compared:,} {step.unit}"
    remark = "; ".join(filter(None, ["" if step.status == "equal" else step.status, step.detail]))
    return (
        f"{step.name:<26} {compared:>16} {step.differences:>12,} {step.seconds:>8.1f}  {remark}"
    ).rstrip()
