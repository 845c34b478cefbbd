from __future__ import annotations

import pytest

from nomul.verify.step import Finding, Step


def test_a_step_is_plain_data() -> None:
    step = Step(360, "samples", 0, "equal", name="network → Verilog", seconds=1.5)
    row = {
        "name": "network → Verilog",
        "compared": 360,
        "differences": 0,
        "seconds": 1.5,
        "status": "equal",
        "unit": "samples",
        "detail": "",
        "first_difference": None,
    }
    assert list(step.row().items()) == list(row.items())


def test_nothing_is_equal_where_nothing_was_compared() -> None:
    with pytest.raises(AssertionError):
        Finding(0, "samples", 0, "equal")
