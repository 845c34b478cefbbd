"""What a network keeps cannot change, and is copied once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nomul.network.tensors import frozen, integers


def test_what_is_frozen_is_not_copied_again() -> None:
    once = frozen(np.arange(6))
    assert frozen(once) is once


@pytest.mark.parametrize("part", [np.s_[1:], np.s_[::-1], np.s_[:]])
def test_what_may_change_elsewhere_is_copied(part: slice) -> None:
    whole = np.arange(6)
    view = whole[part]
    view.setflags(write=False)
    kept, expected = frozen(view), view.tolist()
    whole[:] = 9
    assert kept.tolist() == expected


def test_a_frozen_array_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        frozen(np.arange(6))[0] = 1


def test_a_frozen_array_is_in_c_order() -> None:
    transposed = np.arange(6).reshape(2, 3).T
    transposed.setflags(write=False)
    assert frozen(transposed).flags.c_contiguous


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (np.uint8(3), 3),
        ([np.int64(1), 2], (1, 2)),
        ((1, (np.int8(2),)), (1, (2,))),
        ("layers.0", "layers.0"),
        (1.5, 1.5),
    ],
)
def test_integers_become_pythons(value: Any, result: Any) -> None:
    assert integers(value) == result
    assert "numpy" not in str(type(integers(value)))
