"""The memories of a folded engine: written through its load port, read while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, MemoryData
from amaranth.lib.wiring import In, Out

from nomul.hw.engine_settings import WORD_BITS
from nomul.hw.program_image import parts

__all__ = ["LoadedMemory", "SPRAMMemory"]

_SPRAM_DEPTH = 16384


class LoadedMemory(wiring.Component):
    """A memory that is written in parts of 16 bits, part ``address % n_parts`` of a word.

    Latency: 1 cycle. Initiation interval: 1 cycle.

    Parameters
    ----------
    n_bits, depth
        Of a word; words.
    init
        Words that are in the bitstream.
    n_readers
        Read ports; on iCE40 each takes a copy of the memory.
    has_parity
        Whether each part has a bit more, which makes the number of its ones even.

    Members
    -------
    write : In(1)
        Takes ``write_data`` into part and word ``write_address``.
    write_address, write_data : In
        See there: the part is below the word.
    read_address : In, for each reader
        Of the word that is there in the next cycle.
    read_data : Out, for each reader
        It.
    fault : Out(1)
        In the cycle before, a part of a word that was there had an odd number of ones: a bit has
        changed since it was written. 0 without parity.
    """

    def __init__(
        self,
        n_bits: int,
        depth: int,
        init: Sequence[int] = (),
        n_readers: int = 1,
        *,
        has_parity: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.depth = depth
        self.init = init
        self.n_readers = n_readers
        self.has_parity = has_parity
        self.n_parts = 1 << (parts(n_bits) - 1).bit_length()
        self._data_bits = n_bits if self.n_parts == 1 else WORD_BITS
        self.data = MemoryData(
            shape=(self._data_bits + has_parity) * self.n_parts,
            depth=depth,
            init=[self._stored(word) for word in init],
        )
        address_bits = max(1, (depth - 1).bit_length())
        super().__init__(
            {
                "write": In(1),
                "write_address": In(address_bits + (self.n_parts - 1).bit_length()),
                "write_data": In(WORD_BITS),
                "read_address": In(address_bits).array(n_readers),
                "read_data": Out(n_bits).array(n_readers),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        part_bits = (self.n_parts - 1).bit_length()
        data_bits = self._data_bits
        stored_bits = data_bits + self.has_parity
        granularity = None if self.n_parts == 1 else stored_bits
        m.submodules.memory = memory = Memory(self.data)
        write = memory.write_port(granularity=granularity)
        part = self.write_address[:part_bits]
        written = self.write_data[:data_bits]
        if self.has_parity:
            written = Cat(written, written.xor())
        m.d.comb += [
            write.addr.eq(self.write_address[part_bits:]),
            write.data.eq(written.replicate(self.n_parts)),
            write.en.eq(Mux(self.write, 1 << part if part_bits else 1, 0)),
        ]
        faults = []
        for reader in range(self.n_readers):
            read = memory.read_port()
            found = [read.data.word_select(part, stored_bits) for part in range(self.n_parts)]
            m.d.comb += [
                read.addr.eq(self.read_address[reader]),
                self.read_data[reader].eq(Cat(*(word[:data_bits] for word in found))),
            ]
            faults += [word.xor() for word in found]
        if self.has_parity:
            # Registered: nothing that counts waits for it.
            fault = Signal()
            m.d.sync += fault.eq(Cat(*faults).any())
            m.d.comb += self.fault.eq(fault)
        return m

    def _stored(self, word: int) -> int:
        """Return a word of the bitstream with the parity of each part above it."""
        if not self.has_parity:
            return word
        data_bits, found = self._data_bits, 0
        for part in range(self.n_parts):
            data = word >> part * data_bits & (1 << data_bits) - 1
            found |= (data | data.bit_count() % 2 << data_bits) << part * (data_bits + 1)
        return found


class SPRAMMemory(wiring.Component):
    """A memory in the single-ported RAMs of iCE40 UltraPlus, which no bitstream fills.

    Latency: 1 cycle. Initiation interval: 1 cycle. While a part is written nothing is read.

    Parameters
    ----------
    n_bits
        Of a word: one RAM for each 16.

    Members
    -------
    write, write_address, write_data
        As :class:`LoadedMemory` has them.
    read : In(1)
        Whether what is read moves on.
    read_address : In
        Of the word that is there in the next cycle.
    read_data : Out
        It.
    """

    def __init__(self, n_bits: int) -> None:
        self.n_bits = n_bits
        self.n_parts = 1 << (parts(n_bits) - 1).bit_length()
        address_bits = (_SPRAM_DEPTH - 1).bit_length()
        super().__init__(
            {
                "write": In(1),
                "write_address": In(address_bits + (self.n_parts - 1).bit_length()),
                "write_data": In(WORD_BITS),
                "read": In(1),
                "read_address": In(address_bits),
                "read_data": Out(n_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        part_bits = (self.n_parts - 1).bit_length()
        read_data = Signal(WORD_BITS * self.n_parts)
        address = Mux(self.write, self.write_address[part_bits:], self.read_address)
        for part in range(parts(self.n_bits)):
            chosen = Signal(name=f"chosen_{part}")
            m.d.comb += chosen.eq(self.write & (self.write_address[:part_bits] == part))
            m.submodules[f"part_{part}"] = Instance(
                "SB_SPRAM256KA",
                i_ADDRESS=address,
                i_DATAIN=self.write_data,
                i_MASKWREN=Const(0b1111, 4),
                i_WREN=chosen,
                i_CHIPSELECT=chosen | (self.read & ~self.write),
                i_CLOCK=ClockSignal(),
                i_STANDBY=Const(0),
                i_SLEEP=Const(0),
                i_POWEROFF=Const(1),
                o_DATAOUT=read_data.word_select(part, WORD_BITS),
            )
        m.d.comb += self.read_data.eq(read_data)
        return m
