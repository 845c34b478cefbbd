"""A program as it lies in an engine's memories: 16-bit words, by memory and address."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nomul.hw.engine_settings import WORD_BITS, EngineSettings
from nomul.hw.program import Program

__all__ = [
    "MEMORIES",
    "Half",
    "Memory",
    "fits_half",
    "half_depths",
    "load_words",
    "memory_words",
    "parts",
]

Memory = Literal["program", "tables", "biases", "thresholds", "weights"]
MEMORIES: tuple[Memory, ...] = ("program", "tables", "biases", "thresholds", "weights")
"""In the order of their numbers on the load port."""

Half = Literal[0, 1]
"""The lower or the upper one of every memory: so a program can be loaded beside one that runs."""


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


def half_depths(settings: EngineSettings) -> dict[Memory, int]:
    """Return what one of two programs has of each memory: words, but pages and sets."""
    return {
        "program": settings.program_depth // 2,
        "tables": settings.pages // 2,
        "biases": settings.bias_depth // 2,
        "thresholds": settings.threshold_depth // 2,
        "weights": settings.weight_depth // 2,
    }


def fits_half(program: Program) -> bool:
    """Return whether a program leaves half of every memory to another one."""
    depths = half_depths(program.settings)
    needed = {
        "program": len(memory_words(program)["program"][0]),
        # The last page has the row of padded positions.
        "tables": len(program.tables) + 1,
        "biases": len(program.biases),
        "thresholds": len(program.thresholds),
        "weights": len(program.weights),
    }
    return all(needed[name] <= depth for name, depth in depths.items())


def memory_words(program: Program, half: Half = 0) -> Mapping[Memory, list[list[int]]]:
    """Return the words of each memory, and for thresholds of each step of the search.

    The program memory begins with the number of inputs less 1; the passes follow. Step s of the
    search for a level holds, for each set of thresholds, those that it may be compared with: the
    middle one of each of the ``2 ** s`` parts that the levels are in by then.

    Parameters
    ----------
    half
        Of every memory, in which the words will lie.
    """
    settings = program.settings
    first = {name: half * depth for name, depth in half_depths(settings).items()}
    words = [len(program.input_order) - 1]
    for made in program.passes:
        shortcut = made.shortcut
        if shortcut:
            shortcut = dataclasses.replace(shortcut, page=shortcut.page + first["tables"])
        moved = dataclasses.replace(
            made,
            shortcut=shortcut,
            page=made.page + first["tables"],
            weight_start=made.weight_start + first["weights"],
            bias_start=made.bias_start + first["biases"],
            threshold_start=made.threshold_start + first["thresholds"],
        )
        words += moved.words(settings)
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


def load_words(program: Program, half: Half = 0) -> Iterator[tuple[int, int, int, int]]:
    """Yield what an engine's load port is to be given: memory, step, address and word.

    A wide memory word is loaded in parts of 16 bits, the lowest first; the number of parts is
    rounded up to a power of two. Weights in a memory outside are not loaded through the engine.

    Parameters
    ----------
    half
        Of every memory, for a program that leaves the other half alone: see :func:`fits_half`.
    """
    settings = program.settings
    n_bits = {
        "program": WORD_BITS,
        "tables": settings.columns * settings.product_bits,
        "biases": settings.sum_bits,
        "thresholds": settings.sum_bits,
        "weights": settings.channel_lanes * settings.weight_bits,
    }
    for name, steps in memory_words(program, half).items():
        if name == "weights" and settings.weight_memory == "port":
            continue
        n_parts = 1 << (parts(n_bits[name]) - 1).bit_length()
        first = half * half_depths(settings)[name]
        for step, words in enumerate(steps):
            # A page has a word for each level, a set one for each part of the levels.
            scale = {"tables": settings.rows, "thresholds": 1 << step}.get(name, 1)
            for address, word in enumerate(words, first * scale):
                for part in range(parts(n_bits[name])):
                    portion = word >> WORD_BITS * part & (1 << WORD_BITS) - 1
                    yield MEMORIES.index(name), step, address * n_parts + part, portion
