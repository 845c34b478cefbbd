"""How a network is unrolled for a device, decided before any hardware is described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nomul.hw.devices import Technology, find_device
from nomul.hw.graph import Graph
from nomul.hw.lowering import LayerChoice, lower
from nomul.hw.schedule import Schedule, schedule_for_clock, schedule_in_stages
from nomul.network import Network

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """A network's graph, cut into pipeline stages.

    Attributes
    ----------
    choices
        How each layer was lowered.
    """

    network: Network
    device: Technology
    graph: Graph
    choices: tuple[LayerChoice, ...]
    schedule: Schedule

    @property
    def latency(self) -> int:
        """Cycles from a sample to its answer."""
        return self.schedule.n_stages


def plan(
    network: Network,
    device: Technology | None = None,
    *,
    n_stages: int | None = None,
    clock_mhz: float = 12.0,
    methods: Mapping[str, str] | None = None,
) -> Plan:
    """Return the cheapest plan.

    Parameters
    ----------
    network
        A chain of dense and lookup layers.
    device
        By default the iCE40 UltraPlus.
    n_stages
        Pipeline stages; 0: no register at all. By default as few as ``clock_mhz`` needs.
    clock_mhz
        The clock to reach where ``n_stages`` is not given; by default what the boards have.
    methods
        How to lower layers, by name, in place of the cheapest way; see
        :data:`nomul.hw.lowering.METHODS`.

    Raises
    ------
    UserError
        If the network has other layers, or stages, clock or methods cannot be met.
    """
    device = device or find_device("up5k")
    lowering = lower(network, device.target, methods)
    schedule = (
        schedule_for_clock(lowering.graph, device.timing, clock_mhz)
        if n_stages is None
        else schedule_in_stages(lowering.graph, device.timing, n_stages)
    )
    return Plan(network, device, lowering.graph, lowering.choices, schedule)
