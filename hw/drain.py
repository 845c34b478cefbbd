"""What becomes of a folded engine's sums: a level in a map, or what leaves."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.program import LOOPS, RESULTS

__all__ = ["Drain"]

# What accompanies a sum: whether there is one, whether it is the first of its block and of its
# position, and which loop advances behind the block.
_TAG = data.StructLayout({"valid": 1, "begins_block": 1, "begins_position": 1, "advancing": 3})


class Drain(wiring.Component):
    """Takes one sum a cycle from the lanes, channel by channel, position by position.

    The bias is added, and the level found by halving: as many comparisons in a row as a level has
    bits, each a pipeline stage with a memory of thresholds of its own.

    Latency: ``level_bits + 2`` cycles from a sum at the lanes to its level at ``map_write``; 2 to a
    sum at ``result``, and as the class is known. Initiation interval: 1 cycle.

    Parameters
    ----------
    settings
        Of the engine.
    fields
        The signals that hold the pass, by :func:`nomul.hw.program.field_widths`.

    Members
    -------
    start : In(1)
        Begins a pass.
    block_ends : In(1)
        The sums of a block are there from the next cycle on.
    advancing : In(3)
        With it: which of position, line and block advances behind this block.
    positions_end, blocks_end : In(1)
        With it: this block is the last of its line; of the last channels.
    sums : In, for each position lane
        The lanes' next sums.
    shift : Out(position lanes)
        The one that is taken.
    bias_address : Out
        Whose bias must be there in the next cycle.
    bias : In
        It.
    threshold_address : Out, for each step of the search
        Whose threshold must be there in the next cycle.
    threshold : In, for each step of the search
        It.
    map_write : Out(1)
        ``map_level`` belongs to ``map_address``.
    map_address, map_level : Out
        See there.
    result_valid : Out(1)
        ``result`` leaves.
    result : Out
        A sum, or a level.
    best : Out
        The channel of the greatest sum of the pass, the first of equals.
    busy : Out(1)
        Sums are on their way.
    """

    def __init__(self, settings: EngineSettings, fields: Mapping[str, Signal]) -> None:
        self.settings = settings
        self.fields = fields
        lanes, total = settings.position_lanes, signed(settings.sum_bits)
        channel_bits = (settings.bias_depth - 1).bit_length()
        self._set_bits = (settings.threshold_depth - 1).bit_length()
        super().__init__(
            {
                "start": In(1),
                "block_ends": In(1),
                "advancing": In(3),
                "positions_end": In(1),
                "blocks_end": In(1),
                "sums": In(total).array(lanes),
                "shift": Out(lanes),
                "bias_address": Out(channel_bits),
                "bias": In(total),
                "threshold_address": Out(self._set_bits + settings.level_bits - 1).array(
                    settings.level_bits
                ),
                "threshold": In(total).array(settings.level_bits),
                "map_write": Out(1),
                "map_address": Out(settings.map_bits),
                "map_level": Out(settings.level_bits),
                "result_valid": Out(1),
                "result": Out(total),
                "best": Out(channel_bits),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fields = self.fields
        results = {name: fields["result"] == number for number, name in enumerate(RESULTS)}
        taken, channel = self._take(m)

        # The sum without its bias, and its tag.
        bare, bare_tag = Signal.like(self.sums[0], reset_less=True), Signal(_TAG)
        bare_channel = Signal.like(channel, reset_less=True)
        shared = ~fields["thresholds_per_channel"]
        threshold_set = Signal(self._set_bits, reset_less=True)
        m.d.comb += self.bias_address.eq(fields["bias_start"] + channel)
        m.d.sync += [
            bare_tag.eq(taken),
            bare_channel.eq(channel),
            threshold_set.eq(fields["threshold_start"] + Mux(shared, 0, channel)),
        ]
        for lane, following in enumerate(self.sums):
            with m.If(self.shift[lane]):
                m.d.sync += bare.eq(following)

        # The sum, as it leaves and as classes are compared.
        total, total_tag = Signal.like(bare, reset_less=True), Signal(_TAG)
        total_channel = Signal.like(channel, reset_less=True)
        m.d.sync += [
            total.eq(bare + self.bias),
            total_tag.eq(bare_tag),
            total_channel.eq(bare_channel),
        ]
        best_total = Signal.like(total, reset_less=True)
        with m.If(total_tag.valid & ((total_channel == 0) | (total > best_total))):
            m.d.sync += [best_total.eq(total), self.best.eq(total_channel)]

        level, level_tag, searching = self._search(m, total, total_tag, threshold_set)
        self._place(m, level_tag)
        m.d.comb += [
            self.map_write.eq(level_tag.valid & results["map"]),
            self.map_level.eq(level),
            self.result_valid.eq(
                (total_tag.valid & results["sums"]) | (level_tag.valid & results["levels"])
            ),
            self.result.eq(Mux(results["levels"], level, total)),
            self.busy.eq(taken.valid | bare_tag.valid | total_tag.valid | searching),
        ]
        return m

    def _take(self, m: Module) -> tuple[data.View, Signal]:
        """Shift sums out of the lanes; return the tag and the channel of the one that is next."""
        fields = self.fields
        tag, channel = Signal(_TAG), Signal.like(self.best, reset_less=True)
        block_channel, first_channel = (Signal.like(channel, reset_less=True) for _ in range(2))
        n_channels, channels_left = (
            Signal.like(fields["n_channels"], reset_less=True) for _ in range(2)
        )
        position = Signal(self.settings.position_lanes, init=1, reset_less=True)  # one-hot
        positions_left = Signal.like(fields["n_positions_last"], reset_less=True)
        with m.If(tag.valid):
            m.d.comb += self.shift.eq(position)
            m.d.sync += [
                channel.eq(channel + 1),
                channels_left.eq(channels_left - 1),
                tag.begins_block.eq(0),
                tag.begins_position.eq(0),
            ]
            with m.If(channels_left == 1):
                m.d.sync += [
                    channel.eq(first_channel),
                    channels_left.eq(n_channels),
                    tag.begins_position.eq(1),
                    position.eq(position << 1),
                    positions_left.eq(positions_left - 1),
                    tag.valid.eq(positions_left != 1),
                ]
        with m.If(self.block_ends):
            of_block = Mux(self.blocks_end, fields["n_channels_last"], fields["n_channels"])
            m.d.sync += [
                tag.valid.eq(1),
                tag.begins_block.eq(1),
                tag.begins_position.eq(1),
                tag.advancing.eq(self.advancing),
                *(register.eq(of_block) for register in (n_channels, channels_left)),
                *(register.eq(block_channel) for register in (first_channel, channel)),
                position.eq(1),
                positions_left.eq(
                    Mux(
                        self.positions_end, fields["n_positions_last"], self.settings.position_lanes
                    )
                ),
            ]
            with m.If(self.advancing[2] & ~fields["is_greatest"]):
                m.d.sync += block_channel.eq(block_channel + fields["n_channels"])
        with m.If(self.start):
            m.d.sync += block_channel.eq(0)
        return tag, channel

    def _search(
        self, m: Module, total: Signal, tag: data.View, threshold_set: Signal
    ) -> tuple[Value, data.View, Value]:
        """Find a bit of the level a step, the highest first; return it, its tag and "is busy"."""
        settings = self.settings
        m.d.comb += self.threshold_address[0].eq(threshold_set)
        bits: list[Signal] = []
        busy: Value = Const(0)
        for step in range(settings.level_bits):
            # It comes a cycle before the sum, whose step's threshold it leads to.
            next_set = Signal.like(threshold_set, name=f"set_{step}", reset_less=True)
            next_total = Signal.like(total, name=f"total_{step}", reset_less=True)
            next_tag = Signal(_TAG, name=f"tag_{step}")
            next_bits = [Signal(name=f"bit_{step}_{k}", reset_less=True) for k in range(step + 1)]
            reached = Signal(name=f"reached_{step}")
            m.d.comb += reached.eq(total >= self.threshold[step])
            m.d.sync += [
                next_set.eq(threshold_set),
                next_total.eq(total),
                next_tag.eq(tag),
                *(new.eq(old) for new, old in zip(next_bits, [*bits, reached], strict=True)),
            ]
            if step + 1 < settings.level_bits:
                m.d.comb += self.threshold_address[step + 1].eq(
                    Cat(reached, *reversed(bits), next_set)
                )
            threshold_set, total, tag, bits = next_set, next_total, next_tag, next_bits
            busy = busy | tag.valid
        return Cat(*reversed(bits)), tag, busy

    def _place(self, m: Module, tag: data.View) -> None:
        """Tell where in the map each level belongs."""
        fields = self.fields
        block_address, position_address, last_address = (
            Signal(self.settings.map_bits, reset_less=True) for _ in range(3)
        )
        with m.If(tag.begins_block):
            m.d.comb += self.map_address.eq(block_address)
        with m.Elif(tag.begins_position):
            m.d.comb += self.map_address.eq(position_address + fields["out_lane"])
        with m.Else():
            m.d.comb += self.map_address.eq(last_address + 1)
        with m.If(tag.valid):
            m.d.sync += last_address.eq(self.map_address)
            with m.If(tag.begins_position):
                m.d.sync += position_address.eq(self.map_address)
            with m.If(tag.begins_block):
                for loop, advances in zip(LOOPS[3:], tag.advancing, strict=True):
                    with m.If(advances):
                        step = fields[f"out_step_{loop}"]
                        m.d.sync += block_address.eq(block_address + step)
        with m.If(self.start):
            m.d.sync += block_address.eq(fields["out_start"])
