from __future__ import annotations

from typing import Any

import pytest

from nomul.boards.engine_link import EngineLink
from nomul.boards.engine_protocol import (
    Code,
    level_requests,
    program_requests,
    signature,
    status_request,
    unpack_engine_reply,
)
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program_image import fits_half
from nomul.network import Network
from tests.boards.engine_stand_in import EngineStandIn
from tests.boards.engines import CLASSES, SUMS, TINY, WIDE, exchange
from tests.networks import random_levels


def without_cycles(reply: bytes | None) -> bytes | None:
    return reply if reply is None or reply[1] != 1 else reply[:-4] + bytes(4)


def conversation(network: Network, settings: EngineSettings) -> list[bytes]:
    """Return requests that go well, and all that can be wrong with them."""
    program = fold(network, settings)
    begin, *words, commit = program_requests(program)
    beside = begin[:1] + b"\x06" + begin[2:]
    samples = random_levels(network, 3)[:, program.input_order].tolist()
    (whole,) = level_requests(samples[0], settings)
    n_first = 2 if settings.level_bits <= 4 else 1
    first = b"\x09\x04\x00\x00" + whole[4:5]

    def rest(place: int) -> bytes:
        """What is left of the sample, as if it began at ``place``."""
        return bytes([8, whole[1], place, 0]) + whole[5:]

    damaged = [words[0][:-1] + bytes([words[0][-1] ^ 1]), *words[1:]]
    n_inputs = network.n_inputs
    return [
        # Without a program, and malformed.
        *(status_request(0x7E), whole, words[0], commit, b"\x01\x06", b"\x02\xff\x00"),
        *(b"\x03\x01\x00", b"\x04\x01", b"\x05\x01\x00\x00", words[0], commit),
        *(begin, b"\x06\x02\x00", b"\x06\x02\x00\x00", b"\x06\x02\x00\x00\x00\x07", commit),
        *(begin, *damaged, commit, status_request(1), commit),
        *(begin, *words, words[-1], commit, begin, *words, commit[:-1], commit, status_request(2)),
        *(b"\x07\x04", b"\x07\x04\x00", b"\x07\x04\x00\x00", whole),
        *(first, rest(n_first), rest(n_first), rest(n_inputs), rest(0), first, first),
        *(rest(n_first + 1), rest(n_first), whole + b"\x01\x02\x03"),
        *(first, begin, *words, b"\x09\x03\x00\x00\x00\x00", rest(n_first)),
        *(first, begin, *words, commit, rest(n_first)),
        # Beside what runs, which goes on.
        *(begin, status_request(3), *words, commit, first, beside, status_request(4)),
        *(*damaged, rest(n_first), commit, whole, *words, commit, status_request(5), whole),
        *(request for sample in samples for request in level_requests(sample, settings)),
    ]


@pytest.mark.parametrize(
    ("network", "settings", "stalls"),
    [(CLASSES, TINY, False), (SUMS, TINY, True), (CLASSES, WIDE, False)],
    ids=["class", "sums", "a level a byte"],
)
def test_every_request_is_answered_as_documented(
    network: Network, settings: EngineSettings, stalls: bool
) -> None:
    requests = conversation(network, settings)
    program = fold(network, settings)
    stand_in = EngineStandIn(program, signature(settings))
    expected = [stand_in.reply(request) for request in requests]
    replies = exchange(EngineLink(Engine(settings)), requests, stalls=stalls)
    assert [without_cycles(reply) for reply in replies] == expected
    codes = {reply[1] for reply in expected if reply}
    assert codes == {*range(7)} | (set() if fits_half(program) else {Code.RUNS_WHOLE})


def test_cycles_count_from_the_whole_sample_to_its_first_answer() -> None:
    program = fold(SUMS, TINY)
    engine = Engine(TINY)
    link = EngineLink(engine)
    (sample,) = level_requests(random_levels(SUMS, 1)[0].tolist(), TINY)
    spans = []

    async def watch(ctx: Any) -> None:
        since = None
        async for *_, accepted, answers in ctx.tick().sample(
            engine.i.valid & engine.i.ready, engine.o.valid
        ):
            since = 0 if accepted else since if since is None else since + 1
            if answers and since is not None:
                spans.append(since)
                since = None

    replies = exchange(link, [*program_requests(program), sample], background=(watch,))
    assert replies[-1] is not None
    assert unpack_engine_reply(replies[-1], TINY).cycles == spans[0] > 0
