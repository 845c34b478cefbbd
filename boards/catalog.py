"""Boards that nomul makes bitstreams for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from nomul.hw.devices import Device, find_device
from nomul.hw.engine_settings import EngineSettings
from nomul.network.errors import UserError, unknown_name

__all__ = ["BOARDS", "Board", "find_board"]


@dataclass(frozen=True)
class Board:
    """One board.

    Attributes
    ----------
    name
        What the user calls it.
    title
        The maker's name for it.
    platform_path
        Module and class of its amaranth-boards platform.
    device_name
        Its device, one of :data:`nomul.hw.devices.DEVICES`.
    clock_mhz
        Frequency of its oscillator, which clocks the design as it is.
    """

    name: str
    title: str
    platform_path: str
    device_name: str
    clock_mhz: float

    @property
    def device(self) -> Device:
        return find_device(self.device_name)

    @property
    def engine_settings(self) -> EngineSettings:
        """The folded engine that fits the device."""
        return _ENGINES[self.device_name]

    def platform(self) -> Any:
        """Return a new amaranth-boards platform, good for one build."""
        module, _, name = self.platform_path.partition(":")
        return getattr(importlib.import_module(module), name)()


# That of UltraPlus has its weights in the four single-ported RAMs, and as many lanes as there are
# logic cells for; the other one is at the end of its block RAMs.
_ENGINES = {
    "up5k": EngineSettings(),
    "hx8k": EngineSettings(
        channel_lanes=8,
        map_depth=2048,
        threshold_depth=32,
        weight_depth=1536,
        weight_memory="block",
    ),
}

BOARDS = {
    board.name: board
    for board in (
        Board(
            "icebreaker",
            "1BitSquared iCEBreaker",
            "amaranth_boards.icebreaker:ICEBreakerPlatform",
            "up5k",
            12.0,
        ),
        Board(
            "icesugar",
            "MuseLab iCESugar",
            "amaranth_boards.icesugar:ICESugarPlatform",
            "up5k",
            12.0,
        ),
        Board(
            "ice40-hx8k",
            "Lattice iCE40-HX8K breakout board",
            "amaranth_boards.ice40_hx8k_b_evn:ICE40HX8KBEVNPlatform",
            "hx8k",
            12.0,
        ),
    )
}


def find_board(name: str) -> Board:
    """Return the board called ``name``.

    Raises
    ------
    UserError
        If no board is called so.
    """
    if name not in BOARDS:
        raise UserError(unknown_name("board", name, BOARDS))
    return BOARDS[name]
