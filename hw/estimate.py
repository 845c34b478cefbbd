"""What a network will cost on a device, in a moment: counted parts times measured prices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from nomul.hw.cost import count_parts, widest_sum
from nomul.hw.devices import Device
from nomul.network import Network

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """What a build for a board is expected to report, its serial link included.

    The prices in ``ice40_costs.json`` were fitted to builds of random networks and tested on
    others, whose errors stand beside them; ``python -m benchmarks.cost_model`` measures them
    again.

    Attributes
    ----------
    logic_cells, lut4, ff
        After packing.
    bram, spram
        Blocks.
    fmax_mhz
        Highest clock.
    fits
        Whether the device has as many cells.
    """

    logic_cells: int
    lut4: int
    ff: int
    bram: int
    spram: int
    fmax_mhz: float
    fits: bool


def estimate(network: Network, device: Device) -> Estimate:
    """Return what the unrolled ``network`` is expected to cost on ``device``."""
    prices = json.loads((files("nomul.hw") / "ice40_costs.json").read_text())
    own: dict[str, dict[str, float]] = prices[device.name]
    parts = count_parts(network)

    def total(figure: str) -> int:
        return round(sum(count * own[figure][kind] for kind, count in parts.items()))

    logic_cells = total("logic_cells")
    period_ns = own["period_ns"]["constant"] + own["period_ns"]["widest_sum"] * widest_sum(network)
    return Estimate(
        logic_cells=logic_cells,
        lut4=total("lut4"),
        ff=total("ff"),
        bram=0,
        spram=0,
        fmax_mhz=round(1000 / period_ns, 1),
        fits=logic_cells <= device.logic_cells,
    )
