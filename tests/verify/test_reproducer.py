from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nomul.network import Network, UserError
from nomul.verify.reproducer import (
    is_reproducer,
    read_reproducer,
    write_reproducer,
)
from nomul.verify.rung import Rung, climb
from nomul.verify.samples import Samples, random_samples
from nomul.verify.step import Finding, Step
from tests.verify.faults import SMALL, subject_of

SAMPLES = random_samples(SMALL, 9)


def rung(first_wrong: int, *, alone: bool = True) -> Rung:
    """Return a step that differs from a sample on; perhaps only behind the ones before it."""
    marked = SAMPLES.levels[first_wrong].tolist()

    def check(folder: Path, samples: Samples) -> Finding:
        assert (folder / "deep" / "read.txt").read_text() == "what it reads"
        rows = samples.levels.tolist()
        wrong = marked in rows and (alone or len(rows) > 1)
        first = f"sample {rows.index(marked)}, the class: expected 1, found 2" if wrong else None
        return Finding(
            len(rows), "samples", int(wrong), "different" if wrong else "equal", "", first
        )

    return Rung("a → b", lambda _: None, check, ("deep/*", "absent.*"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "read.txt").write_text("what it reads")
    (folder / "other.txt").write_text("what it does not")
    return folder


@pytest.mark.parametrize(("alone", "numbers"), [(True, (5, 6)), (False, (0, 6))])
def test_a_folder_holds_all_that_shows_the_difference_and_no_more(
    alone: bool, numbers: tuple[int, int], work: Path, tmp_path: Path
) -> None:
    taken = rung(5, alone=alone)
    step = climb(taken, SAMPLES, work)
    folder = tmp_path / "different"
    write_reproducer(taken, step, subject_of(SMALL), SAMPLES, work, folder)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        *("difference.json", "network.safetensors", "samples.npz", "deep/read.txt"),
    }
    difference, network, samples = read_reproducer(folder)
    assert network == SMALL
    assert dataclasses.asdict(difference) == {
        "step": "a → b",
        "board": "icebreaker",
        "folded": False,
        "first_difference": "sample 5, the class: expected 1, found 2",
        "samples": numbers,
        "expected": SAMPLES.expected[5].tolist(),
        "command": f"nomul verify {folder}",
    }
    np.testing.assert_array_equal(samples.levels, SAMPLES.levels[slice(*numbers)])
    np.testing.assert_array_equal(samples.expected, SAMPLES.expected[slice(*numbers)])
    assert samples.features is None
    again = climb(taken, samples, folder, makes=False)
    assert again.status == "different"


def test_a_difference_without_a_sample_keeps_all(work: Path, tmp_path: Path) -> None:
    failed = Step(0, "samples", 1, "different", "", "It came late.", name="a → b", seconds=0.0)
    taken = dataclasses.replace(rung(5), samples_max=7)
    write_reproducer(taken, failed, subject_of(SMALL), SAMPLES, work, tmp_path / "d")
    difference, _, samples = read_reproducer(tmp_path / "d")
    assert (difference.samples, len(samples)) == ((0, 7), 7)


def test_another_reproducer_makes_way_and_other_folders_do_not(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "different"
    taken = rung(5)
    step = climb(taken, SAMPLES, work)
    for _ in range(2):
        write_reproducer(taken, step, subject_of(SMALL), SAMPLES, work, folder)
        (folder / "left").touch()
    assert is_reproducer(folder)
    write_reproducer(taken, step, subject_of(SMALL), SAMPLES, work, folder)
    assert not (folder / "left").exists()

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "left").touch()
    assert not is_reproducer(mine)
    write_reproducer(taken, step, subject_of(SMALL), SAMPLES, work, mine)
    assert (mine / "left").exists()


def test_features_are_kept_where_there_are_any(work: Path, tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(9, 3))
    samples = dataclasses.replace(SAMPLES, features=features)
    taken = rung(5)
    step = climb(taken, samples, work)
    write_reproducer(taken, step, subject_of(SMALL), samples, work, tmp_path / "d")
    found = read_reproducer(tmp_path / "d")[2].features
    assert found is not None
    np.testing.assert_array_equal(found, features[5:6])


def test_a_folder_that_is_none_is_refused(work: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_reproducer(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is no reproducer of `nomul verify`: give it a network file, or the folder "
        "that it named."
    )
    taken = rung(5)
    step = climb(taken, SAMPLES, work)
    folder = tmp_path / "d"
    write_reproducer(taken, step, subject_of(SMALL), SAMPLES, work, folder)
    content = json.loads((folder / "difference.json").read_text())
    (folder / "difference.json").write_text(json.dumps(content | {"more": 1}))
    with pytest.raises(UserError, match="is no reproducer"):
        read_reproducer(folder)
    (folder / "difference.json").write_text(json.dumps(content))
    (folder / "samples.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="or a damaged one"):
        read_reproducer(folder)
    assert Network.load(folder / "network.safetensors") == SMALL
