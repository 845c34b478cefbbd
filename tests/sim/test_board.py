"""The whole way from a network to answers over a line, on a board that Verilator plays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nomul.boards.catalog import find_board
from nomul.boards.engine_host import EngineHost
from nomul.boards.engine_link import EngineLink, emit_link
from nomul.boards.engine_protocol import Code, level_requests, program_requests, signature
from nomul.boards.protocol import FrameDecoder, encode_frame
from nomul.hw.engine import Engine
from nomul.hw.folding import fold
from nomul.hw.program import Program
from nomul.hw.program_image import fits_half
from nomul.network import CheckFailed, Network, UserError
from nomul.sim.board import VirtualBoard, build_board
from nomul.sim.golden import evaluate_levels
from nomul.sim.verilator import is_installed
from tests.boards.engine_stand_in import EngineStandIn
from tests.hw.folded import NETWORKS, SMALL
from tests.networks import random_levels

pytestmark = pytest.mark.skipif(not is_installed("verilator"), reason="verilator is not installed")
PICTURES, LINE = NETWORKS["pictures"], NETWORKS["a line, depthwise"]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_board(emit_link(EngineLink(Engine(SMALL))), tmp_path_factory.mktemp("board"))


@pytest.fixture
def board(simulator: Path) -> Iterator[VirtualBoard]:
    with VirtualBoard(simulator, silence_cycles=20_000) as made:
        yield made


def ask(board: VirtualBoard, content: bytes) -> bytes | None:
    """Return the content of the reply; None where none comes."""
    board.write(encode_frame(content))
    line = b""
    while line.count(b"\x7e") < 2 and (byte := board.read(1)):
        line += byte
    contents = FrameDecoder().feed(line)
    return contents[0] if contents else None


def check(host: EngineHost, network: Network, program: Program, n_samples: int = 3) -> None:
    """See that samples are answered as by the golden model."""
    levels = random_levels(network, n_samples)
    expected = evaluate_levels(network, levels).reshape(n_samples, -1)
    if network.output.kind != "class":
        expected = expected[:, program.output_order]
    answers = [host.answer(sample, program).answers for sample in levels.tolist()]
    assert np.array_equal(answers, expected)


@pytest.mark.parametrize("byte_cycles", [1, 17])
def test_one_board_runs_program_after_program(simulator: Path, byte_cycles: int) -> None:
    with VirtualBoard(simulator, byte_cycles=byte_cycles) as board:
        host = EngineHost(board, SMALL)
        assert not host.has_program()
        for network in NETWORKS.values():
            program = fold(network, SMALL)
            host.load(program)
            assert host.has_program()
            check(host, network, program)


@pytest.mark.slow
def test_the_engine_of_a_board_runs_at_full_size(tmp_path: Path) -> None:
    settings = find_board("icebreaker").engine_settings
    program = fold(PICTURES, settings)
    full = build_board(emit_link(EngineLink(Engine(settings))), tmp_path)
    with VirtualBoard(full) as board:
        host = EngineHost(board, settings)
        host.load(program)
        check(host, PICTURES, program, 20)


class NoisyLine:
    """A line to a board on which bytes change, and frames are lost or come twice."""

    def __init__(self, board: VirtualBoard, seed: int) -> None:
        self.board = board
        self.n_harmed = 0
        self._rng = np.random.default_rng(seed)

    def _harmed(self, data: bytes) -> bytes:
        if self._rng.random() > 0.2:
            return data
        self.n_harmed += 1
        place = int(self._rng.integers(len(data)))
        changed = data[:place] + bytes([data[place] ^ 1 << self._rng.integers(8)])
        return [b"", data + data, changed + data[place + 1 :]][self._rng.integers(3)]

    def write(self, data: bytes) -> None:
        self.board.write(self._harmed(data))

    def read(self, size: int) -> bytes:
        byte = self.board.read(size)
        return byte if not byte or self._rng.random() > 0.001 else bytes([byte[0] ^ 4])


@pytest.mark.parametrize("seed", range(3))
def test_a_noisy_line_costs_time_and_no_answer(board: VirtualBoard, seed: int) -> None:
    line = NoisyLine(board, seed)
    host = EngineHost(line, SMALL)
    program = fold(LINE, SMALL)
    for _ in range(3):
        try:
            host.load(program)
            break
        except CheckFailed:  # it says when it gives up
            pass
    check(host, LINE, program, 60)
    assert line.n_harmed > 3


@pytest.mark.parametrize("seed", range(4))
def test_any_conversation_goes_as_documented(board: VirtualBoard, seed: int) -> None:
    """Requests of two programs and their samples, shuffled, cut and changed."""
    rng = np.random.default_rng(seed)
    program = fold(LINE, SMALL)
    stand_in = EngineStandIn(program, signature(SMALL))
    load = list(program_requests(program))
    (sample,) = level_requests(random_levels(LINE, 1)[0, program.input_order].tolist(), SMALL)
    levels = sample[4:]
    in_parts = [bytes([1, 4, 2 * n, 0]) + levels[n : n + 6] for n in range(0, len(levels), 6)]
    found = set()
    for turn in range(60):
        some = [load, [sample], in_parts, [b"\x09\x00"]][rng.integers(4)]
        for request in some:
            if rng.random() < 0.06:
                request = request[: rng.integers(2, len(request) + 1)]
            if rng.random() < 0.06 and len(request) > 4 and request[1] != 3:
                request = request[:4] + bytes([request[4] ^ 1]) + request[5:]
            request = bytes([turn]) + request[1:]
            if stand_in.runs and request[1] == 2 and not is_as_before(stand_in, request):
                continue  # it would change what runs
            expected = stand_in.reply(request)
            reply = ask(board, request)
            if reply is not None and reply[1] == Code.ANSWERED:
                reply = reply[:-4] + bytes(4)
            assert reply == expected, request.hex()
            if reply is not None:
                found.add(reply[1])
    assert found >= {0, 1, 3, 4, 5, 6}


def is_as_before(board: EngineStandIn, request: bytes) -> bool:
    """Return whether the words of a request are where they are already."""
    before = dict(board.loaded)
    copy = EngineStandIn(board.program, board.signature)
    copy.reply(bytes([0, 1]) + board.signature.to_bytes(2, "little"))
    copy.reply(request)
    return all(before.get(place) == word for place, word in copy.loaded.items())


def test_a_damaged_frame_is_not_answered_and_changes_nothing(board: VirtualBoard) -> None:
    host = EngineHost(board, SMALL)
    program = fold(LINE, SMALL)
    host.load(program)
    (sample,) = level_requests([0] * LINE.n_inputs, SMALL)
    for content in (sample, *program_requests(program)):
        frame = encode_frame(content)
        for place in range(1, len(frame) - 1, 7):
            board.write(frame[:place] + bytes([frame[place] ^ 0x10]) + frame[place + 1 :])
    assert board.read(1) == b""
    check(host, LINE, program)


def test_a_load_that_breaks_off_or_is_foreign_leaves_the_running_program(
    board: VirtualBoard,
) -> None:
    host = EngineHost(board, SMALL)
    program = fold(LINE, SMALL)
    host.load(program)
    begin, *words, commit = program_requests(program, 1, beside=True)
    for request in (begin, *words[:2]):
        assert ask(board, request) == bytes([request[0], Code.DONE])
    check(host, LINE, program)
    assert ask(board, commit) == bytes([commit[0], Code.WRONG_CHECKSUM])
    check(host, LINE, program)
    foreign = dataclasses.replace(program, settings=dataclasses.replace(SMALL, pages=16))
    with pytest.raises(UserError, match="other settings"):
        host.load(foreign)
    assert ask(board, words[0]) == bytes([words[0][0], Code.OUT_OF_ORDER])
    check(host, LINE, program)
    host.load(program)
    check(host, LINE, program)


def test_a_second_program_is_loaded_while_the_first_one_runs(board: VirtualBoard) -> None:
    host = EngineHost(board, SMALL)
    first, second = fold(LINE, SMALL), fold(PICTURES, SMALL)
    assert fits_half(first)
    assert fits_half(second)
    host.load(first)
    *requests, commit = program_requests(second, 1, beside=True)
    for request in requests:
        assert ask(board, request) == bytes([request[0], Code.DONE])
        check(host, LINE, first, 1)
    assert ask(board, commit[:-1] + bytes([commit[-1] ^ 1])) == bytes(
        [commit[0], Code.WRONG_CHECKSUM]
    )
    check(host, LINE, first)
    host.load(second)
    assert ask(board, b"\x05\x00") == bytes([5, Code.RUNS_ELSEWHERE])
    check(host, PICTURES, second)
    # The first one is still there: its header is committed behind the checksum of nothing.
    assert ask(board, requests[0]) == bytes([requests[0][0], Code.DONE])
    assert ask(board, b"\x01\x03\x00\x00\x00\x00") == bytes([1, Code.DONE])
    assert ask(board, b"\x05\x00") == bytes([5, Code.DONE])
    check(host, LINE, first)


def test_requests_that_come_too_soon_are_dropped_without_harm(board: VirtualBoard) -> None:
    host = EngineHost(board, SMALL)
    program = fold(LINE, SMALL)
    host.load(program)
    (sample,) = level_requests([1] * LINE.n_inputs, SMALL, 5)
    status = encode_frame(b"\x63\x00")
    board.write(encode_frame(sample) + status * 3)
    line = b""
    while byte := board.read(1):
        line += byte
    replies = FrameDecoder().feed(line)
    assert replies[0][:2] == bytes([5, Code.ANSWERED])
    assert {reply[0] for reply in replies[1:]} <= {0x63}
    check(host, LINE, program)


def test_silence_ends_listening(board: VirtualBoard) -> None:
    assert board.write(b"\x7e\x01") == 2
    assert board.read(5) == b""


def test_a_simulator_that_ends_is_told(simulator: Path) -> None:
    with VirtualBoard(simulator) as board:
        board._process.kill()
        board._process.wait()
        with pytest.raises(CheckFailed) as caught:
            board.read(1)
    assert str(caught.value) == "The simulator of the board has ended by itself."


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        build_board("", tmp_path / "file")
    assert str(caught.value) == f"Cannot write into {tmp_path / 'file'}: File exists."


def test_what_is_about_to_be_written_over_does_not_run(board: VirtualBoard) -> None:
    host = EngineHost(board, SMALL)
    program = fold(LINE, SMALL)
    host.load(program)
    begin, *_ = program_requests(program)
    assert ask(board, begin) == bytes([begin[0], Code.DONE])
    assert not host.has_program()
    levels = random_levels(LINE, 1)[0].tolist()
    (sample,) = level_requests(levels, SMALL)
    assert ask(board, sample) == bytes([sample[0], Code.NO_PROGRAM])
    host.load(program)
    check(host, LINE, program)
