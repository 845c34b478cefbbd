from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import pytest

from nomul.boards import host as host_module
from nomul.boards.engine_host import EngineHost
from nomul.boards.engine_protocol import (
    CODE_SENTENCES,
    NO_REPLY,
    Code,
    Kind,
    program_requests,
    signature,
)
from nomul.boards.host import open_line
from nomul.boards.protocol import FrameDecoder, encode_frame
from nomul.hw.folding import fold
from nomul.hw.program_image import load_words
from nomul.network import CheckFailed, Conv2d, Network, UserError
from nomul.sim.golden import evaluate_levels
from tests.boards.engine_stand_in import EngineStandIn, StandInLine, served
from tests.hw.folded import NETWORKS, SMALL, chain
from tests.networks import random_levels, random_network

NETWORK = NETWORKS["a line, depthwise"]
PROGRAM = fold(NETWORK, SMALL)
WORDS = {(memory, step, address): word for memory, step, address, word in load_words(PROGRAM)}
N_REQUESTS = len(list(program_requests(PROGRAM)))
SILENT = (
    "The board does not answer: check that it runs the bitstream of `nomul build --folded` and "
    "that the port is its own."
)


def board() -> EngineStandIn:
    return EngineStandIn(PROGRAM, signature(SMALL))


def check(line: StandInLine) -> None:
    """See that a program is loaded, and samples are answered as by the golden model."""
    host = EngineHost(line, SMALL)
    host.load(PROGRAM)
    assert line.board.loaded == WORDS
    levels = random_levels(NETWORK, 3)
    for sample, expected in zip(levels, evaluate_levels(NETWORK, levels), strict=True):
        reply = host.answer(sample.tolist(), PROGRAM)
        assert list(reply.answers) == expected.ravel()[PROGRAM.output_order].tolist()


def test_a_program_is_loaded_and_samples_are_answered() -> None:
    line = StandInLine(board())
    assert not EngineHost(line, SMALL).has_program()
    check(line)
    assert EngineHost(line, SMALL).has_program()
    assert len(line.requests) == 3 + N_REQUESTS + 3, "each once"


def test_an_answer_behind_a_changed_bit_is_not_given() -> None:
    line = StandInLine(board())
    check(line)
    line.board.has_fault = True
    with pytest.raises(CheckFailed) as caught:
        EngineHost(line, SMALL).answer([0] * NETWORK.n_inputs, PROGRAM)
    assert str(caught.value) == (
        "A bit in the board's memories has changed, so its answers may be wrong: load the program "
        "again with `nomul program`."
    )


