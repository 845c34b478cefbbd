"""The fixed shape of a folded engine: lanes, widths and depths, chosen before synthesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nomul.network.errors import UserError

__all__ = ["GROUP", "WORD_BITS", "EngineSettings", "WeightMemory"]

WORD_BITS = 16
"""Of everything that is loaded: a program's fields, and the parts of wide memory words."""

GROUP = 4
"""Levels that lie side by side, of which an engine that skips zeros sees at once which are 0."""

WeightMemory = Literal["block", "spram", "port"]


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is made of. Any program that fits runs on it.

    Attributes
    ----------
    channel_lanes, position_lanes
        Lanes are their product: so many channels out, at so many neighbouring positions of a
        line, are summed at a time. Those of one position share its level and table row, those of
        one channel its weight.
    level_bits
        Of a level, 1 to 8.
    magnitude_bits
        Of a weight, beside its sign: a table has ``2 ** magnitude_bits`` columns, and the negatives
        of them for nothing.
    product_bits
        Of a table's entry, in two's complement, 2 to 16.
    sum_bits
        Of an accumulator, in two's complement, up to 32. Sums on their way may wrap round.
    map_depth
        Levels that can be held at a time: the sample and what the layers give.
    pages
        Product tables.
    threshold_depth
        Channels, or layers, with thresholds of their own.
    bias_depth
        Channels with a bias.
    weight_depth
        Words of weights, each with one for every channel lane.
    program_depth
        Words of 16 bits.
    weight_memory
        ``"block"``: block RAM, in the bitstream. ``"spram"``: those of iCE40 UltraPlus, loaded
        after power-up. ``"port"``: a memory outside, read in bursts.
    shortcuts
        Whether a pass can add a second source, as residuals need.
    skips_zeros
        Whether the taps of a group of levels take a cycle only for each that is not 0 at all
        position lanes, and at least one: so the time of a sample depends on its levels.
    parity
        Whether each 16 bits of what is loaded have one more, and every read is checked for a bit
        that has changed: in block RAM, for single-ported RAM and memories outside have no room.

    Raises
    ------
    UserError
        If a number is out of its range.
    """

    channel_lanes: int = 16
    position_lanes: int = 2
    level_bits: int = 4
    magnitude_bits: int = 3
    product_bits: int = 8
    sum_bits: int = 16
    map_depth: int = 5120
    pages: int = 16
    threshold_depth: int = 96
    bias_depth: int = 256
    weight_depth: int = 16384
    program_depth: int = 512
    weight_memory: WeightMemory = "spram"
    shortcuts: bool = False
    skips_zeros: bool = False
    parity: bool = False

    def __post_init__(self) -> None:
        addresses = 1 << WORD_BITS
        word_parts = -(-self.channel_lanes * self.weight_bits // WORD_BITS)
        n_weights = addresses >> (word_parts - 1).bit_length()
        n_sums = addresses >> (self.sum_bits > WORD_BITS)
        limits = {
            "channel_lanes": 256,
            "position_lanes": 64,
            "level_bits": 8,
            "magnitude_bits": 7,
            "product_bits": WORD_BITS,
            "sum_bits": 2 * WORD_BITS,
            "map_depth": addresses,
            "pages": 256,
            "threshold_depth": n_sums >> self.level_bits - 1,
            "bias_depth": n_sums,
            "weight_depth": min(n_weights, 1 << 14) if self.weight_memory == "spram" else n_weights,
            "program_depth": addresses // 2,
        }
        for name, most in limits.items():
            least = 0 if name == "magnitude_bits" else 1
            if not least <= getattr(self, name) <= most:
                raise UserError(
                    f"An engine's {name} is {getattr(self, name)}: it can be {least} to {most:,}."
                )
        if self.skips_zeros and self.weight_memory == "port":
            raise UserError(
                "An engine that skips zeros reads weights out of their order: its weight_memory "
                'can be "block" or "spram", not "port".'
            )
        if self.skips_zeros and (self.weight_depth % (2 * GROUP) or self.map_depth % GROUP):
            raise UserError(
                f"An engine that skips zeros has whole groups of {GROUP} levels and weights: its "
                f"map_depth, {self.map_depth}, can be a multiple of {GROUP}, and its weight_depth, "
                f"{self.weight_depth}, of {2 * GROUP}."
            )

    @property
    def lanes(self) -> int:
        return self.channel_lanes * self.position_lanes

    @property
    def columns(self) -> int:
        """Columns of a product table."""
        return 1 << self.magnitude_bits

    @property
    def rows(self) -> int:
        """Rows of a page: one for each level."""
        return 1 << self.level_bits

    @property
    def weight_bits(self) -> int:
        """Of a weight: a sign above its magnitude."""
        return self.magnitude_bits + 1

    @property
    def map_bits(self) -> int:
        return (self.map_depth - 1).bit_length()

    @property
    def row_bits(self) -> int:
        """Of the number of a row in the table memory: a page above a level."""
        return (self.pages * self.rows - 1).bit_length()
