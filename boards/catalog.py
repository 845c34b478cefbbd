"""Boards that nomul makes bitstreams for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from nomul.hw.devices import DEVICES, ECP5_DEVICES, Device
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
        Its device, one of :data:`nomul.hw.devices.DEVICES` and ``ECP5_DEVICES``.
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
        return (DEVICES | ECP5_DEVICES)[self.device_name]

    @property
    def engine_settings(self) -> EngineSettings:
        """The folded engine that fits the device."""
        return _ENGINES[self.device_name]

    def platform(self) -> Any:
        """Return a new amaranth-boards platform, good for one build."""
        module, _, name = self.platform_path.partition(":")
        return getattr(importlib.import_module(module), name)()


# That of UltraPlus has its weights in the four single-ported RAMs. It skips zeros, and so is as
# fast on rectified levels as twice the lanes, which leave no logic cells for that; and half of each
# memory holds any of the folded examples, so that one runs while another is loaded. Those of hx8k
# and ecp5-25 are at the end of their block RAMs, and that of ecp5-85 has as many words of weights
# as a loader's 16 bits of address reach. The two branches of a residual meet in a fraction of their
# units, so products and sums are wider there.
_ENGINES = {
    "up5k": EngineSettings(
        position_lanes=1,
        map_depth=6144,
        threshold_depth=192,
        program_depth=1024,
        skips_zeros=True,
    ),
    "hx8k": EngineSettings(
        channel_lanes=8,
        map_depth=2048,
        threshold_depth=32,
        weight_depth=1536,
        weight_memory="block",
        skips_zeros=True,
    ),
    "ecp5-25": EngineSettings(
        product_bits=14,
        sum_bits=20,
        map_depth=16384,
        threshold_depth=256,
        weight_depth=7168,
        weight_memory="block",
        shortcuts=True,
        skips_zeros=True,
    ),
    "ecp5-85": EngineSettings(
        position_lanes=4,
        product_bits=14,
        sum_bits=20,
        map_depth=32768,
        threshold_depth=512,
        bias_depth=1024,
        weight_depth=16384,
        weight_memory="block",
        shortcuts=True,
        skips_zeros=True,
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
        Board(
            "ulx3s-25f",
            "Radiona ULX3S with LFE5U-25F",
            "amaranth_boards.ulx3s:ULX3S_25F_Platform",
            "ecp5-25",
            25.0,
        ),
        Board(
            "ulx3s-85f",
            "Radiona ULX3S with LFE5U-85F",
            "amaranth_boards.ulx3s:ULX3S_85F_Platform",
            "ecp5-85",
            25.0,
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