def test_programs_are_loaded_where_none_runs_if_they_leave_room() -> None:
    line = StandInLine(board())
    host = EngineHost(line, SMALL)
    headers = []
    for _ in range(3):
        host.load(PROGRAM)
        headers.append(line.board.header)
    assert headers == [0, SMALL.program_depth // 2, 0]
    assert host.has_program()
    tight = dataclasses.replace(SMALL, bias_depth=len(PROGRAM.biases))
    line = StandInLine(EngineStandIn(PROGRAM, signature(tight)))
    for _ in range(2):
        EngineHost(line, SMALL).load(dataclasses.replace(PROGRAM, settings=tight))
        assert line.board.header == 0
        assert line.board.is_whole
    kinds = [request[1] for request in line.requests]
    assert Kind.BEGIN_BESIDE not in kinds
    assert kinds.count(Kind.BEGIN) == 2


def flipped(frame: bytes) -> bytes:
    return frame[:3] + bytes([frame[3] ^ 1]) + frame[4:]


@pytest.mark.parametrize("lost", range(1 + N_REQUESTS + 3))
@pytest.mark.parametrize(
    "change", [lambda _: b"", flipped, lambda f: f + f], ids=["lost", "flipped", "doubled"]
)
@pytest.mark.parametrize("direction", ["there", "back"])
def test_what_happens_to_one_frame_is_made_good(
    direction: str, change: Callable[[bytes], bytes], lost: int
) -> None:
    def happens(number: int, frame: bytes) -> bytes:
        return change(frame) if number == lost else frame

    there, back = (happens if direction == way else (lambda _, f: f) for way in ("there", "back"))
    check(StandInLine(board(), there, back))


def test_a_reply_to_the_request_sent_first_is_taken_late() -> None:
    """The board is slow: each reply comes when the request has been sent again."""
    kept: list[bytes] = [b""]

    def late(_: int, frame: bytes) -> bytes:
        kept.append(frame)
        return kept[-2]

    line = StandInLine(board(), back=late)
    line.board.runs = True
    assert EngineHost(line, SMALL).has_program()
    first, second = line.requests
    assert first[1:] == second[1:]
    assert first[0] != second[0]


def test_a_reply_to_something_else_is_passed_over() -> None:
    other = encode_frame(bytes([77, Code.OUT_OF_ORDER]))
    line = StandInLine(board(), back=lambda _, frame: other + frame)
    assert not EngineHost(line, SMALL).has_program()


STRAYS = {"a note": b"boot 1.0", "an unknown code": b"\x01\x63", "an odd answer": b"\1\1\2\3\4"}


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
def test_what_is_no_reply_is_passed_over(stray: bytes) -> None:
    check(StandInLine(board(), back=lambda _, frame: encode_frame(stray) + frame))
    check(StandInLine(board(), back=lambda n, frame: encode_frame(stray) if n == 2 else frame))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ((True, True, True, True), NO_REPLY),
        ((True, True, True, False), SILENT),
        ((False, False, False, False), SILENT),
    ],
    ids=["each time", "three times", "never"],
)
def test_a_board_that_never_replies_but_says_something_each_time_is_no_engine(
    said: tuple[bool, ...], sentence: str
) -> None:
    frame = encode_frame(STRAYS["a note"])
    line = StandInLine(board(), back=lambda number, _: frame if said[number] else b"")
    with pytest.raises(UserError) as caught:
        EngineHost(line, SMALL).has_program()
    assert str(caught.value) == sentence
    assert len(line.requests) == 4


def test_an_engine_that_replies_to_something_else_is_an_engine() -> None:
    frames = encode_frame(STRAYS["a note"]) + encode_frame(bytes([77, Code.DONE]))
    with pytest.raises(UserError) as caught:
        EngineHost(StandInLine(board(), back=lambda *_: frames), SMALL).has_program()
    assert str(caught.value) == SILENT


def test_answers_are_as_long_as_the_engine_makes_them() -> None:
    wide = dataclasses.replace(SMALL, sum_bits=20)
    program = fold(NETWORK, wide)
    content = b"\1\1" + (-70_000).to_bytes(4, "little", signed=True) + b"\5\0\0\0"

    class Wide(EngineStandIn):
        def reply(self, request: bytes) -> bytes | None:
            return content

    line = StandInLine(Wide(program, signature(wide)))
    n_answers = dataclasses.replace(program, output_order=program.output_order[:1])
    assert EngineHost(line, wide).answer([0] * NETWORK.n_inputs, n_answers).answers == (-70_000,)


def test_sequence_numbers_go_round() -> None:
    line = StandInLine(board())
    host = EngineHost(line, SMALL)
    for _ in range(600):
        host.has_program()
    assert len({request[0] for request in line.requests}) == 256


def test_a_board_that_says_nothing_is_asked_a_few_times() -> None:
    sent = []

    def there(_: int, frame: bytes) -> bytes:
        sent.append(frame)
        return b""

    line = StandInLine(board(), there)
    with pytest.raises(UserError) as caught:
        EngineHost(line, SMALL).load(PROGRAM)
    assert str(caught.value) == SILENT
    assert len(sent) == 4


def test_a_line_that_changes_everything_fails_the_check() -> None:
    """The frames of words arrive with another word and the checksum that goes with it."""

    def there(_: int, frame: bytes) -> bytes:
        content = decoded(frame)
        if content[1] == 2:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return encode_frame(content)

    line = StandInLine(board(), there)
    with pytest.raises(CheckFailed) as caught:
        EngineHost(line, SMALL).load(PROGRAM)
    assert str(caught.value) == CODE_SENTENCES[Code.WRONG_CHECKSUM]
    assert [request[1] for request in line.requests].count(3) == 4
    assert not line.board.runs


