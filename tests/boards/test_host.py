from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nomul.boards import host as module
from nomul.boards.host import Answer, NetworkHost
from nomul.boards.link import Link, SerialLink
from nomul.boards.protocol import (
    FrameDecoder,
    encode_frame,
    pack_numbers,
    pack_request,
    unpack_numbers,
    unpack_reply,
)
from nomul.hw.plan import plan
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import convert
from nomul.network import Conv2d, Input, Network, Output, UserError
from nomul.network.model import OutputKind
from nomul.sim.chip import Pins, VirtualChip, build_chip
from nomul.sim.golden import evaluate_levels
from nomul.sim.verilator import is_installed
from tests.boards.faults import N_FAULTS, FaultyLine, one_byte_fault, one_byte_faults
from tests.hw.folded import chain
from tests.networks import random_levels, random_lookup, random_network

needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)
BIT_CYCLES = 8
SILENT = (
    "The board does not answer as this network's does: check that it runs the network's "
    "bitstream, of `nomul build`, and that the port is its own."
)
NETWORK = random_network((6, 3), (4,), output="accumulators")
WIDTH = 7
LEVELS = random_levels(NETWORK, 200)
EXPECTED = [tuple(row) for row in evaluate_levels(NETWORK, LEVELS).tolist()]


class StandIn:
    """A line to a board as docs/wire-protocol.md describes it, that runs the golden model.

    ``width`` is that of its answers, in bits; ``back`` takes the number of a reply and its frame,
    and returns what arrives.
    """

    def __init__(
        self,
        network: Network,
        width: int,
        back: Callable[[int, bytes], bytes] = lambda _, frame: frame,
    ) -> None:
        self.requests: list[bytes] = []
        self._network, self._width, self._back = network, width, back
        self._frames = FrameDecoder()
        self._waiting = b""
        self._results: dict[bytes, bytes] = {}

    def write(self, data: bytes) -> None:
        for content in self._frames.feed(data):
            sample = content[1:]
            if sample not in self._results:
                self._results[sample] = self._result(sample)
            reply = content[:1] + self._results[sample] + (7).to_bytes(2, "little")
            self._waiting += self._back(len(self.requests), encode_frame(reply))
            self.requests.append(content)

    def _result(self, sample: bytes) -> bytes:
        width = (self._network.input.n_levels - 1).bit_length()
        levels = unpack_numbers(sample, width, self._network.n_inputs)
        answers = evaluate_levels(self._network, np.array([levels])).ravel().tolist()
        return pack_numbers([value % (1 << self._width) for value in answers], self._width)

    def read(self, size: int) -> bytes:
        found, self._waiting = self._waiting[:size], self._waiting[size:]
        return found


# The widths are worked out by hand: of accumulators from the tables, by the least that holds all.
CASES: list[tuple[OutputKind, tuple[int, ...], tuple[int, ...], int]] = [
    ("class", (5, 3), (4,), 2),
    ("class", (3, 1), (2,), 1),
    ("class", (3, 5), (5,), 3),
    ("levels", (3, 4), (2, 3), 2),
    ("levels", (3, 4), (2, 2), 1),
]


@pytest.mark.parametrize(("output", "sizes", "n_levels", "width"), CASES)
def test_answers_are_the_golden_models(
    output: OutputKind, sizes: tuple[int, ...], n_levels: tuple[int, ...], width: int
) -> None:
    network = random_network(sizes, n_levels, output=output)
    levels = random_levels(network, 20)
    line = StandIn(network, width)
    host = NetworkHost(line, network)
    found = [host.answer(sample) for sample in levels.tolist()]
    expected = evaluate_levels(network, levels).reshape(20, -1).tolist()
    assert found == [Answer(tuple(values), 7) for values in expected]
    assert host.n_sent == len(line.requests) == 20


