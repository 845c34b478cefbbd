"""The loop nest of a folded engine: one tap a cycle."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.engine_settings import GROUP, EngineSettings
from nomul.hw.program import COORDINATE_BITS, LOOPS, field_widths

__all__ = ["Taps"]

_TAP_LOOPS = 3


class Taps(wiring.Component):
    """The taps of a pass, block after block, as :mod:`nomul.hw.program` tells.

    Initiation interval: 1 cycle, and ``idle`` cycles more behind each block; in an engine that
    skips zeros, 1 cycle without ``hold``, and a tap may be a group of levels. The first tap is
    there in the cycle behind ``start``.

    Parameters
    ----------
    settings
        Of the engine.
    fields
        The signals that hold the pass, by :func:`nomul.hw.program.field_widths`.

    Members
    -------
    start : In(1)
        Begins the pass.
    hold : In(1)
        This cycle's tap is there in the next one too. Never set but where zeros are skipped.
    running : Out(1)
        Taps or idle cycles are left.
    valid : Out(1)
        There is a tap in this cycle.
    address : Out, for each position lane
        Of its level.
    inside : Out(position lanes)
        Whether each level is in the map; where zeros are skipped, and its sum is wanted.
    weight_address : Out
        Of the tap's weights.
    in_shortcut : Out(1)
        The tap is one of the shortcut: 0 where the engine has none.
    block_begins, block_ends : Out(1)
        This is the first or the last tap of its block.
    advancing : Out(3)
        In the last tap of a block: which of position, line and block advances then.
    positions_end, blocks_end : Out(1)
        Whether this block is the last of its line, and of the last channels.
    """

    def __init__(self, settings: EngineSettings, fields: Mapping[str, Signal]) -> None:
        self.settings = settings
        self.fields = fields
        super().__init__(
            {
                "start": In(1),
                "hold": In(1),
                "running": Out(1),
                "valid": Out(1),
                "address": Out(settings.map_bits).array(settings.position_lanes),
                "inside": Out(settings.position_lanes),
                "weight_address": Out((settings.weight_depth - 1).bit_length()),
                "in_shortcut": Out(1),
                "block_begins": Out(1),
                "block_ends": Out(1),
                "advancing": Out(3),
                "positions_end": Out(1),
                "blocks_end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fields, widths = self.fields, field_widths(self.settings)

        # Only `more` and `idle` have a reset: `start` sets all else, by the pin that a reset takes.
        counts = {
            loop: Signal(widths[f"last_{loop}"], name=f"count_{loop}", reset_less=True)
            for loop in LOOPS
        }
        last = [fields[f"last_{loop}"] for loop in LOOPS]
        if self.settings.shortcuts:
            # The loop over channels counts them; those over the kernel stay at their ends.
            last[0] = Mux(self.in_shortcut, fields["shortcut_last"], last[0])
        at_end = [counts[loop] == end for loop, end in zip(LOOPS, last, strict=True)]
        advances: list[Value] = []
        inner_end: Value | int = 1
        for end in at_end:
            advances.append(inner_end & ~end)
            inner_end = inner_end & end
        kernel_ends = at_end[0] & at_end[1] & at_end[2]
        turns = self._turns(kernel_ends)
        m.d.comb += [
            self.block_ends.eq(kernel_ends & ~turns),
            self.positions_end.eq(at_end[3]),
            self.blocks_end.eq(at_end[5]),
        ]
        for k in range(_TAP_LOOPS, len(LOOPS)):
            m.d.comb += self.advancing[k - _TAP_LOOPS].eq(advances[k])

        idle = Signal(widths.get("idle", 0))
        idling = idle.any()
        m.d.comb += self.valid.eq(self.running & ~idling)
        with m.If(idling):
            m.d.sync += idle.eq(idle - 1)
        moves = self.valid & ~self.hold

        address = Signal(self.settings.map_bits, reset_less=True)
        # Where the block begins; a tap's column and row come on top.
        block_x, block_y = (Signal(COORDINATE_BITS, reset_less=True) for _ in "xy")
        begins = Signal(reset_less=True)
        m.d.comb += self.block_begins.eq(begins)
        weight_address = Signal.like(self.weight_address, reset_less=True)
        block_weights = Signal.like(self.weight_address, reset_less=True)
        more = Signal()  # taps are left; once it is low, idle cycles may be
        m.d.comb += self.weight_address.eq(weight_address)
        following = Signal.like(address)
        m.d.comb += following.eq(address)
        levels_per_tap = Mux(fields["skips_zeros"], GROUP, 1) if self.settings.skips_zeros else 1
        next_weights = weight_address + levels_per_tap
        with m.If(moves):
            for k, loop in enumerate(LOOPS):
                with m.If(advances[k]):
                    m.d.comb += following.eq(address + fields[f"address_step_{loop}"])
                with m.If(advances[k] & ~turns):
                    m.d.sync += [
                        counts[loop].eq(counts[loop] + 1),
                        *(counts[inner].eq(0) for inner in LOOPS[:k]),
                    ]
            m.d.sync += [
                address.eq(following),
                weight_address.eq(next_weights),
                begins.eq(self.block_ends),
            ]
            with m.If(self.block_ends):
                with m.If(advances[3]):
                    m.d.sync += block_x.eq(block_x + fields["x_stride"])
                with m.If(advances[4]):
                    m.d.sync += [
                        block_x.eq(fields["start_x"]),
                        block_y.eq(block_y + fields["y_stride"]),
                    ]
                with m.If(advances[5]):
                    m.d.sync += [
                        block_x.eq(fields["start_x"]),
                        block_y.eq(fields["start_y"]),
                        block_weights.eq(next_weights),
                    ]
                with m.Else():
                    m.d.sync += weight_address.eq(block_weights)
                m.d.sync += more.eq(~inner_end)
                if "idle" in fields:
                    m.d.sync += idle.eq(fields["idle"])
        m.d.comb += self.running.eq(more | idling)
        with m.If(self.start):
            m.d.sync += [
                more.eq(1),
                begins.eq(1),
                *(counts[loop].eq(0) for loop in LOOPS),
                address.eq(fields["start_address"]),
                block_x.eq(fields["start_x"]),
                block_y.eq(fields["start_y"]),
                weight_address.eq(fields["weight_start"]),
                block_weights.eq(fields["weight_start"]),
            ]
        lane_step: Value = fields["lane_address"]
        if self.settings.shortcuts:
            self._shortcut(m, moves, turns, address, following, counts["channel"])
            lane_step = Mux(self.in_shortcut, fields["shortcut_lane"], lane_step)

        lane_address: Value = address
        lane_x: Value = (block_x + counts["column"])[:COORDINATE_BITS]
        y = (block_y + counts["row"])[:COORDINATE_BITS]
        for lane in range(self.settings.position_lanes):
            inside = self.in_shortcut | (lane_x < fields["width"]) & (y < fields["height"])
            if self.settings.skips_zeros:
                inside &= ~at_end[3] | (fields["n_positions_last"] > lane)
            m.d.comb += [self.address[lane].eq(lane_address), self.inside[lane].eq(inside)]
            lane_address = (lane_address + lane_step)[: self.settings.map_bits]
            lane_x = (lane_x + fields["lane_x"])[:COORDINATE_BITS]
        return m

    def _turns(self, kernel_ends: Value) -> Value:
        """Return whether the taps of the shortcut follow."""
        if not self.settings.shortcuts:
            return Const(0)
        return kernel_ends & self.fields["has_shortcut"] & ~self.in_shortcut

    def _shortcut(
        self,
        m: Module,
        moves: Value,
        turns: Value,
        address: Signal,
        following: Value,
        n_seen: Signal,
    ) -> None:
        """Send ``address`` over the shortcut's levels, and back to where it was to go."""
        fields = self.fields
        in_shortcut = Signal(reset_less=True)
        begin, back = (Signal.like(address, reset_less=True) for _ in range(2))
        m.d.comb += self.in_shortcut.eq(in_shortcut)
        with m.If(moves & turns):
            m.d.sync += [in_shortcut.eq(1), n_seen.eq(0), back.eq(following), address.eq(begin)]
        with m.If(moves & in_shortcut & self.block_ends):
            m.d.sync += [in_shortcut.eq(0), address.eq(back)]
            for loop, advances in zip(LOOPS[_TAP_LOOPS:], self.advancing, strict=True):
                with m.If(advances):
                    m.d.sync += begin.eq(begin + fields[f"shortcut_step_{loop}"])
        with m.If(self.start):
            m.d.sync += [in_shortcut.eq(0), begin.eq(fields["shortcut_start"])]