def decoded(frame: bytes) -> bytes:
    (content,) = FrameDecoder().feed(frame)
    return content


def test_a_program_for_another_engine_is_refused_once() -> None:
    other = dataclasses.replace(SMALL, bias_depth=64)
    line = StandInLine(EngineStandIn(PROGRAM, signature(other)))
    with pytest.raises(UserError) as caught:
        EngineHost(line, SMALL).load(PROGRAM)
    assert str(caught.value) == CODE_SENTENCES[Code.FOREIGN]
    assert len(line.requests) == 2


def test_a_sample_needs_a_program() -> None:
    with pytest.raises(UserError) as caught:
        EngineHost(StandInLine(board()), SMALL).answer([0] * NETWORK.n_inputs, PROGRAM)
    assert str(caught.value) == CODE_SENTENCES[Code.NO_PROGRAM]


@pytest.mark.parametrize(
    "network",
    [
        random_network((NETWORK.n_inputs - 1, 2), (5,), n_centres=3),
        random_network((NETWORK.n_inputs + 1, 2), (5,), n_centres=3),
        random_network((NETWORK.n_inputs, 2), (5,), n_centres=3),
    ],
    ids=["fewer inputs", "more inputs", "other outputs"],
)
def test_a_board_that_runs_another_program_is_noticed(network: Network) -> None:
    line = StandInLine(board())
    host = EngineHost(line, SMALL)
    host.load(PROGRAM)
    program = fold(network, SMALL)
    with pytest.raises(UserError) as caught:
        host.answer([0] * network.n_inputs, program)
    assert str(caught.value) == (
        "The board runs another program than this network's: load it with `nomul program`."
    )


def test_levels_go_in_the_order_of_the_program() -> None:
    network = chain((2, 3, 3), (4,), "accumulators", [(Conv2d, (2, 2, 2, 2), 2, {})])
    program = fold(network, SMALL)
    assert sorted(program.input_order.tolist()) != program.input_order.tolist()
    line = StandInLine(EngineStandIn(program, signature(SMALL)))
    host = EngineHost(line, SMALL)
    host.load(program)
    (levels,) = random_levels(network, 1)
    expected = evaluate_levels(network, levels[None]).ravel()[program.output_order]
    assert list(host.answer(levels.tolist(), program).answers) == expected.tolist()


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError) as caught, open_line("/dev/no-such-port"):
        pass
    assert str(caught.value) == (
        "Cannot open the port /dev/no-such-port: No such file or directory."
    )


def test_a_url_that_is_none_is_named() -> None:
    with pytest.raises(UserError) as caught, open_line("radio://7"):
        pass
    assert str(caught.value) == (
        "Cannot open the port radio://7: invalid URL, protocol 'radio' not known."
    )


def test_an_echo_is_no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_SILENCE_S", 0.05)
    with open_line("loop://") as line, pytest.raises(UserError) as caught:
        EngineHost(line, SMALL).load(PROGRAM)
    assert str(caught.value) == NO_REPLY


def test_a_board_is_reached_over_a_socket() -> None:
    stand_in = board()
    with served(StandInLine(stand_in)) as port, open_line(port) as line:
        host = EngineHost(line, SMALL)
        host.load(PROGRAM)
        assert host.has_program()
    assert stand_in.loaded == WORDS


def test_a_port_that_is_lost_is_named() -> None:
    with served(StandInLine(board()), n_bytes=30) as port:
        with pytest.raises(UserError) as caught, open_line(port) as line:
            EngineHost(line, SMALL).load(PROGRAM)
        assert str(caught.value).startswith(f"The port {port} was lost: ")


def test_the_host_needs_neither_pytorch_nor_amaranth() -> None:
    script = (
        "import sys, nomul.boards.engine_host\n"
        "print({'torch', 'amaranth', 'serial'} & {name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