def test_lookups_are_asked_too() -> None:
    layer = random_lookup(6, 3, 8, 4)
    network = Network(Input((8,), np.array([0.5])), (layer,), Output("levels"))
    levels = random_levels(network, 9)
    host = NetworkHost(StandIn(network, 2), network)
    found = [list(host.answer(sample).values) for sample in levels.tolist()]
    assert found == evaluate_levels(network, levels).tolist()


def test_a_network_that_is_not_unrolled_is_refused() -> None:
    network = chain((2, 3, 3), (4,), "accumulators", [(Conv2d, (2, 2, 2, 2), 2, {})])
    with pytest.raises(UserError, match=r"layers\.0 is of kind conv2d"):
        NetworkHost(StandIn(network, 8), network)


def test_every_change_of_one_byte_of_a_reply_costs_a_request_at_most() -> None:
    """Sequence numbers go round meanwhile, so that all of them and all checksums come by."""
    network = random_network((2, 2), (2,))
    samples = [(0, 0), (0, 1), (1, 0), (1, 1)]
    expected = evaluate_levels(network, np.array(samples)).tolist()
    pending: list[int] = []

    def back(_: int, frame: bytes) -> bytes:
        return one_byte_fault(frame, pending.pop()) if pending else frame

    line = StandIn(network, 1, back)
    host = NetworkHost(line, network)
    n_faults = 4 * N_FAULTS * len(encode_frame(bytes(4)))
    for number in range(n_faults):
        pending.append(number)
        assert host.answer(samples[number % 4]).values == (expected[number % 4],)
        assert not pending
    assert n_faults < host.n_sent <= 2 * n_faults


def test_without_the_checksum_wrong_answers_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the tests of faults can fail."""

    class Careless(FrameDecoder):
        def _content(self) -> bytes | None:
            return bytes(self._body[:-2]) if self._body and len(self._body) > 2 else None

    monkeypatch.setattr(module, "FrameDecoder", Careless)
    assert len(set(EXPECTED)) > len(EXPECTED) / 2
    line = FaultyLine(StandIn(NETWORK, WIDTH), seed=0, rate=0.03)
    host = NetworkHost(line, NETWORK)
    found = [patiently(host, sample) for sample in LEVELS.tolist()]
    assert found != EXPECTED


def patiently(host: NetworkHost, sample: list[int]) -> tuple[int, ...]:
    """Return an answer, however often the host gives up."""
    while True:
        try:
            return host.answer(sample).values
        except UserError:  # it says when it gives up
            pass


def test_a_late_reply_is_not_taken_for_the_next_ones() -> None:
    """Each reply comes when the next request has been sent."""
    kept = [b""]

    def late(_: int, frame: bytes) -> bytes:
        kept.append(frame)
        return kept[-2]

    network = random_network((5, 3), (4,))
    levels = random_levels(network, 30)
    host = NetworkHost(StandIn(network, 2, late), network)
    found = [host.answer(sample).values[0] for sample in levels.tolist()]
    assert found == evaluate_levels(network, levels).tolist()
    assert host.n_sent == 60


def test_a_board_that_says_nothing_is_asked_a_few_times() -> None:
    network = random_network((5, 3), (4,))
    line = StandIn(network, 2, lambda *_: b"")
    with pytest.raises(UserError) as caught:
        NetworkHost(line, network).answer([0] * 5)
    assert str(caught.value) == SILENT
    assert [request[0] for request in line.requests] == [1, 2, 3, 4]


def test_a_board_that_runs_another_network_is_noticed() -> None:
    network = random_network((5, 3), (4,))
    with pytest.raises(UserError) as caught:
        NetworkHost(StandIn(network, 9), network).answer([0] * 5)
    assert str(caught.value) == SILENT


def test_a_port_that_never_stops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)

    class Endless:
        def write(self, data: bytes) -> None:
            pass

        def read(self, size: int) -> bytes:
            return b"x" * size

    with pytest.raises(UserError) as caught:
        NetworkHost(Endless(), NETWORK).answer([0] * 5)
    assert str(caught.value) == SILENT


def test_a_port_is_heard_out_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop brings back what was written into it."""
    import serial

    opened = serial.serial_for_url("loop://", timeout=0.05)
    opened.write(b"late")
    monkeypatch.setattr(serial, "serial_for_url", lambda *_, **__: opened)
    with module.open_line("loop://") as line:
        assert line.read(1) == b""


