"""The lanes of a folded engine: products looked up, added up, and handed on."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.engine_settings import EngineSettings

__all__ = ["Lanes"]


class Lanes(wiring.Component):
    """One accumulator for each channel lane of each position lane.

    A weight chooses a product from its position's table row, and complements it if it has a sign:
    that is 1 less than the negative, which the bias knows. Where zeros are skipped no bias can
    know, and each adder has a carry for it. Behind a block, all sums move into a
    row of registers for each position, from which they are shifted while the next one is summed.
    No product is added in that cycle, so that an adder's bit and its flip-flop are one logic cell.

    Latency: a tap is part of its sums 2 cycles later, a sum can be read in the cycle behind
    ``move``. Initiation interval: 1 cycle.

    Parameters
    ----------
    settings
        Of the engine.

    Members
    -------
    clear : In(1)
        Begins a pass: all sums are 0 then.
    valid : In(1)
        There is a tap.
    move : In(1)
        All taps of a block are part of its sums, and there was no tap in the cycle before: its
        sums move, and begin again.
    rows : In, for each position lane
        The table row of its level: products, the first column's in the lowest bits.
    levels : In, for each position lane
        Its level; 0 outside the map.
    weights : In
        The first channel lane's in the lowest bits, its sign above its magnitude.
    is_greatest : In(1)
        The first lanes give the greatest level in place of a sum.
    shift : In(position lanes)
        Moves the sums of a position one channel on.
    sums : Out, for each position lane
        Of the channel that is next.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        lanes = settings.position_lanes
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "move": In(1),
                "rows": In(settings.columns * settings.product_bits).array(lanes),
                "levels": In(settings.level_bits).array(lanes),
                "weights": In(settings.channel_lanes * settings.weight_bits),
                "is_greatest": In(1),
                "shift": In(lanes),
                "sums": Out(signed(settings.sum_bits)).array(lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for position in range(self.settings.position_lanes):
            self._position(m, position)
        return m

    def _position(self, m: Module, position: int) -> None:
        settings = self.settings
        row = self.rows[position]
        products = [row.word_select(c, settings.product_bits) for c in range(settings.columns)]
        there = Signal(name=f"there_{position}")
        m.d.sync += there.eq(self.valid)
        changes, begins = there | self.move | self.clear, self.move | self.clear
        finished: list[Value] = []
        for channel in range(settings.channel_lanes):
            weight = self.weights.word_select(channel, settings.weight_bits)
            magnitude, sign = weight[: settings.magnitude_bits], weight[-1]
            name = f"{position}_{channel}"
            product = Signal(settings.product_bits, name=f"product_{name}", reset_less=True)
            chosen = _chosen(products, magnitude)
            m.d.sync += product.eq(chosen ^ sign.replicate(settings.product_bits))
            # Without a reset of its own: a flip-flop has one such pin, and blocks need it.
            total = Signal(signed(settings.sum_bits), name=f"sum_{name}", reset_less=True)
            following = total + product.as_signed()
            if settings.skips_zeros:
                is_negative = Signal(name=f"is_negative_{name}", reset_less=True)
                m.d.sync += is_negative.eq(sign)
                following = (Cat(1, total) + Cat(is_negative, product).as_signed())[1:]
            with m.If(changes):
                m.d.sync += total.eq(Mux(begins, 0, following))
            finished.append(total)

        greatest = Signal(settings.level_bits, name=f"greatest_{position}", reset_less=True)
        level = Signal.like(self.levels[position], name=f"level_{position}", reset_less=True)
        m.d.sync += level.eq(self.levels[position])
        with m.If(changes):
            m.d.sync += greatest.eq(Mux(begins, 0, Mux(level > greatest, level, greatest)))
        finished[0] = Mux(self.is_greatest, greatest, finished[0])

        held: list[Value] = [
            Signal(signed(settings.sum_bits), name=f"held_{position}_{channel}", reset_less=True)
            for channel in range(settings.channel_lanes)
        ]
        for channel, register in enumerate(held):
            behind = held[channel + 1] if channel + 1 < len(held) else Const(0)
            with m.If(self.move):
                m.d.sync += register.eq(finished[channel])
            with m.Elif(self.shift[position]):
                m.d.sync += register.eq(behind)
        m.d.comb += self.sums[position].eq(held[0])


def _chosen(values: Sequence[Value], number: Value) -> Value:
    """Return the value of that number, in the fewest LUTs of four inputs: five for a bit of eight.

    One of four takes two such LUTs where the first gives, for the upper two values, the number's
    lowest bit: no synthesizer finds that by itself.
    """
    if len(values) == 1:
        return values[0]
    if len(values) == 2:
        return Mux(number[0], values[1], values[0])
    if len(values) == 4:
        low, high = (bit.replicate(len(values[0])) for bit in number)
        first = (high & low) | (~high & ((low & values[1]) | (~low & values[0])))
        return (high & ((first & values[3]) | (~first & values[2]))) | (~high & first)
    half = len(values) // 2
    return Mux(number[-1], _chosen(values[half:], number[:-1]), _chosen(values[:half], number[:-1]))
