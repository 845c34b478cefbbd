from __future__ import annotations

from pathlib import Path

import pytest

from nomul.hw.tools import ToolFailed
from nomul.network import CheckFailed, UserError
from nomul.verify.rung import Rung, climb
from nomul.verify.samples import Samples, random_samples
from nomul.verify.step import Finding
from tests.networks import random_network

SAMPLES = random_samples(random_network((3, 2), (2,)), 9)


def counted(folder: Path, samples: Samples) -> Finding:
    made = len(list(folder.iterdir()))
    return Finding(len(samples), "samples", made, "equal", "as it is")


def make(folder: Path) -> None:
    (folder / "made").touch()


@pytest.mark.parametrize(("most", "n_samples"), [(None, 9), (4, 4), (20, 9)])
def test_a_step_is_made_and_checked_on_so_many_samples(
    most: int | None, n_samples: int, tmp_path: Path
) -> None:
    step = climb(Rung("a → b", make, counted, samples_max=most), SAMPLES, tmp_path)
    assert (step.name, step.compared, step.differences, step.detail) == (
        *("a → b", n_samples, 1),
        "as it is",
    )
    assert step.seconds >= 0


def test_what_was_made_is_checked_again(tmp_path: Path) -> None:
    step = climb(Rung("a → b", make, counted), SAMPLES, tmp_path, makes=False)
    assert step.differences == 0


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (UserError("It is too large."), "It is too large."),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is not installed."),
    ],
)
def test_what_cannot_be_done_is_skipped(error: Exception, detail: str, tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise error

    step = climb(Rung("a → b", fail, counted), SAMPLES, tmp_path)
    assert (step.status, step.detail, step.compared, step.differences) == ("skipped", detail, 0, 0)


@pytest.mark.parametrize(
    ("reason", "status"), [("syntax error", "different"), ("no end in 600 s", "skipped")]
)
def test_a_tool_that_refuses_what_it_is_given_is_a_difference(
    reason: str, status: str, tmp_path: Path
) -> None:
    def fail(_: Path) -> None:
        raise ToolFailed("yosys", reason, tmp_path / "log")

    assert climb(Rung("a → b", fail, counted), SAMPLES, tmp_path).status == status


def test_a_failed_check_is_a_difference(tmp_path: Path) -> None:
    def fail(folder: Path, _: Samples) -> Finding:
        raise CheckFailed(f"Sample 3 came late: see {folder}/simulation.log.")

    step = climb(Rung("a → b", make, fail), SAMPLES, tmp_path)
    assert (step.status, step.differences, step.first_difference) == (
        *("different", 1),
        "Sample 3 came late: see simulation.log.",
    )
