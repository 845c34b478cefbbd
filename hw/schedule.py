"""Which pipeline stage each node of a graph is in."""

from __future__ import annotations

from dataclasses import dataclass

from nomul.hw.graph import Constant, Graph, operands
from nomul.hw.timing import Timing, node_delay
from nomul.network import UserError

__all__ = ["Schedule", "schedule_for_clock", "schedule_in_stages"]


@dataclass(frozen=True)
class Schedule:
    """A graph cut into pipeline stages, each of which ends in registers.

    Attributes
    ----------
    stages
        The stage of each node, from 0. Its number is registered once for each stage between it
        and the last that reads it; the outputs' are registered behind the last stage too.
    n_stages
        Registers on every path from input to output; with 0 there are none at all.
    delay_ns
        Expected delay of the slowest stage.
    """

    stages: tuple[int, ...]
    n_stages: int
    delay_ns: float

    def held_stages(self, graph: Graph) -> list[int]:
        """Return how many registers each node's number passes."""
        last = list(self.stages)
        for number, node in enumerate(graph.nodes):
            for operand in operands(node):
                last[operand] = max(last[operand], self.stages[number])
        for number in graph.outputs:
            last[number] = self.n_stages
        return [
            0 if isinstance(node, Constant) else until - since
            for node, until, since in zip(graph.nodes, last, self.stages, strict=True)
        ]


def schedule_for_clock(graph: Graph, timing: Timing, clock_mhz: float) -> Schedule:
    """Return the schedule of fewest stages, at least one, that is expected to reach a clock.

    Raises
    ------
    UserError
        If no number of stages does, or the clock is not above 0.
    """
    if not clock_mhz > 0:
        raise UserError(f"A clock of {clock_mhz:g} MHz is none: it must be above 0.")
    period = 1000 / clock_mhz
    slowest = max((node_delay(graph, n, timing) for n in range(len(graph.nodes))), default=0.0)
    if slowest + timing.register_ns > period:
        fastest = 1000 / (slowest + timing.register_ns)
        raise UserError(
            f"A clock of {clock_mhz:g} MHz cannot be met: its slowest part alone is expected to "
            f"allow {fastest:.0f} MHz."
        )
    n_stages = _cut(graph, timing, period - timing.register_ns).n_stages
    return schedule_in_stages(graph, timing, n_stages)


def schedule_in_stages(graph: Graph, timing: Timing, n_stages: int) -> Schedule:
    """Return the schedule of ``n_stages`` whose slowest stage is the fastest.

    Raises
    ------
    UserError
        If the graph's longest path has fewer nodes, or the number is negative.
    """
    if n_stages < 0:
        raise UserError(f"A pipeline of {n_stages} stages is none: it has 0 or more.")
    delays = [node_delay(graph, number, timing) for number in range(len(graph.nodes))]
    if n_stages == 0:
        return Schedule((0,) * len(delays), 0, _cut(graph, timing, sum(delays) + 1).delay_ns)
    slowest, whole = max(delays, default=0.0), sum(delays) + 1
    most = _cut(graph, timing, slowest).n_stages
    if n_stages > most:
        raise UserError(
            f"A pipeline of {n_stages} stages cannot be met: the longest path of this network can "
            f"be cut into {most}."
        )
    best = _cut(graph, timing, whole)
    for _ in range(40):
        middle = (slowest + whole) / 2
        found = _cut(graph, timing, middle)
        if found.n_stages <= n_stages:
            best, whole = found, middle
        else:
            slowest = middle
    return Schedule(best.stages, n_stages, best.delay_ns)


def _cut(graph: Graph, timing: Timing, limit_ns: float) -> Schedule:
    """Put each node into the first stage that it ends in within ``limit_ns``."""
    stages: list[int] = []
    arrivals: list[float] = []
    for number, node in enumerate(graph.nodes):
        stage = max((stages[operand] for operand in operands(node)), default=0)
        start = max(
            (arrivals[operand] for operand in operands(node) if stages[operand] == stage),
            default=0.0,
        )
        delay = node_delay(graph, number, timing)
        if start + delay > limit_ns and start > 0:
            stage, start = stage + 1, 0.0
        stages.append(stage)
        arrivals.append(start + delay)
    n_stages = 1 + max((stages[number] for number in graph.outputs), default=0)
    return Schedule(tuple(stages), n_stages, max(arrivals, default=0.0))
