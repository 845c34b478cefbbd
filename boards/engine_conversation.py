"""What a folded engine's link does with a request, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib.crc.catalog import CRC16_IBM_SDLC

from nomul.boards.engine_protocol import N_CYCLES, Code, Kind, answer_bytes, signature
from nomul.boards.frame_store import FrameSender, FrameStore
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import WORD_BITS
from nomul.hw.program_image import fits_half

__all__ = ["Conversation"]


class Conversation:
    """A link's registers, and the states that a request and its reply go through.

    Parameters
    ----------
    m
        Gets the engine and what receives and sends frames as submodules. The methods that add
        states are called inside its state machine.
    """

    def __init__(self, m: Module, engine: Engine) -> None:
        self.m = m
        m.submodules.engine = self.engine = engine
        m.submodules.requests = self.requests = requests = FrameStore()
        m.submodules.replies = self.replies = FrameSender()
        m.submodules.crc = self.crc = CRC16_IBM_SDLC(data_width=8).create()

        # A byte is there from the second cycle on in which `place` points at it.
        self.place = place = Signal.like(requests.length)
        self.byte, self.byte_there, self.take = requests.byte, Signal(), Signal()
        self.at_end = place == requests.length
        m.d.comb += requests.address.eq(place)
        m.d.sync += self.byte_there.eq(requests.valid & ~self.take & ~requests.done)
        with m.If(requests.done):
            m.d.sync += place.eq(0)
        with m.Elif(self.take):
            m.d.sync += place.eq(place + 1)

        self.sequence, self.kind, self.code, self.low = (
            Signal(8, name=name) for name in ("sequence", "kind", "code", "low")
        )
        self.number = Cat(self.low, self.byte)
        # Of weights in SPRAM or outside a bitstream has nothing.
        kept = engine.program
        self.run = Signal(init=kept is not None and engine.settings.weight_memory == "block")
        self.is_whole = Signal(init=kept is not None and not fits_half(kept))
        self.header = Signal.like(engine.header)
        self.is_loading = Signal()
        self.memory_and_step = Signal(6)
        self.address, self.word = Signal(WORD_BITS), Signal(WORD_BITS)
        m.d.comb += [
            engine.run.eq(self.run),
            engine.header.eq(self.header),
            Value.cast(engine.load.payload).eq(Cat(self.memory_and_step, self.address, self.word)),
            self.crc.data.eq(self.byte),
        ]

        # Said by states: written into them, what follows would take far more logic.
        self.forget, self.complete, self.shift = Signal(), Signal(), Signal()
        self.n_levels, self.cycles = Signal(WORD_BITS), Signal(8 * N_CYCLES)

    def count(self) -> None:
        """Count the levels of a sample, and the cycles from it to its answer."""
        m, engine = self.m, self.engine
        with m.If(self.forget):
            m.d.sync += self.n_levels.eq(0)
        with m.Elif(engine.i.valid & engine.i.ready):
            m.d.sync += self.n_levels.eq(self.n_levels + 1)
        answered = Signal()
        with m.If(self.complete):
            # Of the cycle behind the one in which the last level was taken, the next one.
            m.d.sync += [self.cycles.eq(2), answered.eq(0)]
        with m.Elif(self.shift):
            m.d.sync += self.cycles.eq(self.cycles >> 8)
        with m.Elif(engine.o.valid):
            m.d.sync += answered.eq(1)
        with m.Elif(~answered):
            m.d.sync += self.cycles.eq(self.cycles + 1)

    def _reply_with(self, name: Code) -> None:
        self.m.d.sync += self.code.eq(name)
        self.m.next = "reply sequence"

    @contextmanager
    def _byte_state(self, name: str, following: str) -> Iterator[None]:
        """Add a state that takes a byte of the request, which must have one left."""
        m = self.m
        with m.State(name), m.If(self.byte_there):
            with m.If(self.at_end):
                self._reply_with(Code.MALFORMED)
            with m.Else():
                m.d.comb += self.take.eq(1)
                m.next = following
                yield

    @contextmanager
    def _reply_state(self, name: str, sent: ValueLike, following: str) -> Iterator[None]:
        """Add a state that sends a byte of the reply."""
        m, port = self.m, self.replies.i
        with m.State(name):
            m.d.comb += [port.payload.byte.eq(sent), port.valid.eq(1)]
            with m.If(port.ready):
                m.next = following
                yield

    def open(self) -> None:
        """Take sequence number and kind, and answer what asks for the status."""
        m = self.m
        with self._byte_state("sequence", "kind"):
            m.d.sync += self.sequence.eq(self.byte)
        with self._byte_state("kind", "malformed"):
            m.d.sync += self.kind.eq(self.byte)
            with m.Switch(self.byte):
                with m.Case(Kind.STATUS):
                    half = Mux(self.header == 0, Code.DONE, Code.RUNS_ELSEWHERE)
                    place_of_it = Mux(self.is_whole, Code.RUNS_WHOLE, half)
                    m.d.sync += self.code.eq(Mux(self.run, place_of_it, Code.NO_PROGRAM))
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
            self._reply_with(Code.MALFORMED)

    def begin(self) -> None:
        """Begin to load, if the program is for this engine."""
        m = self.m
        with self._byte_state("signature low", "signature high"):
            m.d.sync += self.low.eq(self.byte)
        with self._byte_state("signature high", "reply sequence"):
            is_own = self.number == signature(self.engine.settings)
            m.d.comb += self.crc.start.eq(1)
            m.d.sync += [
                self.is_loading.eq(is_own),
                self.code.eq(Mux(is_own, Code.DONE, Code.FOREIGN)),
            ]
            # What is about to be written over must not run any more.
            with m.If(is_own & (self.kind == Kind.BEGIN)):
                m.d.comb += self.forget.eq(1)
                m.d.sync += self.run.eq(0)

    def words(self) -> None:
        """Write words into a memory of the engine."""
        m, checked = self.m, self.crc.valid.eq(1)
        with self._byte_state("memory", "address low"):
            m.d.comb += checked
            m.d.sync += self.memory_and_step.eq(self.byte)
            with m.If(~self.is_loading):
                self._reply_with(Code.OUT_OF_ORDER)
        with self._byte_state("address low", "address high"):
            m.d.comb += checked
            m.d.sync += self.low.eq(self.byte)
        with self._byte_state("address high", "word low"):
            m.d.comb += checked
            m.d.sync += self.address.eq(self.number)
        with m.State("word low"), m.If(self.byte_there):
            with m.If(self.at_end):
                self._reply_with(Code.DONE)
            with m.Else():
                m.d.comb += [self.take.eq(1), checked]
                m.d.sync += self.low.eq(self.byte)
                m.next = "word high"
        with self._byte_state("word high", "store word"):
            m.d.comb += checked
            m.d.sync += self.word.eq(self.number)
        with m.State("store word"):
            m.d.comb += self.engine.load.valid.eq(1)
            with m.If(self.engine.load.ready):
                m.d.sync += self.address.eq(self.address + 1)
                m.next = "word low"

    def commit(self) -> None:
        """Run what was loaded, if it is what was sent."""
        m = self.m
        next_header, next_is_whole = Signal.like(self.header), Signal()
        with self._byte_state("header low", "header high"):
            m.d.sync += self.low.eq(self.byte)
        with self._byte_state("header high", "checksum low"):
            m.d.sync += [next_header.eq(self.number), next_is_whole.eq(self.number[-1])]
        with self._byte_state("checksum low", "checksum high"):
            m.d.sync += self.low.eq(self.byte)
        with self._byte_state("checksum high", "reply sequence"):
            m.d.sync += [
                self.is_loading.eq(0),
                self.code.eq(Mux(self.is_loading, Code.WRONG_CHECKSUM, Code.OUT_OF_ORDER)),
            ]
            with m.If(self.is_loading & (self.number == self.crc.crc)):
                m.d.comb += self.forget.eq(1)
                m.d.sync += [self.code.eq(Code.DONE), self.run.eq(0)]
                m.next = "stop"
        with m.State("stop"):
            m.next = "restart"
        with m.State("restart"):
            m.d.sync += [
                self.header.eq(next_header),
                self.is_whole.eq(next_is_whole),
                self.run.eq(1),
            ]
            m.next = "reply sequence"

    def levels(self) -> None:
        """Bring levels to the engine, until it has a sample."""
        m, engine, byte, take = self.m, self.engine, self.byte, self.take
        is_single, but_one = engine.settings.level_bits > 4, self.kind == Kind.LEVELS_BUT_ONE
        with self._byte_state("first level low", "first level high"):
            m.d.sync += self.low.eq(byte)
        with self._byte_state("first level high", "levels"):
            with m.If(self.number == 0):
                m.d.comb += [engine.discard.eq(1), self.forget.eq(1)]
            with m.Elif(self.number != self.n_levels):
                self._reply_with(Code.OUT_OF_ORDER)
            with m.If(~self.run):
                self._reply_with(Code.NO_PROGRAM)
        with m.State("levels"):
            m.d.comb += engine.i.payload.eq(byte)
            with m.If(engine.busy):
                m.d.comb += [self.complete.eq(1), self.forget.eq(1)]
                self._reply_with(Code.ANSWERED)
            with m.Elif(self.byte_there & self.at_end):
                self._reply_with(Code.DONE)
            with m.Elif(self.byte_there):
                m.d.comb += engine.i.valid.eq(1)
                with m.If(engine.i.ready):
                    is_last = self.place + 1 == self.requests.length
                    m.d.comb += take.eq(is_single | (is_last & but_one))
                    with m.If(~take):
                        m.next = "upper level"
        with m.State("upper level"):
            m.d.comb += [engine.i.payload.eq(byte[4:]), engine.i.valid.eq(1)]
            with m.If(engine.busy):
                m.next = "levels"
            with m.Elif(engine.i.ready):
                m.d.comb += take.eq(1)
                m.next = "levels"

    def reply(self) -> None:
        """Send the reply, and be done with the request."""
        m, engine = self.m, self.engine
        n_answer_bytes = answer_bytes(engine.settings)
        answer = Signal(signed(8 * n_answer_bytes))
        n_sent = Signal(range(N_CYCLES))
        m.d.comb += answer.eq(engine.o.payload)
        with self._reply_state("reply sequence", self.sequence, "reply code"):
            pass
        with (
            self._reply_state("reply code", self.code, "reply end"),
            m.If(self.code == Code.ANSWERED),
        ):
            m.next = "await answer"
        with m.State("await answer"):
            with m.If(engine.o.valid):
                m.next = "answer 0"
            with m.Elif(~engine.busy):
                m.next = "reply cycles"
        for number in range(n_answer_bytes - 1):
            with self._reply_state(
                f"answer {number}", answer.word_select(number, 8), f"answer {number + 1}"
            ):
                pass
        with self._reply_state(f"answer {n_answer_bytes - 1}", answer[-8:], "await answer"):
            m.d.comb += engine.o.ready.eq(1)
        # By the last byte of four, a fault of the last read is long there.
        is_fault = engine.fault & (n_sent == N_CYCLES - 1)
        sent = self.cycles[:8] | Cat(Const(0, 7), is_fault)
        with self._reply_state("reply cycles", sent, "reply cycles"):
            m.d.comb += self.shift.eq(1)
            m.d.sync += n_sent.eq(n_sent + 1)
            with m.If(n_sent == N_CYCLES - 1):
                m.d.sync += n_sent.eq(0)
                m.next = "reply end"
        with self._reply_state("reply end", 0, "sequence"):
            m.d.comb += self.requests.done.eq(1)
