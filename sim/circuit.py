"""A mapped netlist evaluated on many samples at once: what was counted is what is tested.

It reads what yosys' ``write_json`` wrote for iCE40 or ECP5. All logic is tables of four bits, and a
flip-flop takes its input at a clock edge (:mod:`nomul.sim.cells`). A word of 64 bits carries 64
samples, and all tables at one distance from the inputs are evaluated together.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.sim.cells import FlipFlop, Lookup, model

__all__ = ["Circuit"]

Bits = NDArray[np.bool_]
Words = NDArray[np.uint64]

_LUTS = ("SB_LUT4", "LUT4")
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Tables of 16 bits at one distance from the inputs, and the nets that come and leave."""

    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    tables: Words


class Circuit:
    """A netlist of LUTs, carries, multiplexers and flip-flops, all of one clock.

    Parameters
    ----------
    path
        The netlist, as yosys' ``write_json`` leaves it.
    top
        The module, flat.

    Raises
    ------
    UserError
        If it holds a cell that is not known.
    """

    def __init__(self, path: Path, top: str) -> None:
        module = json.loads(path.read_text())["modules"][top]
        self.ports: dict[str, list[int]] = {
            name: [_net(bit) for bit in port["bits"]] for name, port in module["ports"].items()
        }
        self._is_input = {
            name: port["direction"] == "input" for name, port in module["ports"].items()
        }
        self._flip_flops: list[FlipFlop] = []
        tables: dict[int, tuple[tuple[int, ...], int]] = {}
        new_nets = itertools.count(1 + _greatest_net(module))
        for cell in module["cells"].values():
            nets = {name: _net(bits[0]) for name, bits in cell["connections"].items() if bits}
            for part in model(cell["type"], cell["parameters"], nets, new_nets.__next__):
                if isinstance(part, Lookup):
                    tables[part.output] = (part.inputs, part.table)
                else:
                    self._flip_flops.append(part)
        self.n_luts = sum(cell["type"] in _LUTS for cell in module["cells"].values())
        known = {0, 1, *(flip_flop.q for flip_flop in self._flip_flops)}
        for name, nets_of_port in self.ports.items():
            if self._is_input[name]:
                known.update(nets_of_port)
        self._levels = _levels(tables, known)
        self._n_nets = next(new_nets)

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
        for flip_flop in self._flip_flops:
            values[flip_flop.q] = _ALL if flip_flop.start else 0
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
            if flip_flop.overrides:
                enable = enable | clear | preset
            following.append((loaded & enable) | (values[flip_flop.q] & ~enable))
        for flip_flop, value in zip(self._flip_flops, following, strict=True):
            values[flip_flop.q] = value


def _net(bit: int | str) -> int:
    """Return the number of a net; 0 and 1 are the constants, and x is taken to be 0."""
    return bit if isinstance(bit, int) else int(bit == "1")


def _greatest_net(module: Mapping[str, Any]) -> int:
    ports = (port["bits"] for port in module["ports"].values())
    connections = (
        bits for cell in module["cells"].values() for bits in cell["connections"].values()
    )
    return max((_net(bit) for bits in (*ports, *connections) for bit in bits), default=1)


def _levels(tables: Mapping[int, tuple[tuple[int, ...], int]], known: set[int]) -> list[_Cells]:
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
