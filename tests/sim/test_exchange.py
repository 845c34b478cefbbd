from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nomul.sim.exchange import Report, Task, pack, unpack, value_width


@pytest.mark.parametrize(
    ("n_values", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (255, 8), (256, 8)]
)
def test_a_value_has_the_bits_of_the_largest_and_at_least_one(n_values: int, width: int) -> None:
    assert value_width(n_values) == width


def test_value_0_lies_in_the_least_significant_bits() -> None:
    assert pack(np.array([[1, 2, 3], [4, 0, 7]]), 3) == ["011010001", "111000100"]


def test_negative_values_are_in_twos_complement() -> None:
    assert pack(np.array([[-1, -4], [3, 0]]), 3) == ["100111", "000011"]


@pytest.mark.parametrize(("low", "signed"), [(-16, True), (0, False)])
def test_unpack_inverts_pack_for_every_pair_of_five_bits(low: int, signed: bool) -> None:
    values = np.stack(np.meshgrid(*2 * [np.arange(low, low + 32)]), -1).reshape(-1, 2)
    words = pack(values, 5)
    assert len(set(words)) == 32 * 32
    assert [unpack(word, 5, signed=signed) for word in words] == values.tolist()


def test_digits_that_are_neither_0_nor_1_are_shown_as_they_are() -> None:
    assert unpack("x10011", 3, signed=False) == [3, "x10"]


def test_a_task_is_read_as_it_was_written(tmp_path: Path) -> None:
    task = Task(
        levels=np.array([[0, 1], [2, 3]]),
        expected=np.array([[-1], [5]]),
        n_levels=4,
        n_values=0,
        latency_cycles=3,
        initiation_interval=2,
        seed=11,
    )
    task.save(tmp_path)
    loaded = Task.load(tmp_path)
    for name, value in vars(task).items():
        assert np.array_equal(getattr(loaded, name), value), name


def test_a_report_is_read_as_it_was_written_and_is_empty_before(tmp_path: Path) -> None:
    assert Report.load(tmp_path) == Report()
    report = Report(["without stalls"], "a fault", 1, 2, [3, 4], "sample 3")
    report.save(tmp_path)
    assert Report.load(tmp_path) == report
