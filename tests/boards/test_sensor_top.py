"""A heartbeat's record goes through a converter, and classes come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth_boards.icebreaker import ICEBreakerPlatform

from nomul.boards.engine_link import emit_link
from nomul.boards.sensor_top import AD7476A, Sensing, SensorTop, pmod_ad1
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.netlist import verilog_multipliers
from nomul.network import Input, Network
from nomul.sim.board import VirtualBoard, build_board
from nomul.sim.golden import evaluate
from nomul.sim.verilator import is_installed
from nomul.train.data import load_dataset
from tests.boards.benches import simulate
from tests.data import needs_data
from tests.networks import random_network

SETTINGS = EngineSettings(
    channel_lanes=4,
    position_lanes=1,
    map_depth=512,
    pages=4,
    threshold_depth=8,
    bias_depth=32,
    weight_depth=512,
    program_depth=128,
    weight_memory="block",
)


class Converter(wiring.Component):
    """An AD7476A that converts one number of a list behind the other, as its data sheet says."""

    cs: Signal
    clk: Signal
    data: Signal

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        super().__init__({"cs": In(1), "clk": In(1, init=1), "data": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.fall = ClockDomain(clk_edge="neg", async_reset=True, local=True)
        m.domains.over = ClockDomain(clk_edge="neg", reset_less=True, local=True)
        m.d.comb += [
            ClockSignal("fall").eq(self.clk),
            ResetSignal("fall").eq(~self.cs),
            ClockSignal("over").eq(self.cs),
        ]
        n_fallen, place = Signal(5), Signal(range(len(self.numbers) + 1))
        m.d.fall += n_fallen.eq(n_fallen + 1)
        m.d.over += place.eq(place + 1)
        m.submodules.memory = memory = Memory(shape=16, depth=len(self.numbers), init=self.numbers)
        read = memory.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(place),
            # High, as nobody drives it, where it gives no bit.
            self.data.eq(~self.cs | (n_fallen >= 16) | read.data.bit_select(~n_fallen[:4], 1)),
        ]
        return m


class Bench(wiring.Component):
    """What reads a converter, and one; ``o`` is what it gives, and ``i`` is there for form."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self, reader: AD7476A | Sensing, numbers: Sequence[int], n_bits: int = 8) -> None:
        self.reader = reader
        self.converter = Converter(numbers)
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(unsigned(n_bits))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader = reader = self.reader
        m.submodules.converter = converter = self.converter
        m.d.comb += [
            converter.cs.eq(reader.cs),
            converter.clk.eq(reader.clk),
            reader.data.eq(converter.data),
            self.o.payload.eq(reader.o.payload),
            self.o.valid.eq(reader.o.valid),
            reader.o.ready.eq(self.o.ready),
        ]
        return m


@pytest.mark.parametrize(
    ("period", "stall", "span"), [(80, 0, 80), (80, 200, 4 * 80), (131, 3, 131)]
)
def test_numbers_arrive_one_a_period_unless_they_are_not_taken(
    period: int, stall: int, span: int
) -> None:
    numbers = [0, 4095, 1, 2048, 0xA5C, 0x5A3, 7, 3000]
    bench = Bench(AD7476A(period), numbers, 12)
    found: list[int] = []
    selected: list[int] = []

    async def driver(ctx: Any) -> None:
        while len(found) < len(numbers):
            ctx.set(bench.o.ready, 0)
            await ctx.tick().until(bench.o.valid)
            offered = ctx.get(bench.o.payload)
            if stall:
                await ctx.tick().repeat(stall)
            assert (ctx.get(bench.o.valid), ctx.get(bench.o.payload)) == (1, offered)
            ctx.set(bench.o.ready, 1)
            await ctx.tick()
            found.append(offered)

    async def watch(ctx: Any) -> None:
        async for *_, now in ctx.tick().sample(bench.reader.cs):
            selected.append(now)

    simulate(bench, driver, background=(watch,))
    assert found == numbers
    starts = np.flatnonzero(np.diff(selected) == 1)
    assert set(np.diff(starts).tolist()) == {span}


def network_of_signals(thresholds: np.ndarray[Any, Any]) -> Network:
    """Return a network of 5 classes for windows of 128 numbers."""
    network = random_network((128, 8, 5), (16, 16), n_centres=7)
    return dataclasses.replace(network, input=Input((128,), thresholds))


@needs_data("ecg_mitbih")
@pytest.mark.slow
@pytest.mark.skipif(not is_installed("verilator"), reason="verilator is not installed")
@pytest.mark.parametrize("hop", [128, 37])
def test_windows_of_a_heartbeat_are_answered_as_by_the_golden_model(
    hop: int, tmp_path: Path
) -> None:
    dataset = load_dataset("ecg_mitbih")
    record = dataset.test_features[:40].ravel()
    thresholds = np.quantile(dataset.train_features[:2000], np.arange(1, 16) / 16)
    network = network_of_signals(thresholds)
    windows = np.lib.stride_tricks.sliding_window_view(record, 128)[::hop]
    expected = evaluate(network, windows)
    assert len(set(expected.tolist())) > 2

    engine = Engine(SETTINGS, fold(network, SETTINGS))
    bench = Bench(Sensing(engine, thresholds, period=80, hop=hop), record.tolist())
    verilog = emit_link(bench)
    assert verilog_multipliers(verilog) == []
    with VirtualBoard(build_board(verilog, tmp_path)) as board:
        assert list(board.read(len(windows))) == expected.tolist()


def test_a_board_has_the_converter_and_its_leds() -> None:
    thresholds = np.arange(1, 16) * 256.0
    engine = Engine(SETTINGS, fold(network_of_signals(thresholds), SETTINGS))
    platform = ICEBreakerPlatform()
    platform.add_resources([pmod_ad1(0)])
    top = SensorTop(engine, thresholds, rate_hz=180, hop=128)
    files = platform.prepare(top, "top").files
    pins = set(files["top.pcf"].splitlines())
    # Pins 1, 2 and 4 of connector 1A, the LEDs, and the clock.
    assert pins >= {
        "set_io pmod_ad1_0__cs__io 4",
        "set_io pmod_ad1_0__data__io 2",
        "set_io pmod_ad1_0__clk__io 45",
        "set_io led_0__io 11",
        "set_io led_1__io 37",
    }, pins
