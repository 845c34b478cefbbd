from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.pipeline import Pipeline
from tests.hw.benches import check_stream


class Registers(wiring.Component):
    """Nothing but the stages of a pipeline; each adds 1."""

    i: Any
    o: Any

    def __init__(self, width: int, n_stages: int) -> None:
        self.latency = n_stages
        self.initiation_interval = 1
        port = stream.Signature(unsigned(width))
        super().__init__({"i": In(port), "o": Out(port)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipeline = Pipeline(m, self.i, self.o, self.latency)
        value = self.i.payload
        for number in range(self.latency):
            value = pipeline.register((value + 1)[: len(self.i.payload)], f"stage_{number}")
        m.d.comb += self.o.payload.eq(value)
        return m


@pytest.mark.parametrize("n_stages", [1, 2, 3, 8])
@pytest.mark.parametrize("width", [1, 7])
def test_all_samples_arrive_once_in_order_and_in_time(width: int, n_stages: int) -> None:
    words = [number * 37 % (1 << width) for number in range(100)]
    expected = [(word + n_stages) % (1 << width) for word in words]
    check_stream(Registers(width, n_stages), words, expected)


def test_a_single_sample_passes() -> None:
    check_stream(Registers(4, 3), [9], [12])


class Broken(Registers):
    """A pipeline whose payload moves although its control stands still."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        Pipeline(m, self.i, self.o, 1)
        m.d.sync += self.o.payload.eq(self.i.payload + 1)
        return m


def test_the_bench_notices_a_payload_that_is_not_held() -> None:
    with pytest.raises(AssertionError, match="an offer is held until it is taken"):
        check_stream(Broken(4, 1), list(range(16)), [*range(1, 16), 0])


class Late(Registers):
    """A pipeline of one stage more than it says."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        self.stages, self.latency = 2, 1

    def elaborate(self, platform: object) -> Module:
        self.latency = 2
        m = super().elaborate(platform)
        self.latency = 1
        return m


def test_the_bench_notices_another_latency() -> None:
    with pytest.raises(AssertionError):
        check_stream(Late(), [1, 2, 3], [3, 4, 5])
