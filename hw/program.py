"""What a folded engine executes: passes through one nest of loops, and the memories they read.

A pass makes one layer, or one group of its channels. Six loops, the innermost first::

    channel    of the source, in a tap's position
    column     of the kernel
    row        of the kernel: so far, the taps of one block
    position   of the output, along a line, ``position_lanes`` at a time
    line       of the output
    block      of channels out, ``channel_lanes`` at a time

When loop k advances, all inner ones begin again, and the address of the tap and that of the block
in the output grow by the steps of k: so the hardware adds one number a cycle, and never multiplies.
All addresses are of levels; maps lie line by line, position by position, channel by channel.

A pass that skips zeros counts channels in groups: four levels side by side are read at once, at all
position lanes, and only those channels take a tap that have another level than 0 somewhere; if all
are 0, the first one does. The sums of a block wait where those of the one before have not left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nomul.hw.engine_settings import GROUP, WORD_BITS, EngineSettings

__all__ = [
    "COORDINATE_BITS",
    "LOOPS",
    "RESULTS",
    "Pass",
    "Program",
    "Result",
    "Shortcut",
    "field_widths",
]

LOOPS = ("channel", "column", "row", "position", "line", "block")

COORDINATE_BITS = 8
"""Of x and y: maps are at most 255 wide and high, less what padding and kernels add."""

Result = Literal["map", "class", "sums", "levels"]
RESULTS: tuple[Result, ...] = ("map", "class", "sums", "levels")


@dataclass(frozen=True)
class Shortcut:
    """The other branch of a residual: levels of a second source, behind the taps of each block.

    An output sees one position of that source, so a block sees levels one behind the other.

    Attributes
    ----------
    n_levels
        That a block sees.
    fan_in
        How many of them each sum sees: one, where each channel goes straight on.
    page
        Product table.
    start_address
        Of the first block's first level.
    address_step
        What is added to that when position, line and block advance.
    lane_address
        From one position lane to the next.
    """

    n_levels: int
    fan_in: int
    page: int
    start_address: int
    address_step: tuple[int, ...]
    lane_address: int

    @property
    def is_in_groups(self) -> bool:
        """Whether all levels lie in whole groups, where their source begins with one."""
        numbers = (self.n_levels, self.start_address, self.lane_address, *self.address_step)
        return all(number % GROUP == 0 for number in numbers)

    def fields(self, levels_per_tap: int) -> dict[str, int]:
        """Return what a pass with this shortcut, of so many levels a tap, has in its fields."""
        steps = zip(LOOPS[3:], self.address_step, strict=True)
        return {
            "has_shortcut": 1,
            "shortcut_last": self.n_levels // levels_per_tap - 1,
            "shortcut_page": self.page,
            "shortcut_start": self.start_address,
            "shortcut_lane": self.lane_address,
            **{f"shortcut_step_{loop}": step for loop, step in steps},
        }


@dataclass(frozen=True)
class Pass:
    """One run through the loops.

    Attributes
    ----------
    last
        Of each loop, its count less 1.
    address_step
        What is added to the tap's address when each loop advances.
    out_step
        The same for the address of a block's first level, for position, line and block.
    start_address, start_x, start_y
        Of the first tap. Its x grows with the column, its y with the row.
    x_stride, y_stride
        What is added to x with each position, to y with each line.
    lane_address, lane_x, out_lane
        From one position lane to the next.
    width, height
        Of the source: a tap outside adds nothing.
    page
        Product table.
    is_greatest
        The greatest level of a window, of one channel a block, in place of a sum.
    idle
        Cycles after the taps of each block: one, in which its sums move on, and more where those of
        the block before have not all left by then. An engine that skips zeros sees by itself how
        many; it is 1 there.
    weight_start
        Word of the first tap's weights.
    n_channels, n_channels_last
        Channels of a block, and of the last block.
    n_positions_last
        Positions of the last block of a line.
    out_start
        Address of the first level.
    bias_start, threshold_start
        Of the first channel.
    thresholds_per_channel
        Whether each channel has thresholds of its own.
    result
        Where what it gives goes: into a map; or out, as the class of the greatest sum, as sums, or
        as levels.
    is_last_of_input
        Whether no later pass reads the sample.
    is_last
        Whether the answer is complete behind it.
    shortcut
        What else is added to its sums; None in most passes.
    skips_zeros
        Whether the loop over channels counts groups of levels, of which zeros are left out.
    """

    last: tuple[int, ...]
    address_step: tuple[int, ...]
    out_step: tuple[int, ...]
    start_address: int
    start_x: int
    start_y: int
    x_stride: int
    y_stride: int
    lane_address: int
    lane_x: int
    out_lane: int
    width: int
    height: int
    page: int
    is_greatest: bool
    idle: int
    weight_start: int
    n_channels: int
    n_channels_last: int
    n_positions_last: int
    out_start: int
    bias_start: int
    threshold_start: int
    thresholds_per_channel: bool
    result: Result
    is_last_of_input: bool = False
    is_last: bool = False
    shortcut: Shortcut | None = None
    skips_zeros: bool = False

    @property
    def levels_per_tap(self) -> int:
        """Levels of each position that are read at a time."""
        return GROUP if self.skips_zeros else 1

    @property
    def kernel_taps(self) -> int:
        """Taps of a block, without those of a shortcut; zeros count."""
        return self.levels_per_tap * (self.last[0] + 1) * (self.last[1] + 1) * (self.last[2] + 1)

    @property
    def taps(self) -> int:
        """Taps of a block; zeros count."""
        return self.kernel_taps + (self.shortcut.n_levels if self.shortcut else 0)

    @property
    def blocks(self) -> int:
        return (self.last[3] + 1) * (self.last[4] + 1) * (self.last[5] + 1)

    def sums(self, settings: EngineSettings) -> int:
        """Return how many sums leave behind a block, one a cycle."""
        n_positions = settings.position_lanes if self.last[3] else self.n_positions_last
        return self.n_channels * n_positions

    def products(self, settings: EngineSettings) -> int:
        """Return how many products are summed for a sample, those of padded positions included."""
        if self.is_greatest:
            return 0
        n_positions = self.last[3] * settings.position_lanes + self.n_positions_last
        n_channels = self.last[5] * self.n_channels + self.n_channels_last
        fan_in = self.kernel_taps + (self.shortcut.fan_in if self.shortcut else 0)
        return fan_in * n_positions * (self.last[4] + 1) * n_channels

    def fields(self, settings: EngineSettings) -> dict[str, int]:
        """Return all numbers by name, in the order of their words."""
        found = {}
        for k, loop in enumerate(LOOPS):
            found[f"last_{loop}"] = self.last[k]
            found[f"address_step_{loop}"] = self.address_step[k]
        for loop, step in zip(LOOPS[3:], self.out_step, strict=True):
            found[f"out_step_{loop}"] = step
        found["result"] = RESULTS.index(self.result)
        names = field_widths(settings)
        if settings.shortcuts:
            found |= {name: 0 for name in names if "shortcut" in name}
        if self.shortcut:
            found |= self.shortcut.fields(self.levels_per_tap)
        found["sums"] = self.sums(settings)
        return {name: found[name] if name in found else int(getattr(self, name)) for name in names}

    def words(self, settings: EngineSettings) -> list[int]:
        """Return the pass as it lies in the program memory: one word for each field."""
        widths = field_widths(settings)
        return [n & (1 << widths[name]) - 1 for name, n in self.fields(settings).items()]


def field_widths(settings: EngineSettings) -> Mapping[str, int]:
    """Return the bits of each field of a pass, in the order of its words."""
    address, lanes = settings.map_bits, settings.channel_lanes.bit_length()
    positions = settings.position_lanes.bit_length()
    count = {"channel": address, "column": 6, "row": 6, "position": 8, "line": 8, "block": 12}
    widths = {f"last_{loop}": count[loop] for loop in LOOPS}
    widths |= {f"address_step_{loop}": address for loop in LOOPS}
    widths |= {f"out_step_{loop}": address for loop in LOOPS[3:]}
    widths |= dict.fromkeys(("start_address", "lane_address", "out_lane", "out_start"), address)
    coordinates = ("start_x", "start_y", "x_stride", "y_stride", "lane_x", "width", "height")
    widths |= dict.fromkeys(coordinates, COORDINATE_BITS)
    waiting = {"idle": 10}
    if settings.skips_zeros:
        waiting = {"skips_zeros": 1, "sums": settings.lanes.bit_length()}
    widths |= {
        "page": settings.row_bits - settings.level_bits,
        "is_greatest": 1,
        **waiting,
        "weight_start": (settings.weight_depth - 1).bit_length(),
        "n_channels": lanes,
        "n_channels_last": lanes,
        "n_positions_last": positions,
        "bias_start": (settings.bias_depth - 1).bit_length(),
        "threshold_start": (settings.threshold_depth - 1).bit_length(),
        "thresholds_per_channel": 1,
        "result": 2,
        "is_last_of_input": 1,
        "is_last": 1,
    }
    if settings.weight_memory == "port":
        widths["taps"] = address  # how long a burst is
    if settings.shortcuts:
        widths["has_shortcut"] = 1
        widths["shortcut_page"] = widths["page"]
        steps = (f"step_{loop}" for loop in LOOPS[3:])
        widths |= {f"shortcut_{name}": address for name in ("last", "start", "lane", *steps)}
    assert max(widths.values()) <= WORD_BITS, "a field is one word"
    return widths


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that an engine needs to run one network.

    Attributes
    ----------
    settings
        Of the engine that it is made for.
    passes
        In their order.
    weights
        uint8, shape (words, channel lanes): a sign above a magnitude.
    tables
        int16, shape (pages, levels, columns): products.
    biases
        int32, shape (channels,). A weight with a sign adds the complement of its product, which is
        1 less than the negative: the bias has the 1 for each of them. An engine that skips zeros
        adds the negative itself.
    thresholds
        int32, shape (channels, levels - 1), rising.
    input_order
        int64, shape (inputs,): which of the network's input levels comes when, and so lies at
        which address. The network has them channel by channel, a map position by position.
    output_order
        int64, shape (outputs,): which of the network's outputs leaves when; where a class leaves,
        whose sum is compared when.
    """

    settings: EngineSettings
    passes: tuple[Pass, ...]
    weights: NDArray[np.uint8]
    tables: NDArray[np.int16]
    biases: NDArray[np.int32]
    thresholds: NDArray[np.int32]
    input_order: NDArray[np.int64]
    output_order: NDArray[np.int64]
