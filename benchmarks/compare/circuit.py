"""An iCE40 netlist evaluated on many samples at once: what was counted is what is tested.

It reads what yosys' ``write_json`` wrote and knows three things: a LUT4 is a table of 16 bits, a
carry the majority of three, a flip-flop takes its input at a clock edge. A word of 64 bits carries
64 samples, and all cells at one distance from the inputs are evaluated together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Circuit"]

Bits = NDArray[np.bool_]
Words = NDArray[np.uint64]

_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_FLIP_FLOP = re.compile("SB_DFF(?P<enable>E?)(?P<set>SR|SS)?")


@dataclass(frozen=True, eq=False)
class _Cells:
    """LUTs and carries at one distance from the inputs: nets in and out, and tables of 16 bits.

    A carry is a LUT whose table is the majority of its first three inputs.
    """

    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    tables: Words


@dataclass(frozen=True)
class _FlipFlop:
    d: int
    q: int
    enable: int
    clear: int
    preset: int


class Circuit:
    """A netlist of LUT4, carries and flip-flops.

    Parameters
    ----------
    path
        The netlist, as :func:`nomul.hw.area.measure_area` leaves it.
    top
        The module, flat.
    """

    def __init__(self, path: Path, top: str) -> None:
        module = json.loads(path.read_text())["modules"][top]
        self.ports: dict[str, list[int]] = {
            name: [_net(bit) for bit in port["bits"]] for name, port in module["ports"].items()
        }
        self._is_input = {
            name: port["direction"] == "input" for name, port in module["ports"].items()
        }
        self._flip_flops: list[_FlipFlop] = []
        tables: dict[int, tuple[list[int], int]] = {}
        for cell in module["cells"].values():
            self._add(cell, tables)
        self.n_luts = sum(cell["type"] == "SB_LUT4" for cell in module["cells"].values())
        known = {0, 1, *(flip_flop.q for flip_flop in self._flip_flops)}
        for name, nets in self.ports.items():
            if self._is_input[name]:
                known.update(nets)
        self._levels = _levels(tables, known)
        self._n_nets = 1 + max(known | set(tables), default=1)

    def _add(self, cell: Mapping[str, Any], tables: dict[int, tuple[list[int], int]]) -> None:
        nets = {name: _net(bits[0]) for name, bits in cell["connections"].items() if bits}
        kind = cell["type"]
        if kind == "SB_LUT4":
            table = int(cell["parameters"]["LUT_INIT"], 2)
            tables[nets["O"]] = ([nets.get(f"I{number}", 0) for number in range(4)], table)
        elif kind == "SB_CARRY":
            inputs = [nets.get(name, 0) for name in ("I0", "I1", "CI")]
            tables[nets["CO"]] = ([*inputs, 0], 0b11101000 * 0x101)
        elif found := _FLIP_FLOP.fullmatch(kind):
            self._flip_flops.append(
                _FlipFlop(
                    nets["D"],
                    nets["Q"],
                    nets["E"] if found["enable"] else 1,
                    nets["R"] if found["set"] == "SR" else 0,
                    nets["S"] if found["set"] == "SS" else 0,
                )
            )
        else:
            assert kind == "$scopeinfo", f"no model of {kind}"

    def evaluate(
        self, inputs: Mapping[str, Bits], cycles: int = 0, held: Mapping[str, int] | None = None
    ) -> dict[str, Bits]:
        """Return the outputs after so many clock cycles from the reset state.

        Parameters
        ----------
        inputs
            Input ports, shape (samples, width), bit 0 first.
        cycles
            Clock edges, with the inputs as they are.
        held
            Input ports that have one value for all samples; those not named anywhere are 0.
        """
        n_samples = len(next(iter(inputs.values())))
        values = np.zeros((self._n_nets, -(-n_samples // 64)), np.uint64)
        values[1] = _ALL
        for name, bits in inputs.items():
            assert bits.shape == (n_samples, len(self.ports[name])), f"the width of {name}"
            values[self.ports[name]] = _packed(bits)
        for name, number in (held or {}).items():
            for position, net in enumerate(self.ports[name]):
                values[net] = _ALL if number >> position & 1 else 0
        self._settle(values)
        for _ in range(cycles):
            self._clock(values)
            self._settle(values)
        return {
            name: _unpacked(values[nets], n_samples)
            for name, nets in self.ports.items()
            if not self._is_input[name]
        }

    def _settle(self, values: Words) -> None:
        for cells in self._levels:
            bits = cells.tables[:, :, None]
            for number in range(4):
                chosen = values[cells.inputs[:, number]][:, None]
                # Every other entry is for this input at 0; the rest halves the table.
                bits = (bits[:, 0::2] & ~chosen) | (bits[:, 1::2] & chosen)
            values[cells.outputs] = bits[:, 0]

    def _clock(self, values: Words) -> None:
        following = []
        for flip_flop in self._flip_flops:
            clear, preset = values[flip_flop.clear], values[flip_flop.preset]
            loaded = (values[flip_flop.d] & ~clear) | preset
            enable = values[flip_flop.enable]
            following.append((loaded & enable) | (values[flip_flop.q] & ~enable))
        for flip_flop, value in zip(self._flip_flops, following, strict=True):
            values[flip_flop.q] = value


def _net(bit: int | str) -> int:
    """Return the number of a net; 0 and 1 are the constants, and x is taken to be 0."""
    return bit if isinstance(bit, int) else int(bit == "1")


def _levels(tables: Mapping[int, tuple[list[int], int]], known: set[int]) -> list[_Cells]:
    """Sort the cells by their distance from the nets that are known."""
    distance = dict.fromkeys(known, 0)
    for start in tables:
        waiting = [start]
        while waiting:
            net = waiting[-1]
            missing = [source for source in tables[net][0] if source not in distance]
            if net in distance or not missing:
                waiting.pop()
                distance[net] = 1 + max(distance[source] for source in tables[net][0])
            else:
                assert len(waiting) <= len(tables), "the netlist has a loop"
                waiting.extend(missing)
    levels = []
    for depth in range(1, 1 + max((distance[net] for net in tables), default=0)):
        nets = [net for net in tables if distance[net] == depth]
        rows = [[_ALL * (tables[net][1] >> entry & 1) for entry in range(16)] for net in nets]
        levels.append(
            _Cells(
                np.array([tables[net][0] for net in nets], np.int64),
                np.array(nets, np.int64),
                np.array(rows, np.uint64),
            )
        )
    return levels


def _packed(bits: Bits) -> Words:
    padded = np.zeros((bits.shape[1], -(-len(bits) // 64) * 64), np.bool_)
    padded[:, : len(bits)] = bits.T
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def _unpacked(words: Words, n_samples: int) -> Bits:
    bytes_ = np.ascontiguousarray(words).view(np.uint8)
    bits = np.unpackbits(bytes_, axis=1, bitorder="little")
    return bits[:, :n_samples].T.astype(np.bool_)
