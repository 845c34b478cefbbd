"""What a netlist is made of, and the proof that no multiplier is in it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "CellCounts",
    "PlaceAndRoute",
    "count_cells",
    "multiplier_cells",
    "read_netlist",
    "read_place_and_route",
    "verilog_multipliers",
]

# Cells that multiply or divide: yosys' word-level ones and the blocks of the FPGA families
# (Lattice, Gowin, AMD, Intel, Microchip, QuickLogic, Efinix, NanoXplore, GateMate).
_MULTIPLIER = re.compile(
    r"""^\$(__)?(mul|macc|div|mod|pow)
      | MULT | MUL[0-9_] | DSP | MACC? _? (PA|\d) | _MAC$ | ALU(24|48|54|60|62) | PADD
      """,
    re.VERBOSE | re.IGNORECASE,
)

# What may hold a `*` that multiplies nothing, in the order in which it is to be tried.
_NO_PRODUCT = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | "(?:\\.|[^"\\])*"
      | \\\S+                                       # escaped identifier
      | @\s*\(\s*\*\s*\) | @\s*\*                   # sensitive to everything
      | \(\*(?:"(?:\\.|[^"\\])*"|[^"])*?\*\)        # attribute
      | \.\s*\*                                     # ports connected by name
      """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class CellCounts:
    """Cells of a netlist for iCE40 or ECP5, by kind.

    A ``carry`` of ECP5, a CCU2C, holds two LUTs that ``lut4`` does not count.
    """

    lut4: int
    carry: int
    ff: int
    bram: int
    spram: int
    dsp: int


@dataclass(frozen=True)
class PlaceAndRoute:
    """What nextpnr reports.

    Attributes
    ----------
    logic_cells
        Logic cells used.
    fmax_mhz
        The least over all clocks of the highest frequency that the longest path allows; None if
        no path lies between flip-flops.
    """

    logic_cells: int
    fmax_mhz: float | None


def read_netlist(path: Path) -> Counter[str]:
    """Return how many cells of each type a netlist has, hierarchy resolved.

    Parameters
    ----------
    path
        What yosys' ``write_json`` wrote, or its ``stat -json``.
    """
    content: dict[str, Any] = json.loads(path.read_text())
    if "design" in content:
        return Counter(content["design"]["num_cells_by_type"])
    modules = content["modules"]
    tops = [name for name, module in modules.items() if _is_set(module, "top")]
    assert len(tops) == 1, "yosys marks one module as the top"
    return _cells(tops[0], modules, {})


def _cells(name: str, modules: Mapping[str, Any], known: dict[str, Counter[str]]) -> Counter[str]:
    if name not in known:
        total: Counter[str] = Counter()
        for cell in modules[name]["cells"].values():
            module = modules.get(cell["type"])
            if module is None or _is_set(module, "blackbox") or _is_set(module, "whitebox"):
                total[cell["type"]] += 1
            else:
                total += _cells(cell["type"], modules, known)
        known[name] = total
    return known[name]


def _is_set(module: Mapping[str, Any], attribute: str) -> bool:
    return int(str(module.get("attributes", {}).get(attribute, "0")), 2) != 0


def count_cells(types: Mapping[str, int]) -> CellCounts:
    """Sort the cells of a netlist for iCE40 or ECP5 by kind."""

    def count(*kinds: str) -> int:
        return sum(n for name, n in types.items() if re.fullmatch("|".join(kinds), name))

    return CellCounts(
        lut4=count("SB_LUT4", "LUT4"),
        carry=count("SB_CARRY", "CCU2C"),
        ff=count("SB_DFF.*", "TRELLIS_FF"),
        bram=count("SB_RAM40_4K.*", "DP16KD", "PDPW16KD"),
        spram=count("SB_SPRAM256KA"),
        dsp=count("SB_MAC16", "MULT18X18D", "MULT9X9D", "ALU54B", "ALU24B"),
    )


def multiplier_cells(types: Mapping[str, int]) -> dict[str, int]:
    """Return those of a netlist's cells that multiply or divide, in any FPGA family."""
    return {name: count for name, count in types.items() if count and _MULTIPLIER.search(name)}


def read_place_and_route(path: Path) -> PlaceAndRoute:
    """Read the JSON that ``nextpnr-ice40 --report`` or nextpnr-ecp5 wrote."""
    content = json.loads(path.read_text())
    achieved = [clock["achieved"] for clock in content["fmax"].values()]
    (logic_cells,) = (
        cells["used"]
        for name, cells in content["utilization"].items()
        if name in ("ICESTORM_LC", "TRELLIS_COMB")
    )
    return PlaceAndRoute(logic_cells=logic_cells, fmax_mhz=min(achieved, default=None))


def verilog_multipliers(text: str) -> list[str]:
    """Return the lines of a Verilog text that hold the operator ``*``.

    A ``*`` in a comment, a string, an attribute, an escaped name, ``@*`` or ``.*`` is none.
    """
    bare = _NO_PRODUCT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    lines = zip(text.splitlines(), bare.splitlines(), strict=True)
    return [line.strip() for line, code in lines if "*" in code]
