"""A program as it lies in an engine's memories: 16-bit words, by memory and address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nomul.hw.engine_settings import WORD_BITS
from nomul.hw.program import Program

__all__ = ["MEMORIES", "Memory", "load_words", "memory_words", "parts"]

Memory = Literal["program", "tables", "biases", "thresholds", "weights"]
MEMORIES: tuple[Memory, ...] = ("program", "tables", "biases", "thresholds", "weights")
"""In the order of their numbers on the load port."""


def parts(n_bits: int) -> int:
    """Return of how many 16-bit words a memory word of ``n_bits`` consists."""
    return -(-n_bits // WORD_BITS)


def _packed(numbers: NDArray[np.integer], n_bits: int) -> list[int]:
    """Return each row of numbers as one memory word, the first number in the lowest bits."""
    mask = (1 << n_bits) - 1
    return [
        sum((int(number) & mask) << n_bits * place for place, number in enumerate(row))
        for row in numbers
    ]


def memory_words(program: Program) -> Mapping[Memory, list[list[int]]]:
    """Return the words of each memory, and for thresholds of each step of the search.

    The program memory begins with the number of inputs less 1; the passes follow. Step s of the
    search for a level holds, for each set of thresholds, those that it may be compared with: the
    middle one of each of the ``2 ** s`` parts that the levels are in by then.
    """
    settings = program.settings
    words = [len(program.input_order) - 1]
    for made in program.passes:
        words += made.words(settings)
    tables = program.tables.reshape(-1, settings.columns)
    searches = []
    for step in range(settings.level_bits):
        part = settings.rows >> step
        searches.append(program.thresholds[:, part // 2 - 1 :: part].reshape(-1, 1))
    return {
        "program": [words],
        "tables": [_packed(tables, settings.product_bits)],
        "biases": [_packed(program.biases[:, None], settings.sum_bits)],
        "thresholds": [_packed(search, settings.sum_bits) for search in searches],
        "weights": [_packed(program.weights, settings.weight_bits)],
    }


def load_words(program: Program) -> Iterator[tuple[int, int, int, int]]:
    """Yield what an engine's load port is to be given: memory, step, address and word.

    A wide memory word is loaded in parts of 16 bits, the lowest first; the number of parts is
    rounded up to a power of two. Weights in a memory outside are not loaded through the engine.
    """
    settings = program.settings
    n_bits = {
        "program": WORD_BITS,
        "tables": settings.columns * settings.product_bits,
        "biases": settings.sum_bits,
        "thresholds": settings.sum_bits,
        "weights": settings.channel_lanes * settings.weight_bits,
    }
    for name, steps in memory_words(program).items():
        if name == "weights" and settings.weight_memory == "port":
            continue
        n_parts = 1 << (parts(n_bits[name]) - 1).bit_length()
        for step, words in enumerate(steps):
            for address, word in enumerate(words):
                for part in range(parts(n_bits[name])):
                    portion = word >> WORD_BITS * part & (1 << WORD_BITS) - 1
                    yield MEMORIES.index(name), step, address * n_parts + part, portion
