"""A pass as its loops: where they begin, and what each adds to addresses when it advances."""

from __future__ import annotations

from dataclasses import dataclass

from nomul.hw.engine_settings import GROUP, EngineSettings
from nomul.hw.folded_geometry import Axis, check_reach, loop_steps
from nomul.hw.program import Pass, Result
from nomul.network.shapes import Shape

__all__ = ["Group", "Map", "bare_pass"]


@dataclass(frozen=True)
class Group:
    """Channels that are made in one pass: the first in, out, and how many of them."""

    first_in: int
    n_in: int
    first_out: int
    n_out: int


@dataclass(frozen=True)
class Map:
    """The levels of the sample or of a layer: their shape, and the address of the first one."""

    shape: Shape
    place: int


def bare_pass(
    name: str,
    settings: EngineSettings,
    source: Map,
    target: Map,
    lines: Axis,
    positions: Axis,
    group: Group,
    result: Result,
    *,
    is_greatest: bool,
    skips_zeros: bool,
) -> Pass:
    """Return a pass without what lies in the memories of weights, biases and thresholds.

    Parameters
    ----------
    name
        Of the layer, for refusals.
    lines, positions
        Of the target, and where their taps lie in the source.
    skips_zeros
        Whether it may: outputs without a tap take one, which is no group.

    Raises
    ------
    UserError
        If a tap outside the source cannot be told from one inside.
    """
    n_in, height, width = source.shape
    n_out, _, out_width = target.shape
    lanes = settings.position_lanes
    n_blocks = -(-positions.count // lanes)
    n_channels = 1 if is_greatest else min(settings.channel_lanes, group.n_out)
    n_channel_blocks = -(-group.n_out // n_channels)
    # Outputs without a tap take one, outside the source: its weights have no sign.
    empty = not lines.taps or not positions.taps
    if not empty:
        check_reach(name, lines, height)
        check_reach(name, positions, width)
    skips_zeros = skips_zeros and not empty
    levels_per_tap = GROUP if skips_zeros else 1
    kernel = (group.n_in // levels_per_tap, len(positions.taps), len(lines.taps))
    last = (
        *((0, 0, 0) if empty else (n - 1 for n in kernel)),
        *(n_blocks - 1, lines.count - 1, n_channel_blocks - 1),
    )
    line = width * n_in
    address_stride = (
        *(levels_per_tap, n_in, line, lanes * positions.stride * n_in, lines.stride * line),
        int(is_greatest),
    )
    out_stride = (
        lanes * positions.out_stride * n_out,
        lines.out_stride * out_width * n_out,
        n_channels,
    )
    first = (lines.start * width + positions.start) * n_in + group.first_in
    first_out = (lines.out_start * out_width + positions.out_start) * n_out + group.first_out
    return Pass(
        last=last,
        address_step=loop_steps(last, address_stride),
        out_step=loop_steps(last[3:], out_stride),
        start_address=source.place + first,
        start_x=positions.start,
        start_y=lines.start,
        x_stride=lanes * positions.stride,
        y_stride=lines.stride,
        lane_address=positions.stride * n_in,
        lane_x=positions.stride,
        out_lane=positions.out_stride * n_out,
        width=0 if empty else width,
        height=height,
        page=0,
        is_greatest=is_greatest,
        idle=0,
        weight_start=0,
        n_channels=n_channels,
        n_channels_last=group.n_out - n_channels * (n_channel_blocks - 1),
        n_positions_last=positions.count - lanes * (n_blocks - 1),
        out_start=target.place + first_out,
        bias_start=0,
        threshold_start=0,
        thresholds_per_channel=False,
        result=result,
        skips_zeros=skips_zeros,
    )
