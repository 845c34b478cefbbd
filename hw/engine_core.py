"""What a folded engine is made of: maps, memories, lanes, and the passes that keep them busy."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from nomul.hw.drain import Drain
from nomul.hw.engine_memory import LoadedMemory, SPRAMMemory
from nomul.hw.engine_settings import WORD_BITS, EngineSettings
from nomul.hw.lanes import Lanes
from nomul.hw.level_reader import ENDING, LevelReader, NonzeroReader
from nomul.hw.program import RESULTS, Program, field_widths
from nomul.hw.program_image import MEMORIES, Memory, memory_words
from nomul.hw.taps import Taps

__all__ = ["LOADED", "EngineCore"]

LOADED = data.StructLayout({"memory": 3, "step": 3, "address": WORD_BITS, "word": WORD_BITS})
"""What is loaded: a word, and the memory, the step of the search and the address it is for."""


class _Samples:
    """What is known of the sample on its way in: whether it is wanted, and whole."""

    def __init__(self, map_bits: int) -> None:
        self.n_received, self.last_input = (
            Signal(map_bits, name=name) for name in ("n_received", "last_input")
        )
        self.wanted, self.there = (Signal(name=name) for name in ("is_ready", "has_sample"))


class EngineCore(wiring.Component):
    """An engine that never waits: whoever holds it enables its clock in the cycles that count.

    Parameters
    ----------
    settings, program
        As for :class:`nomul.hw.engine.Engine`.

    Members
    -------
    advance : In(1)
        The clock is enabled in this cycle.
    run, header, discard, busy
        As those of the engine.
    level, level_valid, level_ready
        Its stream i.
    answer, answer_valid
        Its stream o, which is always taken.
    load, load_valid, load_ready
        Its stream load; ``load_valid`` comes only with ``load_ready``.
    burst_begins : Out(1)
        A block begins that needs the weights of ``burst_address`` and on, ``burst_length`` words.
    burst_address, burst_length : Out
        See there.
    weights_wanted : Out(1)
        A word of weights from outside is needed in this cycle.
    weights : In
        It.
    fault : Out(1)
        As that of the engine.

    Attributes
    ----------
    memories
        All but those in single-ported RAM and outside, once it is elaborated.
    """

    def __init__(self, settings: EngineSettings, program: Program | None) -> None:
        self.settings = settings
        self.program = program
        self.content = memory_words(program) if program else {}
        self.memories: list[LoadedMemory] = []
        # A word is written in the cycle after that in which it comes, often from far away.
        self._loaded, self._is_loaded = Signal(LOADED, reset_less=True), Signal()
        super().__init__(
            {
                "advance": In(1),
                "run": In(1),
                "header": In((settings.program_depth - 1).bit_length()),
                "discard": In(1),
                "busy": Out(1),
                "level": In(settings.level_bits),
                "level_valid": In(1),
                "level_ready": Out(1),
                "answer": Out(signed(settings.sum_bits)),
                "answer_valid": Out(1),
                "load": In(LOADED),
                "load_valid": In(1),
                "load_ready": Out(1),
                "burst_begins": Out(1),
                "burst_address": Out((settings.weight_depth - 1).bit_length()),
                "burst_length": Out(settings.map_bits),
                "weights_wanted": Out(1),
                "weights": In(settings.channel_lanes * settings.weight_bits),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        settings = self.settings
        self.memories = []
        m.d.sync += [self._loaded.eq(self.load), self._is_loaded.eq(self.load_valid)]
        fields = {
            name: Signal(width, name=name, reset_less=True)
            for name, width in field_widths(settings).items()
        }
        m.submodules.taps = taps = Taps(settings, fields)
        m.submodules.lanes = lanes = Lanes(settings)
        m.submodules.drain = drain = Drain(settings, fields)
        reader: LevelReader
        if settings.skips_zeros:
            reader = NonzeroReader(settings, fields["skips_zeros"], fields["sums"])
        else:
            reader = LevelReader(settings)
        m.submodules.reader = reader

        samples = _Samples(settings.map_bits)
        self._accept_levels(m, samples, drain, reader)
        summing = self._sum_taps(m, fields, reader, taps, lanes, drain)
        self._drain_sums(m, lanes, drain)
        self._run_passes(m, fields, samples, taps, lanes, drain, summing)
        self._note_faults(m)
        return m

    def _accept_levels(
        self, m: Module, samples: _Samples, drain: Drain, reader: LevelReader
    ) -> None:
        """Fill the map with samples, in the cycles in which the drain does not."""
        accepted = Signal()
        m.d.comb += [
            self.level_ready.eq(self.run & samples.wanted & ~samples.there & ~drain.map_write),
            accepted.eq(self.level_ready & self.level_valid),
            reader.write.eq(drain.map_write | accepted),
            reader.write_address.eq(Mux(drain.map_write, drain.map_address, samples.n_received)),
            reader.write_level.eq(Mux(drain.map_write, drain.map_level, self.level)),
        ]
        with m.If(accepted):
            m.d.sync += samples.n_received.eq(samples.n_received + 1)
            with m.If(samples.n_received == samples.last_input):
                m.d.sync += [samples.n_received.eq(0), samples.there.eq(1)]
        with m.If(self.discard):
            m.d.sync += samples.n_received.eq(0)

    def _sum_taps(
        self,
        m: Module,
        fields: Mapping[str, Signal],
        reader: LevelReader,
        taps: Taps,
        lanes: Lanes,
        drain: Drain,
    ) -> Value:
        """Bring each tap's products to the lanes; return whether any is on its way."""
        settings = self.settings
        # First a tap's level is read; then its table row and weights; then they meet in a lane as a
        # product; then that is added. A cycle later, when a block has ended, its sums move on.
        tap, read = reader.tap, reader.read
        row_ending, product_ending, sums_ending = (Signal(ENDING) for _ in range(3))
        row_there, product_there = Signal(), Signal()
        m.d.comb += [
            taps.hold.eq(reader.hold),
            reader.tap_valid.eq(taps.valid),
            tap.inside.eq(taps.inside),
            tap.weight_address.eq(taps.weight_address),
            tap.in_shortcut.eq(taps.in_shortcut),
            tap.ending.block.eq(taps.valid & taps.block_ends),
            tap.ending.positions.eq(taps.positions_end),
            tap.ending.blocks.eq(taps.blocks_end),
            tap.ending.advancing.eq(taps.advancing),
        ]
        m.d.sync += [
            *(row_there.eq(reader.valid), product_there.eq(row_there)),
            row_ending.eq(read.ending),
            product_ending.eq(row_ending),
            sums_ending.eq(product_ending),
        ]
        page: Value = fields["page"]
        if settings.shortcuts:
            page = Mux(read.in_shortcut, fields["shortcut_page"], page)
        tables = self._memory(
            m,
            "tables",
            settings.columns * settings.product_bits,
            1 << settings.row_bits,
            settings.position_lanes,
        )
        for lane in range(settings.position_lanes):
            level, nothing = Signal(settings.level_bits, name=f"level_{lane}"), ~read.inside[lane]
            row = Cat(reader.levels[lane], page) | nothing.replicate(settings.row_bits)
            m.d.comb += [
                reader.address[lane].eq(taps.address[lane]),
                tables.read_address[lane].eq(row),
                lanes.rows[lane].eq(tables.read_data[lane]),
                lanes.levels[lane].eq(level),
            ]
            m.d.sync += level.eq(reader.levels[lane] & ~nothing.replicate(settings.level_bits))
        self._weights(m, taps, lanes, fields, read.weight_address, row_there)
        m.d.comb += [
            lanes.valid.eq(row_there),
            lanes.move.eq(sums_ending.block),
            lanes.is_greatest.eq(fields["is_greatest"]),
            lanes.shift.eq(drain.shift),
            drain.block_ends.eq(sums_ending.block),
            drain.positions_end.eq(sums_ending.positions),
            drain.blocks_end.eq(sums_ending.blocks),
            drain.advancing.eq(sums_ending.advancing),
        ]
        return reader.busy | row_there | product_there | sums_ending.block

    def _drain_sums(self, m: Module, lanes: Lanes, drain: Drain) -> None:
        """Take sums out of the lanes, past biases and thresholds."""
        settings = self.settings
        for lane in range(settings.position_lanes):
            m.d.comb += drain.sums[lane].eq(lanes.sums[lane])
        biases = self._memory(m, "biases", settings.sum_bits, settings.bias_depth)
        m.d.comb += [
            biases.read_address[0].eq(drain.bias_address),
            drain.bias.eq(biases.read_data[0]),
        ]
        for step in range(settings.level_bits):
            depth = settings.threshold_depth << step
            thresholds = self._memory(m, "thresholds", settings.sum_bits, depth, step=step)
            m.d.comb += [
                thresholds.read_address[0].eq(drain.threshold_address[step]),
                drain.threshold[step].eq(thresholds.read_data[0]),
            ]

    def _run_passes(
        self,
        m: Module,
        fields: Mapping[str, Signal],
        samples: _Samples,
        taps: Taps,
        lanes: Lanes,
        drain: Drain,
        summing: Value,
    ) -> None:
        """Run the passes, one after the other, for each sample."""
        settings = self.settings
        program = self._memory(m, "program", WORD_BITS, settings.program_depth)
        word_address = Signal(range(settings.program_depth))
        n_fetched = Signal(range(len(fields) + 1))
        word = program.read_data[0]
        m.d.comb += [
            self.busy.eq(1),
            program.read_address[0].eq(word_address),
            self.answer.eq(drain.result),
            self.answer_valid.eq(drain.result_valid),
        ]
        with m.FSM():
            with m.State("stopped"):
                # What came in the cycle before is written by the time the header is read.
                m.d.comb += [self.load_ready.eq(~self.run), self.busy.eq(0)]
                m.d.sync += word_address.eq(self.header)
                with m.If(self.run):
                    m.next = "read header"
            with m.State("read header"):
                m.next = "take header"
            with m.State("take header"):
                m.d.sync += [samples.last_input.eq(word), samples.wanted.eq(1)]
                m.next = "await sample"
            with m.State("await sample"):
                m.d.comb += [self.load_ready.eq(~samples.there), self.busy.eq(samples.there)]
                m.d.sync += word_address.eq(self.header + 1)
                with m.If(samples.there):
                    m.d.sync += n_fetched.eq(0)
                    m.next = "fetch pass"
                with m.Elif(~self.run):
                    m.d.sync += [samples.wanted.eq(0), samples.n_received.eq(0)]
                    m.next = "stopped"
            with m.State("fetch pass"):
                m.d.sync += n_fetched.eq(n_fetched + 1)
                with m.If(n_fetched != len(fields)):
                    m.d.sync += word_address.eq(word_address + 1)
                with m.Else():
                    m.next = "start pass"
                with m.Switch(n_fetched):
                    for number, field in enumerate(fields.values()):
                        with m.Case(number + 1):
                            m.d.sync += field.eq(word)
            with m.State("start pass"):
                m.d.comb += [taps.start.eq(1), lanes.clear.eq(1), drain.start.eq(1)]
                m.next = "run pass"
            with m.State("run pass"), m.If(~taps.running):
                with m.If(fields["is_last_of_input"]):
                    m.d.sync += samples.there.eq(0)
                m.next = "end pass"
            with m.State("end pass"), m.If(~(drain.busy | summing)):
                m.d.sync += n_fetched.eq(0)
                m.next = "fetch pass"
                with m.If(fields["is_last"]):
                    m.next = "await sample"
                    with m.If(fields["result"] == RESULTS.index("class")):
                        m.next = "answer"
            with m.State("answer"):
                m.d.comb += [self.answer.eq(drain.best), self.answer_valid.eq(1)]
                m.next = "await sample"

    def _note_faults(self, m: Module) -> None:
        """Remember that a bit has changed."""
        if not self.settings.parity:
            return
        fault = Signal()
        with m.If(~self.run):
            m.d.sync += fault.eq(0)
        with m.Elif(Cat(*(memory.fault for memory in self.memories)).any()):
            m.d.sync += fault.eq(1)
        m.d.comb += self.fault.eq(fault)

    def _weights(
        self,
        m: Module,
        taps: Taps,
        lanes: Lanes,
        fields: Mapping[str, Signal],
        address: Value,
        wanted: Signal,
    ) -> None:
        """Read weights, from ``address`` to the next cycle, when they are ``wanted``."""
        settings = self.settings
        n_bits = settings.channel_lanes * settings.weight_bits
        if settings.weight_memory == "port":
            is_sum = ~fields["is_greatest"]
            m.d.comb += [
                self.burst_begins.eq(taps.valid & taps.block_begins & is_sum),
                self.burst_address.eq(taps.weight_address),
                self.burst_length.eq(fields["taps"]),
                self.weights_wanted.eq(wanted & is_sum),
                lanes.weights.eq(self.weights),
            ]
        elif settings.weight_memory == "spram":
            m.submodules.weights = spram = SPRAMMemory(n_bits)
            m.d.comb += [
                spram.read.eq(self.advance),
                spram.read_address.eq(address),
                lanes.weights.eq(spram.read_data),
            ]
            self._loads(m, "weights", spram)
        else:
            block = self._memory(m, "weights", n_bits, settings.weight_depth)
            m.d.comb += [
                block.read_address[0].eq(address),
                lanes.weights.eq(block.read_data[0]),
            ]

    def _memory(
        self, m: Module, name: Memory, n_bits: int, depth: int, n_readers: int = 1, step: int = 0
    ) -> LoadedMemory:
        """Add a memory that holds its part of the program, and can be loaded."""
        init = self.content[name][step] if self.content else ()
        made = LoadedMemory(n_bits, depth, init, n_readers, has_parity=self.settings.parity)
        self.memories.append(made)
        m.submodules[f"{name}_{step}"] = made
        self._loads(m, name, made, step)
        return made

    def _loads(
        self, m: Module, name: Memory, target: LoadedMemory | SPRAMMemory, step: int = 0
    ) -> None:
        word = self._loaded
        is_meant = (word.memory == MEMORIES.index(name)) & (word.step == step)
        m.d.comb += [
            target.write.eq(self._is_loaded & is_meant),
            target.write_address.eq(word.address),
            target.write_data.eq(word.word),
        ]