def test_the_host_needs_neither_pytorch_nor_amaranth() -> None:
    script = (
        "import sys, nomul.boards.host\n"
        "print({'torch', 'amaranth', 'serial'} & {name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The link, from pin to pin, with the network in it, as its Verilog."""
    link = SerialLink(Link(Unrolled(plan(NETWORK))), BIT_CYCLES)
    verilog = convert(link, "top")
    return build_chip(verilog, Pins("clk", "rx", "tx"), tmp_path_factory.mktemp("link"))


@pytest.fixture
def board(simulator: Path) -> Iterator[VirtualChip]:
    # A reply begins within a few cycles, and a byte takes 80.
    with VirtualChip(simulator, bit_cycles=BIT_CYCLES, silence_cycles=250) as line:
        yield line


@needs_verilator
def test_a_board_answers_as_the_golden_model(board: VirtualChip) -> None:
    host = NetworkHost(board, NETWORK)
    answers = [host.answer(sample) for sample in LEVELS.tolist()]
    assert [answer.values for answer in answers] == EXPECTED
    assert {answer.latency for answer in answers} == {plan(NETWORK).latency}
    assert host.n_sent == len(LEVELS)


@needs_verilator
@pytest.mark.parametrize(
    ("seed", "n_samples"),
    [
        (0, 200),
        *(pytest.param(seed, 20_000, marks=pytest.mark.slow) for seed in (1, 2, 3)),
    ],
)
def test_a_faulty_line_costs_time_and_no_answer(
    board: VirtualChip, seed: int, n_samples: int
) -> None:
    line = FaultyLine(board, seed, rate=0.03)
    host = NetworkHost(line, NETWORK)
    for number in range(n_samples):
        place = number % len(LEVELS)
        assert patiently(host, LEVELS[place].tolist()) == EXPECTED[place]
    print(dict(line.n_faults), line.n_frames_harmed, "frames harmed;", host.n_sent, "requests")
    assert min(line.n_faults.values()) > n_samples / 20
    assert line.n_frames_harmed > n_samples / 2
    assert n_samples < host.n_sent < 4 * n_samples


@needs_verilator
@pytest.mark.slow
def test_every_change_of_one_byte_of_a_request_is_noticed_or_harmless(board: VirtualChip) -> None:
    """The board answers it as if it were whole, or not at all; and the next request as ever."""
    width = (NETWORK.input.n_levels - 1).bit_length()
    good = encode_frame(pack_request(1, pack_numbers(LEVELS[0].tolist(), width)))
    # Its sequence number is escaped.
    request = encode_frame(pack_request(0x7E, pack_numbers(LEVELS[1].tolist(), width)))

    def replies() -> list[bytes]:
        line = b""
        while byte := board.read(1):
            line += byte
        return FrameDecoder().feed(line)

    board.write(good)
    (good_reply,) = replies()
    board.write(request)
    (reply,) = replies()
    assert unpack_reply(reply).payload != unpack_reply(good_reply).payload
    n_harmless = 0
    for harmed in one_byte_faults(request):
        board.write(harmed)
        found = replies()
        assert found in ([], [reply]), harmed.hex()
        n_harmless += bool(found)
        board.write(good)
        found = replies()
        if found == [reply]:  # the next one's flag closed it
            board.write(good)
            found = replies()
        assert found == [good_reply], harmed.hex()
    print(len(one_byte_faults(request)), "harmed,", n_harmless, "harmless")
    assert 0 < n_harmless < 10
