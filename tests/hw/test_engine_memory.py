"""Memories that are loaded. Those of iCE40 UltraPlus are tested in Verilator: test_engine.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from nomul.hw.engine_memory import LoadedMemory, SPRAMMemory
from tests.hw.benches import elaborated


def simulate(memory: LoadedMemory, bench: Any) -> None:
    simulator = Simulator(memory)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


async def read(ctx: Any, memory: LoadedMemory, reader: int, address: int) -> int:
    ctx.set(memory.read_address[reader], address)
    await ctx.tick()
    return int(ctx.get(memory.read_data[reader]))


@pytest.mark.parametrize("n_readers", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 5, 16])
@pytest.mark.parametrize("n_bits", [1, 16, 17, 40, 64])
def test_words_are_loaded_part_by_part(n_bits: int, depth: int, n_readers: int) -> None:
    rng = np.random.default_rng([n_bits, depth, n_readers])

    def word() -> int:
        return int.from_bytes(rng.bytes(8)) >> 64 - n_bits

    n_parts = -(-n_bits // 16)
    places = {1: 1, 2: 2, 3: 4, 4: 4}[n_parts]
    content = [word() for _ in range(depth)]
    memory = LoadedMemory(n_bits, depth, content, n_readers)
    assert (memory.n_bits, memory.depth, memory.n_parts) == (n_bits, depth, places)

    async def bench(ctx: Any) -> None:
        for address in range(depth):
            for reader in range(n_readers):
                assert await read(ctx, memory, reader, address) == content[address]
        for _ in range(3 * depth * n_parts):
            address, part = int(rng.integers(depth)), int(rng.integers(n_parts))
            new = word() >> 16 * part & 0xFFFF
            ctx.set(memory.write_address, address * places + part)
            ctx.set(memory.write_data, new)
            is_written = bool(rng.integers(2))
            ctx.set(memory.write, is_written)
            await ctx.tick()
            ctx.set(memory.write, 0)
            if is_written:
                kept = content[address] & ~(0xFFFF << 16 * part)
                content[address] = kept | new << 16 * part
            for reader in range(n_readers):
                address = int(rng.integers(depth))
                assert await read(ctx, memory, reader, address) == content[address]

    simulate(memory, bench)


def test_readers_read_in_the_same_cycle() -> None:
    memory = LoadedMemory(8, 4, [5, 6, 7, 8], n_readers=2)

    async def bench(ctx: Any) -> None:
        for first in range(4):
            for second in range(4):
                ctx.set(memory.read_address[0], first)
                assert await read(ctx, memory, 1, second) == 5 + second
                assert ctx.get(memory.read_data[0]) == 5 + first

    simulate(memory, bench)


@pytest.mark.parametrize(("n_bits", "n_parts"), [(16, 1), (32, 2), (48, 4), (64, 4)])
def test_ram_of_the_chip_is_addressed_as_others_are(n_bits: int, n_parts: int) -> None:
    memory = elaborated(SPRAMMemory(n_bits))
    assert (memory.n_bits, memory.n_parts) == (n_bits, n_parts)
    assert len(memory.read_address) == 14
    assert len(memory.write_address) == 14 + {1: 0, 2: 1, 4: 2}[n_parts]
    assert len(memory.read_data) == n_bits


@pytest.mark.parametrize(("n_bits", "n_parts"), [(5, 1), (16, 1), (40, 4)])
def test_every_bit_that_changes_is_a_fault(n_bits: int, n_parts: int) -> None:
    """Of words from the bitstream, and of those that were loaded, at either reader."""
    rng = np.random.default_rng(n_bits)
    content = [int.from_bytes(rng.bytes(8)) >> 64 - n_bits for _ in range(4)]
    memory = LoadedMemory(n_bits, 4, content, 2, has_parity=True)
    n_stored = len(memory.data[0])
    assert n_stored == (n_bits + 1 if n_parts == 1 else 17 * n_parts)

    async def is_faulty(ctx: Any, reader: int, address: int) -> bool:
        ctx.set(memory.read_address[1 - reader], 0)
        assert await read(ctx, memory, reader, address) == content[address]
        await ctx.tick()
        return bool(ctx.get(memory.fault))

    async def bench(ctx: Any) -> None:
        for part in range(-(-n_bits // 16)):
            word = content[2] >> 16 * part ^ 0xFFFF
            ctx.set(memory.write_address, 2 * n_parts + part)
            ctx.set(memory.write_data, word)
            ctx.set(memory.write, 1)
            await ctx.tick()
            mask = 0xFFFF << 16 * part & (1 << n_bits) - 1
            content[2] ^= mask
        ctx.set(memory.write, 0)
        for address in range(4):
            for reader in (0, 1):
                assert not await is_faulty(ctx, reader, address)
        for bit in range(n_stored):
            address, reader = 1 + bit % 3, bit % 2
            sound = ctx.get(memory.data[address])
            ctx.set(memory.data[address], sound ^ 1 << bit)
            ctx.set(memory.read_address[reader], address)
            await ctx.tick().repeat(2)
            assert ctx.get(memory.fault)
            ctx.set(memory.data[address], sound)
            await ctx.tick()
            assert not await is_faulty(ctx, reader, address)

    simulate(memory, bench)


def test_there_is_no_fault_without_parity() -> None:
    memory = LoadedMemory(8, 2, [3, 4])

    async def bench(ctx: Any) -> None:
        ctx.set(memory.data[1], 5)
        assert await read(ctx, memory, 0, 1) == 5
        await ctx.tick()
        assert not ctx.get(memory.fault)

    simulate(memory, bench)
