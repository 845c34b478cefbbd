"""Coverage of hardware, held to programs and streams that are known."""

from __future__ import annotations

import numpy as np

from nomul.hw.folding import fold
from nomul.verify.coverage import Tally
from nomul.verify.hardware_coverage import folded_coverage, stream_coverage
from tests.hw.folded import NETWORKS, SMALL


def test_lanes_that_no_pass_uses_are_not_covered() -> None:
    """One neuron is one lane; the 6 channels of pictures are 4 and 2 on 4 lanes."""
    one = folded_coverage(fold(NETWORKS["one neuron"], SMALL))
    assert (one.channel_lanes, one.position_lanes) == (Tally(1, 4), Tally(1, 2))
    assert (one.pages, one.full_passes) == (Tally(1, 8), Tally(0, 1))
    pictures = folded_coverage(fold(NETWORKS["pictures"], SMALL))
    assert (pictures.channel_lanes, pictures.position_lanes) == (Tally(4, 4), Tally(2, 2))
    # A convolution, a pool of one channel at a time, one of two groups of three, a dense layer.
    assert (pictures.pages, pictures.full_passes) == (Tally(3, 8), Tally(1, 5))
    assert pictures.lines() == [
        "channel lanes: 4 of 4 (100.0 %)",
        "position lanes: 2 of 2 (100.0 %)",
        "pages of products: 3 of 8 (37.5 %)",
        "passes that use all lanes: 1 of 5 (20.0 %)",
    ]


def test_states_of_streams_are_those_of_any_run() -> None:
    first, second = np.zeros((2, 2, 2, 2, 2), np.int64)
    first[:, 1, :, :] = 5
    second[1, 0, 1, 0] = 1
    found = stream_coverage([first, second])
    assert found.states == Tally(9, 16)
    assert len(found.missing) == 7
    assert "i waits; o waits" not in found.missing
    assert "i waits; o moves" in found.missing
    assert found.lines()[:2] == [
        "states of the streams: 9 of 16 (56.2 %)",
        "never: i idle, not ready; o idle, not ready",
    ]
