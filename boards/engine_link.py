"""A folded engine behind a serial line: programs and samples in, answers out."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.boards.engine_conversation import Conversation
from nomul.hw.engine import Engine
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
    busy : Out(1)
        A request is held, and what arrives is discarded.
    """

    i: stream.Interface
    o: stream.Interface
    busy: Signal

    def __init__(self, engine: Engine) -> None:
        assert engine.settings.weight_memory != "port", "a link has no memory to offer"
        self.engine = engine
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(unsigned(8))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        conversation = Conversation(m, self.engine)
        requests, replies = conversation.requests, conversation.replies
        wiring.connect(m, wiring.flipped(self.i), requests.i)
        wiring.connect(m, replies.o, wiring.flipped(self.o))
        m.d.comb += self.busy.eq(requests.valid)
        conversation.count()
        with m.FSM() as fsm:
            conversation.open()
            conversation.begin()
            conversation.words()
            conversation.commit()
            conversation.levels()
            conversation.reply()
            m.d.comb += replies.i.payload.end.eq(fsm.ongoing("reply end"))
        return m


def emit_link(link: wiring.Component, name: str = "top") -> str:
    """Return the Verilog of a link: the module ``name`` has its streams and those it is made of.

    Parameters
    ----------
    link
        An :class:`EngineLink`, or another component with its streams of bytes.

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

    def __init__(self, link: wiring.Component) -> None:
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
