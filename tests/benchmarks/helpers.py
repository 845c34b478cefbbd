"""What the tests of designs share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.design import Design, answers
from nomul.hw.area import measure_area

__all__ = ["assert_answers"]


def assert_answers(
    design: Design, levels: NDArray[np.int64], expected: NDArray[np.int64], folder: Path
) -> None:
    """Assert that the netlist of a design for iCE40 gives the classes that are expected."""
    measure_area(design.verilog, design.top, "ice40", folder, fast=True)
    np.testing.assert_array_equal(answers(design, levels, folder), expected)
