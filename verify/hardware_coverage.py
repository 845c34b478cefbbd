"""What runs exercise of hardware: an engine's lanes and pages, and the states of streams."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nomul.hw.program import Program
from nomul.verify.coverage import Tally

__all__ = ["FoldedCoverage", "StreamCoverage", "folded_coverage", "stream_coverage"]


@dataclass(frozen=True)
class FoldedCoverage:
    """What a program, any sample of which runs every pass, uses of its engine.

    Attributes
    ----------
    channel_lanes, position_lanes, pages
        Those that some pass uses.
    full_passes
        Passes that use all lanes at once.
    """

    channel_lanes: Tally
    position_lanes: Tally
    pages: Tally
    full_passes: Tally

    def lines(self) -> list[str]:
        """Return the counts in words."""
        return [
            f"channel lanes: {self.channel_lanes}",
            f"position lanes: {self.position_lanes}",
            f"pages of products: {self.pages}",
            f"passes that use all lanes: {self.full_passes}",
        ]


@dataclass(frozen=True)
class StreamCoverage:
    """In which states the streams i and o were.

    Attributes
    ----------
    states
        Of the 16 that valid and ready of both make.
    missing
        The others, such as ``"i waits; o idle"``.
    """

    states: Tally
    missing: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the counts in words."""
        return [
            f"states of the streams: {self.states}",
            *(f"never: {name}" for name in self.missing),
        ]


def folded_coverage(program: Program) -> FoldedCoverage:
    """Return what a program uses of its engine."""
    settings, passes = program.settings, program.passes
    channels = [made.n_channels for made in passes]
    # All position lanes are used by all blocks of a line but its last one.
    positions = [
        settings.position_lanes if made.last[3] else made.n_positions_last for made in passes
    ]
    full = [
        (c, p) == (settings.channel_lanes, settings.position_lanes)
        for c, p in zip(channels, positions, strict=True)
    ]
    pages = {made.page for made in passes if not made.is_greatest}
    pages |= {made.shortcut.page for made in passes if made.shortcut is not None}
    return FoldedCoverage(
        Tally(max(channels), settings.channel_lanes),
        Tally(max(positions), settings.position_lanes),
        Tally(len(pages), settings.pages),
        Tally(sum(full), len(passes)),
    )


def stream_coverage(state_cycles: Iterable[NDArray[np.int64]]) -> StreamCoverage:
    """Return in which states the streams were in runs, from their ``Batch.state_cycles``."""
    total = np.sum(list(state_cycles), axis=0)
    names = (("idle, not ready", "idle"), ("waits", "moves"))
    missing = [
        f"i {names[i_valid][i_ready]}; o {names[o_valid][o_ready]}"
        for i_valid, i_ready, o_valid, o_ready in itertools.product((0, 1), repeat=4)
        if not total[i_valid, i_ready, o_valid, o_ready]
    ]
    return StreamCoverage(Tally(total.size - len(missing), total.size), tuple(missing))
