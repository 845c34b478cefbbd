"""Bits of a mapped netlist's LUTs turned over: many in one netlist, each behind an input.

A mapped LUT has entries for addresses that never occur, and some that make no difference further
on: there a wrong bit is no fault, which :mod:`nomul.verify.formal` proves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["BROKEN", "LutBit", "lut_bits", "with_broken_bits"]

BROKEN = "broken"
"""The port that chooses faults, one bit for each."""

Net = int | str


@dataclass(frozen=True)
class LutBit:
    """One entry of one LUT.

    Attributes
    ----------
    cell
        Its name.
    address
        Of the entry, input 0 in the lowest bit.
    """

    cell: str
    address: int


def lut_bits(netlist: Mapping[str, Any], top: str) -> Iterator[LutBit]:
    """Yield the entries of all LUTs of an iCE40 netlist, as yosys' ``write_json`` writes it.

    Addresses that an input tied to a constant rules out are left out.
    """
    for name, cell in netlist["modules"][top]["cells"].items():
        if cell["type"] == "SB_LUT4":
            tied = [cell["connections"][f"I{k}"][0] for k in range(4)]
            for address in range(16):
                bits = [str(address >> k & 1) for k in range(4)]
                if all(isinstance(t, int) or t == b for t, b in zip(tied, bits, strict=True)):
                    yield LutBit(name, address)


def with_broken_bits(
    netlist: Mapping[str, Any], top: str, faults: Sequence[LutBit]
) -> dict[str, Any]:
    """Return the netlist with one more input, :data:`BROKEN`: bit k turns entry ``faults[k]`` over.

    With all of them 0 it is the netlist that it was.
    """
    module = netlist["modules"][top]
    cells = dict(module["cells"])
    new = 1 + max(
        net
        for cell in cells.values()
        for bits in cell["connections"].values()
        for net in bits
        if isinstance(net, int)
    )
    chosen = range(new, new + len(faults))
    ports = {BROKEN: {"direction": "input", "bits": list(chosen)}}
    new += len(faults)
    for k, fault in enumerate(faults):
        cell = cells[fault.cell]
        (output,) = cell["connections"]["O"]
        good, meant = new, new + 1
        new += 2
        cells[fault.cell] = {**cell, "connections": {**cell["connections"], "O": [good]}}
        # Inputs are those of the LUT as it was: an earlier fault of it changed the output alone.
        cells[f"{BROKEN}_{k}_meant"] = _lut(
            [cell["connections"][f"I{i}"][0] for i in range(4)], 1 << fault.address, meant
        )
        turned = 0b0110_1010_0110_1010  # the first input, turned over where the others are 1
        cells[f"{BROKEN}_{k}"] = _lut([good, meant, chosen[k], "0"], turned, output)
    changed = {**module, "cells": cells, "ports": {**module["ports"], **ports}}
    return {**netlist, "modules": {**netlist["modules"], top: changed}}


def _lut(inputs: Sequence[Net], init: int, output: Net) -> dict[str, Any]:
    return {
        "type": "SB_LUT4",
        "parameters": {"LUT_INIT": f"{init:016b}"},
        "connections": {**{f"I{k}": [net] for k, net in enumerate(inputs)}, "O": [output]},
    }
