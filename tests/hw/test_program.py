from __future__ import annotations

import dataclasses
import itertools

import pytest

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program import LOOPS, RESULTS, Pass, field_widths
from tests.hw.folded import NETWORKS, SMALL

PASSES = [
    pytest.param(made, id=f"{case}-{number}")
    for case, network in NETWORKS.items()
    for number, made in enumerate(fold(network, SMALL).passes)
]


@pytest.mark.parametrize("made", PASSES)
def test_taps_and_blocks_are_what_the_loops_count(made: Pass) -> None:
    """The inner three loops go through the taps of a block, the outer ones through blocks."""
    counts = [last + 1 for last in made.last]
    assert made.taps == len(list(itertools.product(*map(range, counts[:3]))))
    assert made.blocks == len(list(itertools.product(*map(range, counts[3:]))))


@pytest.mark.parametrize("made", PASSES)
def test_a_pass_is_a_word_for_each_field(made: Pass) -> None:
    fields, widths = made.fields(SMALL), field_widths(SMALL)
    assert fields.keys() == widths.keys()
    words = made.words(SMALL)
    for (name, width), word in zip(widths.items(), words, strict=True):
        assert 0 <= word < 1 << width
        # Steps go backwards too, and coordinates begin outside: in two's complement.
        assert (word - fields[name]) % (1 << width) == 0, name
        is_signed = name.startswith(("address_step", "out_step", "start_"))
        assert is_signed or word == fields[name], name


def test_every_number_of_a_pass_is_in_a_field_of_its_own() -> None:
    made = fold(NETWORKS["pictures"], SMALL).passes[0]
    fields = made.fields(SMALL)
    for field in dataclasses.fields(Pass):
        value = getattr(made, field.name)
        if field.name == "result":
            assert fields["result"] == RESULTS.index(value)
        elif isinstance(value, tuple):
            loops = LOOPS[-len(value) :]
            assert [fields[f"{field.name}_{loop}"] for loop in loops] == list(value)
        else:
            assert fields[field.name] == value
    n_numbers = sum(
        len(value) if isinstance(value := getattr(made, field.name), tuple) else 1
        for field in dataclasses.fields(Pass)
    )
    assert len(fields) == n_numbers


@pytest.mark.parametrize(
    "settings",
    [
        EngineSettings(),
        SMALL,
        EngineSettings(channel_lanes=1, position_lanes=1, map_depth=2, pages=2, weight_depth=2),
    ],
    ids=["default", "small", "least"],
)
def test_fields_hold_what_the_settings_allow(settings: EngineSettings) -> None:
    widths = field_widths(settings)
    greatest = {
        "start_address": settings.map_depth - 1,
        "out_start": settings.map_depth - 1,
        "weight_start": settings.weight_depth - 1,
        "bias_start": settings.bias_depth - 1,
        "threshold_start": settings.threshold_depth - 1,
        "n_channels": settings.channel_lanes,
        "n_channels_last": settings.channel_lanes,
        "n_positions_last": settings.position_lanes,
        "page": settings.pages - 1,
        "idle": settings.lanes - 1,
        "result": len(RESULTS) - 1,
    }
    for name, number in greatest.items():
        assert number < 1 << widths[name], name
    assert max(widths.values()) <= 16, "a field is one word"


def test_products_are_those_of_whole_kernels() -> None:
    """Three groups of two channels out, four taps of one channel in, at four places of a line."""
    program = fold(NETWORKS["a line, depthwise"], SMALL)
    assert [made.products(SMALL) for made in program.passes] == [2 * 4 * 4] * 3 + [2 * 6 * 4]
    (greatest,) = fold(NETWORKS["nothing but a maximum"], SMALL).passes
    assert greatest.products(SMALL) == 0
