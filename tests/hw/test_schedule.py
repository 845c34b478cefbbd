from __future__ import annotations

import re

import pytest

from nomul.hw.graph import Builder, Constant, Graph, operands
from nomul.hw.lowering import lower
from nomul.hw.schedule import Schedule, schedule_for_clock, schedule_in_stages
from nomul.hw.targets import TARGETS
from nomul.hw.timing import Timing, node_delay
from nomul.network import UserError
from tests.networks import random_network

TIMING = Timing(lut_ns=1.0, carry_ns=0.1, register_ns=0.5)
GRAPHS: dict[str, Graph] = {
    name: lower(network, TARGETS["ice40"]).graph
    for name, network in {
        "classes": random_network((6, 5, 4), (4, 5)),
        "levels": random_network((4, 3, 3, 2), (3, 4, 5, 2), output="levels"),
        "accumulators": random_network((9, 6), (4,), output="accumulators", factored=True),
        "one neuron": random_network((1, 1), (2,)),
    }.items()
}


def check(graph: Graph, schedule: Schedule) -> None:
    """Assert what holds of every schedule, and that its slowest stage is as it says."""
    arrivals: list[float] = []
    last = list(schedule.stages)
    for number, node in enumerate(graph.nodes):
        stage = schedule.stages[number]
        assert 0 <= stage < max(1, schedule.n_stages)
        read = operands(node)
        assert all(schedule.stages[operand] <= stage for operand in read)
        same = [arrivals[operand] for operand in read if schedule.stages[operand] == stage]
        arrivals.append(max(same, default=0) + node_delay(graph, number, TIMING))
        for operand in read:
            last[operand] = max(last[operand], stage)
    assert max(arrivals) == pytest.approx(schedule.delay_ns)
    held = schedule.held_stages(graph)
    for number, node in enumerate(graph.nodes):
        until = schedule.n_stages if number in graph.outputs else last[number]
        expected = 0 if isinstance(node, Constant) else until - schedule.stages[number]
        assert held[number] == expected


@pytest.mark.parametrize("clock_mhz", [1, 20, 100, 200, 250])
@pytest.mark.parametrize("case", GRAPHS)
def test_a_clock_is_reached_in_the_fewest_stages(case: str, clock_mhz: float) -> None:
    graph = GRAPHS[case]
    schedule = schedule_for_clock(graph, TIMING, clock_mhz)
    check(graph, schedule)
    assert schedule.n_stages >= 1
    assert schedule.delay_ns + TIMING.register_ns <= 1000 / clock_mhz + 1e-9
    if schedule.n_stages > 1:
        fewer = schedule_in_stages(graph, TIMING, schedule.n_stages - 1)
        assert fewer.delay_ns + TIMING.register_ns > 1000 / clock_mhz - 1e-9


def most_stages(graph: Graph) -> int:
    """Return how many stages the refusal of far too many names."""
    with pytest.raises(UserError) as caught:
        schedule_in_stages(graph, TIMING, 1000)
    found = re.fullmatch(
        r"A pipeline of 1000 stages cannot be met: the longest path of this network can be cut "
        r"into (\d+)\.",
        str(caught.value),
    )
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("case", GRAPHS)
def test_as_many_stages_as_asked_for_and_more_are_faster(case: str) -> None:
    graph = GRAPHS[case]
    delays = []
    for n_stages in range(1, most_stages(graph) + 1):
        schedule = schedule_in_stages(graph, TIMING, n_stages)
        check(graph, schedule)
        assert schedule.n_stages == n_stages
        delays.append(schedule.delay_ns)
    assert delays == sorted(delays, reverse=True)
    assert delays[-1] == max(node_delay(graph, n, TIMING) for n in range(len(graph.nodes)))


@pytest.mark.parametrize("case", GRAPHS)
def test_one_stage_more_than_possible_is_refused(case: str) -> None:
    most = most_stages(GRAPHS[case])
    with pytest.raises(UserError) as caught:
        schedule_in_stages(GRAPHS[case], TIMING, most + 1)
    assert str(caught.value) == (
        f"A pipeline of {most + 1} stages cannot be met: the longest path of this network can be "
        f"cut into {most}."
    )


@pytest.mark.parametrize("case", GRAPHS)
def test_no_stages_are_no_registers(case: str) -> None:
    graph = GRAPHS[case]
    schedule = schedule_in_stages(graph, TIMING, 0)
    check(graph, schedule)
    assert schedule.n_stages == 0
    assert set(schedule.held_stages(graph)) == {0}
    assert schedule.delay_ns == schedule_in_stages(graph, TIMING, 1).delay_ns


def row_of_sums() -> Graph:
    """Return three additions in a row of 8, 9 and 10 bits, which take 1.9, 2 and 2.1 ns."""
    builder = Builder()
    total = builder.input(0, 256)
    for source, n_levels in enumerate((256, 512, 1024), 1):
        total = builder.sum(total, builder.input(source, n_levels), 0, f"sum_{source}")
    return builder.graph([total])


@pytest.mark.parametrize(
    ("n_stages", "delay_ns", "sums"),
    [(1, 6.0, [0, 0, 0]), (2, 3.9, [0, 0, 1]), (3, 2.1, [0, 1, 2])],
)
def test_a_row_is_cut_where_the_slowest_part_is_fastest(
    n_stages: int, delay_ns: float, sums: list[int]
) -> None:
    graph = row_of_sums()
    schedule = schedule_in_stages(graph, TIMING, n_stages)
    assert schedule.delay_ns == pytest.approx(delay_ns)
    stages = dict(zip(graph.names, schedule.stages, strict=True))
    assert [stages[f"sum_{number}"] for number in (1, 2, 3)] == sums
    held = dict(zip(graph.names, schedule.held_stages(graph), strict=True))
    # The last input waits for its sum; each other number is registered where a stage ends.
    assert held["input_3"] == sums[2]
    assert sum(held[f"sum_{number}"] for number in (1, 2, 3)) == n_stages


def test_a_clock_out_of_reach_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        schedule_for_clock(row_of_sums(), TIMING, 400)
    # 2.1 ns and 0.5 ns for the registers.
    assert str(caught.value) == (
        "A clock of 400 MHz cannot be met: its slowest part alone is expected to allow 385 MHz."
    )
    assert schedule_for_clock(row_of_sums(), TIMING, 384).n_stages == 3


@pytest.mark.parametrize("clock_mhz", [0, -1, float("nan")])
def test_a_clock_that_is_none_is_refused(clock_mhz: float) -> None:
    with pytest.raises(UserError) as caught:
        schedule_for_clock(row_of_sums(), TIMING, clock_mhz)
    assert str(caught.value) == f"A clock of {clock_mhz:g} MHz is none: it must be above 0."


def test_a_network_without_logic_is_one_stage() -> None:
    builder = Builder()
    graph = builder.graph([builder.input(0, 4), builder.constant(2)])
    assert schedule_for_clock(graph, TIMING, 100) == Schedule((0, 0), 1, 0)
    assert schedule_in_stages(graph, TIMING, 1).held_stages(graph) == [1, 0]
    assert most_stages(graph) == 1


def test_a_pipeline_has_no_negative_length() -> None:
    with pytest.raises(UserError, match=r"A pipeline of -1 stages is none: it has 0 or more\."):
        schedule_in_stages(row_of_sums(), TIMING, -1)
