"""The maps of a folded engine, and what its taps read there: each level, or all but zeros."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.engine_settings import GROUP, EngineSettings

__all__ = ["ENDING", "LevelReader", "NonzeroReader", "tap_layout"]

ENDING = data.StructLayout({"block": 1, "positions": 1, "blocks": 1, "advancing": 3})
"""Whether a tap ends its block; whether that is the last of its line, or of the last channels;
which loop advances behind it."""


def tap_layout(settings: EngineSettings) -> data.StructLayout:
    """Return what goes with a tap's levels: as the members of :class:`nomul.hw.taps.Taps`."""
    return data.StructLayout(
        {
            "inside": settings.position_lanes,
            "weight_address": (settings.weight_depth - 1).bit_length(),
            "in_shortcut": 1,
            "ending": ENDING,
        }
    )


class LevelReader(wiring.Component):
    """The maps, from which every tap reads a level for each position lane.

    Latency: 1 cycle. Initiation interval: 1 cycle.

    Parameters
    ----------
    settings
        Of the engine.

    Members
    -------
    write : In(1)
        Puts ``write_level`` at ``write_address``.
    write_address, write_level : In
        See there.
    tap_valid : In(1)
        There is a tap.
    address : In, for each position lane
        Of its level.
    tap : In(:func:`tap_layout`)
        What goes with it.
    hold : Out(1)
        The tap is not taken in this cycle.
    valid : Out(1)
        There are levels, one for each position lane.
    levels : Out, for each position lane
        See there; any, outside the map.
    read : Out(:func:`tap_layout`)
        What goes with them.
    busy : Out(1)
        Taps are on their way.
    """

    write: Signal
    write_address: Signal
    write_level: Signal
    tap_valid: Signal
    address: Any
    tap: Any
    hold: Signal
    valid: Signal
    levels: Any
    read: Any
    busy: Signal

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        lanes = settings.position_lanes
        super().__init__(
            {
                "write": In(1),
                "write_address": In(settings.map_bits),
                "write_level": In(settings.level_bits),
                "tap_valid": In(1),
                "address": In(settings.map_bits).array(lanes),
                "tap": In(tap_layout(settings)),
                "hold": Out(1),
                "valid": Out(1),
                "levels": Out(settings.level_bits).array(lanes),
                "read": Out(tap_layout(settings)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.maps = maps = memory.Memory(
            shape=self.settings.level_bits, depth=self.settings.map_depth, init=[]
        )
        write = maps.write_port()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_level),
            self.busy.eq(self.valid),
        ]
        m.d.sync += [self.valid.eq(self.tap_valid), self.read.eq(self.tap)]
        for address, level in zip(self.address, self.levels, strict=True):
            port = maps.read_port()
            m.d.comb += [port.addr.eq(address), level.eq(port.data)]
        return m


class NonzeroReader(LevelReader):
    """A level reader whose maps are in groups of levels, of which those that are 0 are left out.

    A tap of a pass that skips zeros is a whole group, and becomes a tap for each channel that has
    a level other than 0 at some position lane, or for its first channel if there is none. A tap
    that ends a block waits until the sums of the block before have left, and none follows it in the
    next cycle, for the sums to move.

    Latency: 2 cycles. Initiation interval: 1 cycle, for a group as many as it has such channels.

    Parameters
    ----------
    settings
        Of the engine.
    skips_zeros, n_sums
        Of the pass: whether it does; sums of a block, of which one leaves in a cycle.
    """

    def __init__(self, settings: EngineSettings, skips_zeros: Signal, n_sums: Signal) -> None:
        self.skips_zeros = skips_zeros
        self.n_sums = n_sums
        super().__init__(settings)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # First a group is read; then it is held, until its levels have been given.
        is_read, is_held, takes, gives = Signal(), Signal(), Signal(), Signal()
        tap, held = (Signal(self.tap.shape(), reset_less=True) for _ in range(2))
        left = Signal(GROUP, reset_less=True)  # channels that are to be given
        others = left & (left - 1)[:GROUP]  # all but the first of them
        ends = held.ending.block & ~others.any()
        m.d.comb += [
            gives.eq(is_held & self._has_room(m, gives, ends)),
            takes.eq(~is_held | (gives & ~others.any())),
            self.hold.eq(is_read & ~takes),
            self.busy.eq(is_read | is_held),
        ]
        with m.If(~self.hold):
            m.d.sync += [is_read.eq(self.tap_valid), tap.eq(self.tap)]
        with m.If(takes):
            m.d.sync += [is_held.eq(is_read), held.eq(tap)]
        with m.If(gives):
            m.d.sync += left.eq(others)

        # Of a tap that is no group, the address says which level of its group is wanted.
        first = Cat(
            ~left[0] & (left[1] | (~left[2] & left[3])), ~left[0] & ~left[1] & left[2:].any()
        )
        groups = self._groups(m)
        nonzero: Value = Const(0, GROUP)
        for lane, (group, place) in enumerate(groups):
            held_group = Signal(data.ArrayLayout(self.settings.level_bits, GROUP), reset_less=True)
            held_place = Signal.like(place, reset_less=True)
            with m.If(takes):
                m.d.sync += [held_group.eq(group), held_place.eq(place)]
            m.d.comb += self.levels[lane].eq(held_group[first | held_place])
            levels = (group.word_select(k, self.settings.level_bits) for k in range(GROUP))
            is_there = tap.inside[lane].replicate(GROUP)
            nonzero |= Cat(level.any() for level in levels) & is_there
        with m.If(takes):
            m.d.sync += left.eq(Mux(self.skips_zeros, nonzero, 0))
        m.d.comb += [
            self.valid.eq(gives),
            self.read.eq(held),
            self.read.weight_address.eq(held.weight_address | first),
            self.read.ending.block.eq(gives & ends),
        ]
        return m

    def _groups(self, m: Module) -> list[tuple[Value, Signal]]:
        """Add the memory; return for each lane the group that was read, and the place in it."""
        n_bits, width = self.settings.level_bits, GROUP.bit_length() - 1
        m.submodules.maps = maps = memory.Memory(
            shape=n_bits * GROUP, depth=-(-self.settings.map_depth // GROUP), init=[]
        )
        write = maps.write_port(granularity=n_bits)
        m.d.comb += [
            write.en.eq(Mux(self.write, 1 << self.write_address[:width], 0)),
            write.addr.eq(self.write_address[width:]),
            write.data.eq(self.write_level.replicate(GROUP)),
        ]
        found = []
        for lane, address in enumerate(self.address):
            read = maps.read_port()
            place = Signal(width, name=f"place_{lane}", reset_less=True)
            m.d.comb += [read.en.eq(~self.hold), read.addr.eq(address[width:])]
            with m.If(~self.hold):
                m.d.sync += place.eq(address[:width])
            found.append((read.data, place))
        return found

    def _has_room(self, m: Module, gives: Value, ends: Value) -> Value:
        """Return whether a level may be given, as far as sums that leave are concerned."""
        moving = Signal()  # sums are on their way out of the lanes' adders
        n_left = Signal.like(self.n_sums)  # cycles before the next ones may follow
        m.d.sync += moving.eq(gives & ends)
        with m.If(gives & ends):
            m.d.sync += n_left.eq(self.n_sums - 1)
        with m.Elif(~self.busy):  # the next pass begins when all sums of this one have left
            m.d.sync += n_left.eq(0)
        with m.Elif(n_left.any()):
            m.d.sync += n_left.eq(n_left - 1)
        return ~moving & ~(ends & n_left.any())
