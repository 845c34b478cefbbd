"""A folded engine behind a serial line: programs and samples in, answers out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_SDLC
from amaranth.lib.wiring import In, Out

from nomul.boards.engine_protocol import N_CYCLES, Code, Kind, signature
from nomul.boards.frame_store import FrameSender, FrameStore
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import WORD_BITS
from nomul.hw.program_image import fits_half
from nomul.hw.verilog import convert

__all__ = ["EngineLink", "emit_link"]


class EngineLink(wiring.Component):
    """Takes requests, one at a time, and answers each with one reply.

    docs/wire-protocol.md has both byte by byte. A damaged frame does nothing. A program runs only
    when the checksum of all that was loaded is right; until then the one before goes on, if it was
    loaded beside it, or nothing runs.

    Latency: a cycle or two for each byte of a request; for the last levels of a sample, as long as
    the engine takes.

    Parameters
    ----------
    engine
        The engine, which becomes a submodule. If it has a program from the bitstream, it runs that.
        Its weights do not lie outside.

    Members
    -------
    i : In(stream of unsigned(8), always ready)
        Bytes that hold request frames.
    o : Out(stream of unsigned(8))
        Bytes of reply frames.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, engine: Engine) -> None:
        assert engine.settings.weight_memory != "port", "a link has no memory to offer"
        self.engine = engine
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(unsigned(8))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = engine = self.engine
        m.submodules.requests = requests = FrameStore()
        m.submodules.replies = replies = FrameSender()
        m.submodules.crc = crc = CRC16_IBM_SDLC(data_width=8).create()
        wiring.connect(m, wiring.flipped(self.i), requests.i)
        wiring.connect(m, replies.o, wiring.flipped(self.o))

        # A byte is there from the second cycle on in which `place` points at it.
        place = Signal.like(requests.length)
        byte, byte_there, take = requests.byte, Signal(), Signal()
        at_end = place == requests.length
        m.d.comb += requests.address.eq(place)
        m.d.sync += byte_there.eq(requests.valid & ~take & ~requests.done)
        with m.If(requests.done):
            m.d.sync += place.eq(0)
        with m.Elif(take):
            m.d.sync += place.eq(place + 1)

        sequence, kind, code, low = (Signal(8) for _ in range(4))
        number = Cat(low, byte)
        # Of weights in SPRAM or outside a bitstream has nothing.
        in_bitstream = engine.program is not None and engine.settings.weight_memory == "block"
        run = Signal(init=in_bitstream)
        header, next_header = Signal.like(engine.header), Signal.like(engine.header)
        kept = engine.program
        is_whole = Signal(init=kept is not None and not fits_half(kept))
        next_is_whole = Signal()
        is_loading = Signal()
        memory_and_step, address, word = Signal(6), Signal(WORD_BITS), Signal(WORD_BITS)
        n_levels, cycles = Signal(WORD_BITS), Signal(8 * N_CYCLES)
        n_sent, answered = Signal(range(N_CYCLES)), Signal()
        answer = Signal(WORD_BITS)
        is_single, but_one = engine.settings.level_bits > 4, kind == Kind.LEVELS_BUT_ONE
        m.d.comb += [
            engine.run.eq(run),
            engine.header.eq(header),
            Value.cast(engine.load.payload).eq(Cat(memory_and_step, address, word)),
            crc.data.eq(byte),
            answer.eq(engine.o.payload),
        ]
        # Said by states: written into them, these would take far more logic.
        forget, complete, shift = Signal(), Signal(), Signal()
        with m.If(forget):
            m.d.sync += n_levels.eq(0)
        with m.Elif(engine.i.valid & engine.i.ready):
            m.d.sync += n_levels.eq(n_levels + 1)
        with m.If(complete):
            # Of the cycle behind the one in which the last level was taken, the next one.
            m.d.sync += [cycles.eq(2), answered.eq(0)]
        with m.Elif(shift):
            m.d.sync += cycles.eq(cycles >> 8)
        with m.Elif(engine.o.valid):
            m.d.sync += answered.eq(1)
        with m.Elif(~answered):
            m.d.sync += cycles.eq(cycles + 1)

        def reply_with(name: Code) -> None:
            m.d.sync += code.eq(name)
            m.next = "reply sequence"

        @contextmanager
        def byte_state(name: str, following: str) -> Iterator[None]:
            """Add a state that takes a byte of the request, which must have one left."""
            with m.State(name), m.If(byte_there):
                with m.If(at_end):
                    reply_with(Code.MALFORMED)
                with m.Else():
                    m.d.comb += take.eq(1)
                    m.next = following
                    yield

        @contextmanager
        def reply_state(name: str, sent: ValueLike, following: str) -> Iterator[None]:
            """Add a state that sends a byte of the reply."""
            with m.State(name):
                m.d.comb += [replies.i.payload.byte.eq(sent), replies.i.valid.eq(1)]
                with m.If(replies.i.ready):
                    m.next = following
                    yield

        with m.FSM() as fsm:
            with byte_state("sequence", "kind"):
                m.d.sync += sequence.eq(byte)
            with byte_state("kind", "malformed"):
                m.d.sync += kind.eq(byte)
                with m.Switch(byte):
                    with m.Case(Kind.STATUS):
                        half = Mux(header == 0, Code.DONE, Code.RUNS_ELSEWHERE)
                        place_of_it = Mux(is_whole, Code.RUNS_WHOLE, half)
                        m.d.sync += code.eq(Mux(run, place_of_it, Code.NO_PROGRAM))
                        m.next = "reply sequence"
                    with m.Case(Kind.BEGIN, Kind.BEGIN_BESIDE):
                        m.next = "signature low"
                    with m.Case(Kind.WORDS):
                        m.next = "memory"
                    with m.Case(Kind.COMMIT):
                        m.next = "header low"
                    with m.Case(Kind.LEVELS, Kind.LEVELS_BUT_ONE):
                        m.next = "first level low"
            with m.State("malformed"):
                reply_with(Code.MALFORMED)

            with byte_state("signature low", "signature high"):
                m.d.sync += low.eq(byte)
            with byte_state("signature high", "reply sequence"):
                is_own = number == signature(engine.settings)
                m.d.comb += crc.start.eq(1)
                m.d.sync += [is_loading.eq(is_own), code.eq(Mux(is_own, Code.DONE, Code.FOREIGN))]
                # What is about to be written over must not run any more.
                with m.If(is_own & (kind == Kind.BEGIN)):
                    m.d.comb += forget.eq(1)
                    m.d.sync += run.eq(0)

            with byte_state("memory", "address low"):
                m.d.comb += crc.valid.eq(1)
                m.d.sync += memory_and_step.eq(byte)
                with m.If(~is_loading):
                    reply_with(Code.OUT_OF_ORDER)
            with byte_state("address low", "address high"):
                m.d.comb += crc.valid.eq(1)
                m.d.sync += low.eq(byte)
            with byte_state("address high", "word low"):
                m.d.comb += crc.valid.eq(1)
                m.d.sync += address.eq(number)
            with m.State("word low"), m.If(byte_there):
                with m.If(at_end):
                    reply_with(Code.DONE)
                with m.Else():
                    m.d.comb += [take.eq(1), crc.valid.eq(1)]
                    m.d.sync += low.eq(byte)
                    m.next = "word high"
            with byte_state("word high", "store word"):
                m.d.comb += crc.valid.eq(1)
                m.d.sync += word.eq(number)
            with m.State("store word"):
                m.d.comb += engine.load.valid.eq(1)
                with m.If(engine.load.ready):
                    m.d.sync += address.eq(address + 1)
                    m.next = "word low"

            with byte_state("header low", "header high"):
                m.d.sync += low.eq(byte)
            with byte_state("header high", "checksum low"):
                m.d.sync += [next_header.eq(number), next_is_whole.eq(number[-1])]
            with byte_state("checksum low", "checksum high"):
                m.d.sync += low.eq(byte)
            with byte_state("checksum high", "reply sequence"):
                is_right = is_loading & (number == crc.crc)
                m.d.sync += [
                    is_loading.eq(0),
                    code.eq(Mux(is_loading, Code.WRONG_CHECKSUM, Code.OUT_OF_ORDER)),
                ]
                with m.If(is_right):
                    m.d.comb += forget.eq(1)
                    m.d.sync += [code.eq(Code.DONE), run.eq(0)]
                    m.next = "stop"
            with m.State("stop"):
                m.next = "restart"
            with m.State("restart"):
                m.d.sync += [header.eq(next_header), is_whole.eq(next_is_whole), run.eq(1)]
                m.next = "reply sequence"

            with byte_state("first level low", "first level high"):
                m.d.sync += low.eq(byte)
            with byte_state("first level high", "levels"):
                with m.If(number == 0):
                    m.d.comb += [engine.discard.eq(1), forget.eq(1)]
                with m.Elif(number != n_levels):
                    reply_with(Code.OUT_OF_ORDER)
                with m.If(~run):
                    reply_with(Code.NO_PROGRAM)
            with m.State("levels"):
                m.d.comb += engine.i.payload.eq(byte)
                with m.If(engine.busy):
                    m.d.comb += [complete.eq(1), forget.eq(1)]
                    m.d.sync += code.eq(Code.ANSWERED)
                    m.next = "reply sequence"
                with m.Elif(byte_there & at_end):
                    reply_with(Code.DONE)
                with m.Elif(byte_there):
                    m.d.comb += engine.i.valid.eq(1)
                    with m.If(engine.i.ready):
                        m.d.comb += take.eq(is_single | ((place + 1 == requests.length) & but_one))
                        with m.If(~take):
                            m.next = "upper level"
            with m.State("upper level"):
                m.d.comb += [engine.i.payload.eq(byte[4:]), engine.i.valid.eq(1)]
                with m.If(engine.busy):
                    m.next = "levels"
                with m.Elif(engine.i.ready):
                    m.d.comb += take.eq(1)
                    m.next = "levels"

            with reply_state("reply sequence", sequence, "reply code"):
                pass
            with reply_state("reply code", code, "reply end"), m.If(code == Code.ANSWERED):
                m.next = "await answer"
            with m.State("await answer"):
                with m.If(engine.o.valid):
                    m.next = "answer low"
                with m.Elif(~engine.busy):
                    m.next = "reply cycles"
            with reply_state("answer low", answer[:8], "answer high"):
                pass
            with reply_state("answer high", answer[8:], "await answer"):
                m.d.comb += engine.o.ready.eq(1)
            with reply_state("reply cycles", cycles[:8], "reply cycles"):
                m.d.comb += shift.eq(1)
                m.d.sync += n_sent.eq(n_sent + 1)
                with m.If(n_sent == N_CYCLES - 1):
                    m.d.sync += n_sent.eq(0)
                    m.next = "reply end"
            with reply_state("reply end", 0, "sequence"):
                m.d.comb += requests.done.eq(1)
            m.d.comb += replies.i.payload.end.eq(fsm.ongoing("reply end"))
        return m


def emit_link(link: EngineLink, name: str = "top") -> str:
    """Return the Verilog of ``link``: the module ``name`` has its streams and those it is made of.

    Raises
    ------
    UserError
        If yosys, which writes the Verilog, is not installed.
    """
    return convert(_Ported(link), name)


class _Ported(wiring.Component):
    """A link whose every port is a signal, as those of a module must be."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self, link: EngineLink) -> None:
        self.link = link
        port = stream.Signature(unsigned(8))
        super().__init__({"i": In(port), "o": Out(port)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        m.d.comb += [
            link.i.payload.eq(self.i.payload),
            link.i.valid.eq(self.i.valid),
            self.i.ready.eq(link.i.ready),
        ]
        wiring.connect(m, link.o, wiring.flipped(self.o))
        return m
