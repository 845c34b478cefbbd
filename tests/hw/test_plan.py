from __future__ import annotations

import numpy as np
import pytest

from nomul.hw.devices import DEVICES, find_device
from nomul.hw.plan import plan
from nomul.network import UserError
from tests.hw.benches import expected_answers
from tests.networks import random_levels, random_network

NETWORK = random_network((6, 5, 3), (4, 3))


@pytest.mark.parametrize("name", DEVICES)
def test_a_plan_is_the_network_on_its_device(name: str) -> None:
    device = DEVICES[name]
    for n_stages in (None, 0, 1, 3):
        found = plan(NETWORK, device, n_stages=n_stages)
        assert (found.network, found.device) == (NETWORK, device)
        assert n_stages is None or found.latency == n_stages
        assert found.latency == found.schedule.n_stages
        assert [choice.layer for choice in found.choices] == ["layers.0", "layers.1"]
        assert len(found.schedule.stages) == len(found.graph.nodes)
        levels = random_levels(NETWORK, 50)
        assert np.array_equal(found.graph.evaluate(levels), expected_answers(NETWORK, levels))


def test_the_boards_clock_on_an_ultraplus_is_what_a_plan_aims_at() -> None:
    assert plan(NETWORK) == plan(NETWORK, find_device("up5k"), clock_mhz=12)


def test_a_faster_clock_takes_more_stages_and_a_faster_device_fewer() -> None:
    up5k, hx8k = find_device("up5k"), find_device("hx8k")
    stages = [plan(NETWORK, up5k, clock_mhz=clock).latency for clock in (1, 12, 30, 60)]
    assert stages == sorted(stages)
    assert stages[0] == 1 < stages[-1]
    assert plan(NETWORK, hx8k, clock_mhz=60).latency < stages[-1]


def test_methods_are_as_they_are_forced() -> None:
    methods = {"layers.0": "plain", "layers.1": "shared"}
    found = plan(NETWORK, methods=methods)
    assert {choice.layer: choice.method for choice in found.choices} == methods
    with pytest.raises(UserError, match=r"^Unknown layer 'layers\.2'"):
        plan(NETWORK, methods={"layers.2": "plain"})
