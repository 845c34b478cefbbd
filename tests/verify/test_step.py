from __future__ import annotations

from dataclasses import asdict

import pytest

from nomul.verify.step import Finding, Step


def test_a_step_is_plain_data() -> None:
    step = Step(360, "samples", 0, "equal", name="network → Verilog", seconds=1.5)
    assert asdict(step) == {
        "name": "network → Verilog",
        "compared": 360,
        "unit": "samples",
        "differences": 0,
        "seconds": 1.5,
        "status": "equal",
        "detail": "",
        "first_difference": None,
    }


def test_nothing_is_equal_where_nothing_was_compared() -> None:
    with pytest.raises(AssertionError):
        Finding(0, "samples", 0, "equal")
