from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program import Program, field_widths
from nomul.hw.program_image import MEMORIES, fits_half, load_words, memory_words, parts
from tests.hw.folded import NETWORKS, SMALL

SETTINGS = {
    "small": SMALL,
    "default": EngineSettings(program_depth=1024, sum_bits=20, shortcuts=True),
}
PROGRAMS = pytest.mark.parametrize(
    "program",
    [fold(network, made) for network in NETWORKS.values() for made in SETTINGS.values()],
    ids=[f"{case}-{name}" for case in NETWORKS for name in SETTINGS],
)


@pytest.mark.parametrize(
    ("n_bits", "n_parts"), [(1, 1), (16, 1), (17, 2), (32, 2), (33, 3), (64, 4), (65, 5)]
)
def test_a_word_has_a_part_for_each_16_bits(n_bits: int, n_parts: int) -> None:
    assert parts(n_bits) == n_parts


def signed(word: int, n_bits: int) -> int:
    return word - (word >> n_bits - 1 << n_bits)


@PROGRAMS
def test_words_hold_the_program(program: Program) -> None:
    settings, words = program.settings, memory_words(program)
    (weights,), (tables,), (biases,) = (words[name] for name in ("weights", "tables", "biases"))
    bits = settings.weight_bits
    assert [
        [word >> bits * lane & (1 << bits) - 1 for lane in range(settings.channel_lanes)]
        for word in weights
    ] == program.weights.tolist()
    bits = settings.product_bits
    rows = program.tables.reshape(-1, settings.columns).tolist()
    assert [
        [signed(word >> bits * c & (1 << bits) - 1, bits) for c in range(settings.columns)]
        for word in tables
    ] == rows
    assert [signed(word, settings.sum_bits) for word in biases] == program.biases.tolist()
    (code,) = words["program"]
    assert code[0] == len(program.input_order) - 1
    assert code[1:] == [word for made in program.passes for word in made.words(settings)]


@PROGRAMS
def test_halving_finds_the_level_that_counting_finds(program: Program) -> None:
    """Step s compares with what is at the set and the bits found so far, the first one highest."""
    settings = program.settings
    searches = memory_words(program)["thresholds"]
    assert len(searches) == settings.level_bits
    rng = np.random.default_rng(0)
    for number, thresholds in enumerate(program.thresholds.tolist()):
        near = [value + step for value in thresholds[:3] for step in (-1, 0, 1)]
        for total in [*near, *rng.integers(-200, 200, 20).tolist()]:
            level = 0
            for step, search in enumerate(searches):
                threshold = signed(search[(number << step) + level], settings.sum_bits)
                level = 2 * level + (total >= threshold)
            assert level == sum(threshold <= total for threshold in thresholds)


@PROGRAMS
def test_what_is_loaded_is_every_word_in_parts(program: Program) -> None:
    loaded: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for memory, step, address, word in load_words(program):
        assert 0 <= memory < 8
        assert 0 <= step < 8
        assert 0 <= address < 1 << 16
        assert 0 <= word < 1 << 16
        assert address not in loaded[memory, step], "once"
        loaded[memory, step][address] = word
    settings = program.settings
    widths = {
        "program": 16,
        "tables": settings.columns * settings.product_bits,
        "biases": settings.sum_bits,
        "thresholds": settings.sum_bits,
        "weights": settings.channel_lanes * settings.weight_bits,
    }
    for name, steps in memory_words(program).items():
        n_parts = -(-widths[name] // 16)
        places = 1 << (n_parts - 1).bit_length()
        for step, words in enumerate(steps):
            found = loaded.pop((MEMORIES.index(name), step), {})
            assert len(found) == n_parts * len(words)
            for address, word in enumerate(words):
                whole = sum(found[address * places + n] << 16 * n for n in range(n_parts))
                assert whole == word
    assert not loaded


@PROGRAMS
def test_a_program_that_fits_half_leaves_the_other_half_alone(program: Program) -> None:
    settings = program.settings
    depths = {
        "program": settings.program_depth,
        "tables": settings.pages * settings.rows,
        "biases": settings.bias_depth,
        "thresholds": settings.threshold_depth,
        "weights": settings.weight_depth,
    }
    n_bits = {
        "tables": settings.columns * settings.product_bits,
        "biases": settings.sum_bits,
        "thresholds": settings.sum_bits,
        "weights": settings.channel_lanes * settings.weight_bits,
    }
    fits = True
    for half in (0, 1):
        for memory, step, address, _ in load_words(program, half):
            name = MEMORIES[memory]
            n_parts = 1 << (parts(n_bits.get(name, 16)) - 1).bit_length()
            middle = n_parts * (depths[name] << step) // 2
            start, end = (middle, 2 * middle) if half else (0, middle)
            is_last_page = name == "tables" and address >= end - n_parts * settings.rows
            fits &= start <= address < end and not (half and is_last_page)
    assert fits_half(program) <= fits
    assert fits_half(program) or len(program.passes) > 1


@PROGRAMS
def test_a_program_in_the_upper_half_finds_what_is_its_own_there(program: Program) -> None:
    settings = program.settings
    names = list(field_widths(settings))
    offsets = {
        "page": settings.pages // 2,
        "weight_start": settings.weight_depth // 2,
        "bias_start": settings.bias_depth // 2,
        "threshold_start": settings.threshold_depth // 2,
    }
    (lower,), (upper,) = (memory_words(program, half)["program"] for half in (0, 1))
    assert lower[0] == upper[0]
    for place, (low, high) in enumerate(zip(lower[1:], upper[1:], strict=True)):
        number, field = divmod(place, len(names))
        name, shortcut = names[field], program.passes[number].shortcut
        offset = offsets.get(name, 0)
        if name == "shortcut_page" and shortcut:
            offset = offsets["page"]
        assert high == (low + offset) % (1 << field_widths(settings)[name])


def test_the_last_page_of_the_upper_half_is_for_padded_positions() -> None:
    program = fold(NETWORKS["one neuron"], SMALL)
    half = SMALL.pages // 2
    for n_tables, fits in ((half - 1, True), (half, False)):
        tables = np.zeros((n_tables, SMALL.rows, SMALL.columns), np.int16)
        assert fits_half(dataclasses.replace(program, tables=tables)) is fits
