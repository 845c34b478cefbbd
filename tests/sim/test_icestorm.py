"""A bitstream with block RAM and single-ported RAM, made and read back: slow, but for errors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockSignal, Instance, Module, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.boards.build import build_core
from nomul.boards.catalog import find_board
from nomul.boards.protocol import FrameDecoder, encode_frame, pack_request, unpack_reply
from nomul.network import CheckFailed, UserError
from nomul.sim.chip import VirtualChip, build_chip, read_pins
from nomul.sim.icestorm import asc_verilog, is_decoder_installed, unpack
from nomul.sim.verilator import is_installed

needs_tools = pytest.mark.skipif(
    not is_decoder_installed() or not is_installed("verilator"),
    reason="fpga-icestorm or verilator is not installed",
)
WORDS = np.random.default_rng(5).integers(0, 1 << 16, 256).tolist()


class Detour(wiring.Component):
    """Answers to a byte with a word of its block RAM, by way of a single-ported RAM."""

    i: Any
    o: Any

    def __init__(self) -> None:
        super().__init__(
            {"i": In(stream.Signature(unsigned(8))), "o": Out(stream.Signature(unsigned(16)))}
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        table = memory.Memory(shape=16, depth=256, init=WORDS, attrs={"ram_style": "block"})
        m.submodules.table = table
        read = table.read_port()
        write = Signal()
        m.submodules.detour = Instance(
            "SB_SPRAM256KA",
            i_ADDRESS=self.i.payload,
            i_DATAIN=read.data,
            i_MASKWREN=15,
            i_WREN=write,
            i_CHIPSELECT=1,
            i_CLOCK=ClockSignal(),
            i_STANDBY=0,
            i_SLEEP=0,
            i_POWEROFF=1,
            o_DATAOUT=self.o.payload,
        )
        m.d.comb += read.addr.eq(self.i.payload)
        with m.FSM():
            with m.State("look up"), m.If(self.i.valid):
                m.next = "write"
            with m.State("write"):
                m.d.comb += write.eq(1)
                m.next = "read"
            with m.State("read"):
                m.next = "answer"
            with m.State("answer"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += self.i.ready.eq(1)
                    m.next = "look up"
        return m


BOARD = find_board("icebreaker")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    report = build_core(Detour(), BOARD, folder, fast=True)
    assert (report.bram, report.spram) == (1, 1)
    return folder


def words(asc: Path, built: Path, folder: Path) -> list[int | None]:
    """Return what the chip answers to each byte; None for what it does not answer."""
    pcf = built / "icebreaker.pcf"
    program = build_chip(asc_verilog(asc, pcf, "sg48"), read_pins(pcf), folder)
    found: list[int | None] = []
    with VirtualChip(program, bit_cycles=104, silence_cycles=5_000) as line:
        for number in range(256):
            line.write(encode_frame(pack_request(number, bytes([number]))))
            frames = FrameDecoder()
            contents: list[bytes] = []
            while not contents and (byte := line.read(1)):
                contents = frames.feed(byte)
            replies = [unpack_reply(content) for content in contents]
            found.append(int.from_bytes(replies[0].payload, "little") if replies else None)
    return found


@pytest.mark.slow
@needs_tools
def test_words_come_back_through_both_kinds_of_ram(built: Path, tmp_path: Path) -> None:
    asc = unpack(built / "icebreaker.bin", tmp_path)
    assert words(asc, built, tmp_path) == WORDS


@pytest.mark.slow
@needs_tools
def test_one_bit_of_a_block_ram_changes_one_bit_of_one_word(built: Path, tmp_path: Path) -> None:
    asc = unpack(built / "icebreaker.bin", tmp_path)
    text = asc.read_text()
    place = next(
        found.end()
        for found in re.finditer(r"^\.ram_data \d+ \d+\n", text, re.MULTILINE)
        if re.match(r".*[1-9a-f]", text[found.end() :])
    )
    flipped = f"{int(text[place + 30], 16) ^ 4:x}"
    asc.write_text(text[: place + 30] + flipped + text[place + 31 :])
    found = words(asc, built, tmp_path)
    changes = [bin(word ^ (got or 0)).count("1") for word, got in zip(WORDS, found, strict=True)]
    assert sorted(changes) == [0] * 255 + [1]


@pytest.mark.slow
@needs_tools
def test_a_single_ported_ram_that_is_not_turned_on_is_none(built: Path, tmp_path: Path) -> None:
    """Its enable is one bit of a tile: without it the words do not come back."""
    pcf = built / "icebreaker.pcf"
    asc = unpack(built / "icebreaker.bin", tmp_path)
    assert asc_verilog(asc, pcf, "sg48").count("SB_SPRAM256KA spram_0 (") == 1
    rows = asc.read_text().split("\n")
    starts = [n for n, row in enumerate(rows) if re.match(r"\.ipcon_tile (0|25) 1$", row)]
    assert len(starts) == 2
    for start in starts:
        rows[start + 1 : start + 17] = ["0" * 54] * 16
    asc.write_text("\n".join(rows))
    assert "SB_SPRAM256KA" not in asc_verilog(asc, pcf, "sg48")


def test_without_icestorm_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert not is_decoder_installed()
    with pytest.raises(UserError) as caught:
        asc_verilog(tmp_path / "chip.asc", tmp_path / "chip.pcf", "sg48")
    assert str(caught.value) == (
        "Project IceStorm, which reads bitstreams back, is not installed: run `apt install "
        "fpga-icestorm`."
    )


@needs_tools
def test_bits_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    asc = tmp_path / "chip.asc"
    asc.write_text(".device 7k\n")
    (tmp_path / "chip.pcf").write_text("")
    with pytest.raises(CheckFailed, match="The bitstream cannot be read back: "):
        asc_verilog(asc, tmp_path / "chip.pcf", "sg48")
