"""What a network will cost on a device, in a moment: counted parts times measured prices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from nomul.hw.cost import count_parts
from nomul.hw.devices import DEVICES, Device
from nomul.hw.plan import Plan
from nomul.network import UserError

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """What a build for a board is expected to report, its serial link included.

    The prices in ``ice40_costs.json`` were fitted to builds of random networks and tested on
    others, whose errors stand beside them; ``python -m benchmarks.cost_model`` measures them
    again.

    Attributes
    ----------
    logic_cells
        After packing, as nextpnr counts them.
    lut4, ff
        As yosys counts them.
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


def estimate(plan: Plan) -> Estimate:
    """Return what ``plan`` is expected to cost on its device.

    Raises
    ------
    UserError
        If its technology is no device with measured prices.
    """
    device = plan.device
    if not isinstance(device, Device):
        raise UserError(
            f"{device.title} has no measured prices: there are estimates for "
            f"{' and '.join(DEVICES)}."
        )
    prices = json.loads((files("nomul.hw") / "ice40_costs.json").read_text())
    own: dict[str, dict[str, float]] = prices[device.name]
    parts = count_parts(plan) | {"stage_ns": plan.schedule.delay_ns}

    def total(figure: str) -> float:
        return sum(price * parts[kind] for kind, price in own[figure].items())

    logic_cells = round(total("logic_cells"))
    return Estimate(
        logic_cells=logic_cells,
        lut4=round(total("lut4")),
        ff=round(total("ff")),
        bram=0,
        spram=0,
        fmax_mhz=round(1000 / total("period_ns"), 1),
        fits=logic_cells <= device.logic_cells,
    )
