"""Programs from a flash: byte by byte in Amaranth's simulator, and on boards in Verilator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.boards.catalog import find_board
from nomul.boards.engine_host import EngineHost
from nomul.boards.engine_link import EngineLink, emit_link
from nomul.boards.engine_protocol import Code, program_requests, status_request, unpack_engine_reply
from nomul.boards.flash_boot import FLASH_OFFSET, N_WITHOUT_FRAME, FlashBoot, flash_image
from nomul.boards.protocol import FrameDecoder, encode_frame
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.network import Network
from nomul.sim.board import VirtualBoard, build_board
from nomul.sim.golden import evaluate_levels
from nomul.sim.verilator import is_installed
from tests.boards.benches import send_bytes, simulate
from tests.boards.engines import CLASSES, SUMS, TINY
from tests.boards.flash_model import BoardWithFlash, FlashModel
from tests.hw.folded import NETWORKS
from tests.networks import random_levels

RUNS = (Code.DONE, Code.RUNS_WHOLE)

needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)


class Listener(wiring.Component):
    """A link that is busy for some cycles behind every second flag, and says 55h all the time."""

    def __init__(self, n_busy: int) -> None:
        self.n_busy = n_busy
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(unsigned(8))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n_left, in_frame = Signal(range(self.n_busy + 1)), Signal()
        m.d.comb += [self.busy.eq(n_left != 0), self.o.valid.eq(1), self.o.payload.eq(0x55)]
        with m.If(self.busy):
            m.d.sync += n_left.eq(n_left - 1)
        with m.Elif(self.i.valid & (self.i.payload == 0x7E)):
            m.d.sync += in_frame.eq(~in_frame)
            with m.If(in_frame):
                m.d.sync += n_left.eq(self.n_busy)
        return m


def heard(content: bytes, line: bytes = b"", *, n_busy: int = 1, wake_up_cycles: int = 0) -> bytes:
    """Return what a link hears from the flash, and then from the line.

    The line brings 99h until the link may speak, and then ``line``.
    """
    listener = Listener(n_busy)
    flash = FlashModel([content], FLASH_OFFSET, wake_up_cycles)
    board = BoardWithFlash(FlashBoot(listener), flash)
    received = bytearray()

    async def driver(ctx: Any) -> None:
        await send_bytes(ctx, board.i, b"\x00", lambda: 0)
        ctx.set(board.i.payload, 0x99)
        ctx.set(board.i.valid, 1)
        await ctx.tick().until(board.o.valid)
        ctx.set(board.i.valid, 0)
        await send_bytes(ctx, board.i, line, lambda: 2)
        await ctx.tick().repeat(40)

    async def monitor(ctx: Any) -> None:
        ports = (listener.i.valid, listener.i.payload, listener.busy)
        async for *_, valid, payload, busy in ctx.tick().sample(*ports):
            assert not (valid and busy)
            if valid:
                received.append(payload)

    simulate(board, driver, background=(monitor,))
    return bytes(received)


ERASED = b"\xff" * N_WITHOUT_FRAME


@pytest.mark.parametrize("n_busy", [1, 15, 16, 17, 100])
def test_the_link_hears_the_flash_and_then_the_line(n_busy: int) -> None:
    frames = encode_frame(bytes(range(0x5A, 0x82))) + encode_frame(b"\x00\xff") * 3
    assert heard(frames, b"\x12\x34", n_busy=n_busy) == frames + ERASED + b"\x99\x12\x34"


@pytest.mark.parametrize("byte", [0x00, 0x55, 0xFF])
def test_a_flash_without_frames_is_left_soon(byte: int) -> None:
    content = bytes([byte]) * 5000
    assert heard(content) == content[:N_WITHOUT_FRAME] + b"\x99"


def test_a_flash_takes_its_time_to_wake_up() -> None:
    frame = encode_frame(b"\x01\x02")
    # 30 µs at 25 MHz; 41 µs are waited.
    assert heard(frame, wake_up_cycles=750) == frame + ERASED + b"\x99"
    assert heard(frame, wake_up_cycles=1100) == ERASED + b"\x99"


def test_the_longest_frame_is_not_taken_for_the_end() -> None:
    frame = encode_frame(b"\x7e" * 510)
    assert len(frame) > 1022
    assert heard(frame * 3)[: 3 * len(frame) + 1] == frame * 3 + b"\xff"


def test_an_image_has_the_frames_behind_the_bitstream() -> None:
    image = flash_image(b"bits", b"frames")
    assert image[:4] == b"bits"
    assert set(image[4:FLASH_OFFSET]) == {0xFF}
    assert image[FLASH_OFFSET:] == b"frames"


def frames_of(network: Network, settings: EngineSettings) -> bytes:
    return b"".join(map(encode_frame, program_requests(fold(network, settings))))


def simulator(contents: Sequence[bytes], settings: EngineSettings, folder: Path) -> Path:
    """Return what plays a board whose flash holds one of these."""
    boot = FlashBoot(EngineLink(Engine(settings)))
    return build_board(emit_link(BoardWithFlash(boot, FlashModel(contents, FLASH_OFFSET))), folder)


def power_up(board: VirtualBoard, which: int) -> Code:
    """Let a board boot from one of the contents, and return the code of its status then."""
    board.write(bytes([which]))
    # Replies to the flash are dropped; silent for so long, the board is through.
    assert board.read(1) == b""
    board.write(encode_frame(status_request(0x63)))
    line = b""
    while line.count(b"\x7e") < 2:
        line += board.read(1)
    (reply,) = FrameDecoder().feed(line)
    assert reply[0] == 0x63
    return unpack_engine_reply(reply, TINY).code


def check(board: VirtualBoard, network: Network, settings: EngineSettings) -> None:
    """See that samples are answered as by the golden model."""
    program = fold(network, settings)
    levels = random_levels(network, 20)
    expected = evaluate_levels(network, levels).reshape(len(levels), -1)
    if network.output.kind != "class":
        expected = expected[:, program.output_order]
    host = EngineHost(board, settings)
    answers = [list(host.answer(sample, program).answers) for sample in levels.tolist()]
    assert answers == expected.tolist()


FRAMES = frames_of(CLASSES, TINY)
MIDDLE = len(FRAMES) // 2
DAMAGED = {
    "erased": b"",
    "a bit flipped": FRAMES[:MIDDLE] + bytes([FRAMES[MIDDLE] ^ 1]) + FRAMES[MIDDLE + 1 :],
    "half": FRAMES[:MIDDLE],
    "without its first flag": FRAMES[1:],
    "without its last flag": FRAMES[:-1],
    "of another engine": frames_of(CLASSES, dataclasses.replace(TINY, pages=8)),
    "not frames": bytes(range(256)) * 4,
}
WHOLE = {"class": (CLASSES, FRAMES), "sums": (SUMS, frames_of(SUMS, TINY))}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    contents = [*DAMAGED.values(), *(frames for _, frames in WHOLE.values())]
    return simulator(contents, TINY, tmp_path_factory.mktemp("board"))


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_a_board_runs_what_its_flash_holds(tiny: Path, name: str) -> None:
    network, _ = WHOLE[name]
    with VirtualBoard(tiny) as board:
        assert power_up(board, len(DAMAGED) + list(WHOLE).index(name)) in RUNS
        check(board, network, TINY)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_does_not_run_and_a_host_may_load(tiny: Path, name: str) -> None:
    with VirtualBoard(tiny) as board:
        assert power_up(board, list(DAMAGED).index(name)) == Code.NO_PROGRAM
        EngineHost(board, TINY).load(fold(SUMS, TINY))
        check(board, SUMS, TINY)


@needs_verilator
@pytest.mark.slow
def test_the_engine_of_a_board_fills_its_spram(tmp_path: Path) -> None:
    settings = find_board("icebreaker").engine_settings
    network = NETWORKS["pictures"]
    program = simulator([frames_of(network, settings)], settings, tmp_path)
    with VirtualBoard(program) as board:
        assert power_up(board, 0) == Code.DONE
        check(board, network, settings)
