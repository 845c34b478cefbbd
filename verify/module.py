"""A flat module as yosys' ``write_json`` writes it, and its logic as gates."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nomul.network import CheckFailed
from nomul.verify.gates import FALSE, TRUE, Gates

__all__ = ["Bit", "Logic", "Module", "Part"]

Bit = tuple[str, int]
"""A signal's name and the place of a bit in it."""


@dataclass(frozen=True, eq=False)
class Module:
    """What is known of a module; nets are numbers, of which 0 and 1 are the constants."""

    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, top: str) -> Module:
        return cls(json.loads(path.read_text())["modules"][top])

    def ports(self, direction: str) -> dict[Bit, int]:
        """Return the nets of all ports that are ``"input"`` or ``"output"``."""
        ports = self.content["ports"].items()
        return _bits((name, port) for name, port in ports if port["direction"] == direction)

    @cached_property
    def signals(self) -> dict[Bit, int]:
        """The nets of all signals that somebody named, but for bits that are gone."""
        signals = self.content["netnames"].items()
        return _bits((name, signal) for name, signal in signals if not signal["hide_name"])

    @cached_property
    def names(self) -> dict[int, Bit]:
        """The first name of each net that has one."""
        names: dict[int, Bit] = {}
        for bit, net in self.signals.items():
            names.setdefault(net, bit)
        return names

    @cached_property
    def kept(self) -> dict[Bit, int]:
        """The nets of the signals that synthesis was told to keep."""
        signals = self.content["netnames"].items()
        return _bits((name, signal) for name, signal in signals if "keep" in signal["attributes"])

    @cached_property
    def starts(self) -> dict[int, int]:
        """The value before the first clock edge, of the nets for which one is written."""
        starts = {}
        for signal in self.content["netnames"].values():
            written = reversed(signal["attributes"].get("init", ""))
            for bit, value in zip(signal["bits"], written, strict=False):
                if value in "01":
                    starts[_net(bit)] = int(value)
        return starts

    def cells(self) -> Iterator[tuple[str, Mapping[str, str], dict[str, tuple[int, ...]]]]:
        """Yield type, parameters and the ports' nets of every cell."""
        for cell in self.content["cells"].values():
            nets = {port: tuple(map(_net, bits)) for port, bits in cell["connections"].items()}
            yield cell["type"], cell["parameters"], nets

    def check_clock(self, net: tuple[int, ...], polarity: str = "1") -> None:
        """See that a register moves with the rising edge of the port ``clk``, and of no other net.

        Raises
        ------
        CheckFailed
            If not: the proof takes all registers to move at once.
        """
        if net != (self.ports("input").get(("clk", 0)),) or int(polarity, 2) != 1:
            raise CheckFailed("A register moves with another clock than the rising edge of clk.")

    def new_nets(self) -> Iterator[int]:
        """Yield nets that the module does not have."""
        used = (net for _, _, nets in self.cells() for port in nets.values() for net in port)
        ports = itertools.chain(self.ports("input").values(), self.ports("output").values())
        return itertools.count(1 + max(itertools.chain(used, ports), default=1))


def _net(bit: int | str) -> int:
    """Return the number of a net; x, which may be anything, is a net that nothing drives."""
    return bit if isinstance(bit, int) else {"0": 0, "1": 1}.get(bit, -1)


def _bits(signals: Iterator[tuple[str, Mapping[str, Any]]]) -> dict[Bit, int]:
    return {
        (name, place): _net(bit)
        for name, signal in signals
        for place, bit in enumerate(signal["bits"])
        if bit != "x"
    }


@dataclass(frozen=True)
class Part:
    """Logic from nets to nets; ``build`` makes literals of the outputs from those of the inputs."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    build: Callable[[Sequence[int]], Sequence[int]]


class Logic:
    """The literals of a module's nets, made when they are asked for.

    Parameters
    ----------
    known
        The literals of nets where the logic begins.
    """

    def __init__(self, gates: Gates, parts: Sequence[Part], known: Mapping[int, int]) -> None:
        self._gates = gates
        self._drivers = {net: part for part in parts for net in part.outputs}
        self._known = {0: FALSE, 1: TRUE, **known}

    def is_driven(self, net: int) -> bool:
        return net in self._known or net in self._drivers

    def literal(self, net: int) -> int:
        """Return the literal of a net; one that nothing drives may have any value."""
        known = self._known
        waiting = [net]
        while waiting:
            asked = waiting[-1]
            part = self._drivers.get(asked)
            if asked in known:
                waiting.pop()
            elif part is None:
                known[asked] = self._gates.free()
            elif missing := [source for source in part.inputs if source not in known]:
                waiting.extend(missing)
            else:
                literals = part.build([known[source] for source in part.inputs])
                known.update(zip(part.outputs, literals, strict=True))
        return known[net]
