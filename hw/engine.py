"""The folded engine: a few lanes that serve all neurons of a network in turn."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, EnableInserter, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.engine_core import LOADED, EngineCore
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.program import Program, field_widths

__all__ = ["Engine"]


class Engine(wiring.Component):
    """An engine that runs any program that fits it: sample after sample, layer after layer.

    Levels go in one by one, in the order of ``Program.input_order``; the next sample may come as
    soon as the last pass that reads this one is over. What leaves is the class, or each sum or
    level, in the order of ``Program.output_order``.

    Initiation interval: the cycles that :func:`nomul.sim.interpreter.execute` tells of a sample,
    exactly, unless the engine waits for levels, for its answers to be taken or for weights from
    outside. They are the same for all samples where zeros are not skipped.

    Parameters
    ----------
    settings
        What it is made of.
    program
        What its block RAMs hold from the bitstream; by default nothing. Weights that lie elsewhere
        are not in the bitstream.

    Members
    -------
    run : In(1)
        There is a whole program. While it is low no level is accepted; once ``busy`` is low too,
        those of an incomplete sample are forgotten, and ``header`` is read when it rises. A sample
        that has arrived is finished.
    header : In
        Address of the program's first word, to be held while ``run`` is high.
    discard : In(1)
        Forgets the levels of an incomplete sample, in a cycle in which no answer waits.
    busy : Out(1)
        A whole sample has arrived, and its answers have not all left.
    fault : Out(1)
        A bit of what was loaded has changed: answers since ``run`` last rose may be wrong. It is
        there three cycles behind an answer at the latest. 0 without ``settings.parity``.
    i : In(stream of unsigned(level_bits))
        The levels of samples.
    o : Out(stream of signed(sum_bits))
        The answers.
    load : In(stream)
        A 16-bit word for an address of a memory, taken between samples. ``memory`` is the number
        in :data:`nomul.hw.program_image.MEMORIES`; ``step`` that of the step of the search, for
        thresholds. It is written in the next cycle.
    burst : Out(stream)
        Only where the weights lie outside: a number of words, ``length``, is wanted from
        ``address`` on. Bursts are wanted one behind the other, the next as soon as its block
        begins.
    weights : In(stream)
        Only there: the words of all bursts in their order, the first channel lane's weight in the
        lowest bits. The engine waits for them, however long it takes.
    """

    run: Signal
    header: Signal
    discard: Signal
    busy: Signal
    fault: Signal
    i: Any
    o: Any
    load: Any
    burst: Any
    weights: Any

    def __init__(self, settings: EngineSettings, program: Program | None = None) -> None:
        assert program is None or program.settings == settings, "fold the network for the engine"
        self.settings = settings
        self.program = program
        members = {
            "run": In(1),
            "header": In((settings.program_depth - 1).bit_length()),
            "discard": In(1),
            "busy": Out(1),
            "fault": Out(1),
            "i": In(stream.Signature(unsigned(settings.level_bits))),
            "o": Out(stream.Signature(signed(settings.sum_bits))),
            "load": In(stream.Signature(LOADED)),
        }
        if settings.weight_memory == "port":
            widths = field_widths(settings)
            burst = {"address": widths["weight_start"], "length": widths["taps"]}
            members["burst"] = Out(stream.Signature(data.StructLayout(burst)))
            word = unsigned(settings.channel_lanes * settings.weight_bits)
            members["weights"] = In(stream.Signature(word))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        core = EngineCore(self.settings, self.program)
        # A sum that is not taken stops everything, and so do weights that are not there.
        m.submodules.core = EnableInserter(advance)(core)
        has_weights: Value = Const(1)
        if self.settings.weight_memory == "port":
            has_weights = self._weights_port(m, core, advance)
        m.d.comb += [
            advance.eq(has_weights & (~self.o.valid | self.o.ready)),
            core.advance.eq(advance),
            core.run.eq(self.run),
            core.header.eq(self.header),
            core.discard.eq(self.discard),
            self.busy.eq(core.busy),
            self.fault.eq(core.fault),
            core.level.eq(self.i.payload),
            core.level_valid.eq(self.i.valid),
            self.i.ready.eq(core.level_ready & advance),
            self.o.payload.eq(core.answer),
            self.o.valid.eq(core.answer_valid & has_weights),
            core.load.eq(self.load.payload),
            core.load_valid.eq(self.load.valid & self.load.ready),
            self.load.ready.eq(core.load_ready & advance),
        ]
        return m

    def _weights_port(self, m: Module, core: EngineCore, advance: Value) -> Value:
        """Ask for bursts and hand words on; return whether the word is there that is needed now."""
        has_weights = ~core.weights_wanted | self.weights.valid
        m.d.comb += [
            core.weights.eq(self.weights.payload),
            self.weights.ready.eq(core.weights_wanted & advance),
        ]
        # A block begins two cycles behind the one before at the earliest, in which that one's first
        # word is there: so its burst has been taken.
        with m.If(self.burst.ready):
            m.d.sync += self.burst.valid.eq(0)
        with m.If(core.burst_begins & advance):
            m.d.sync += [
                self.burst.valid.eq(1),
                self.burst.payload.address.eq(core.burst_address),
                self.burst.payload.length.eq(core.burst_length),
            ]
        return has_weights
