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
    assert made.kernel_taps == len(list(itertools.product(*map(range, counts[:3]))))
    assert made.taps == made.kernel_taps + (made.shortcut.n_levels if made.shortcut else 0)
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
        is_signed = name.startswith(("address_step", "out_step", "start_", "shortcut_step"))
        assert is_signed or word == fields[name], name


@pytest.mark.parametrize("skips_zeros", [False, True])
def test_every_number_of_a_pass_is_in_a_field_of_its_own(skips_zeros: bool) -> None:
    plain = dataclasses.replace(SMALL, shortcuts=False, skips_zeros=skips_zeros)
    made = fold(NETWORKS["pictures"], plain).passes[0]
    fields = dict(made.fields(plain))
    elsewhere = {"shortcut", "skips_zeros"}
    if skips_zeros:  # what waits is not how many cycles, but until so many sums have left
        assert (fields.pop("sums"), fields.pop("skips_zeros")) == (4 * 2, 0)
        elsewhere.add("idle")
    numbers = [field for field in dataclasses.fields(Pass) if field.name not in elsewhere]
    for field in numbers:
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
        for field in numbers
    )
    assert len(fields) == n_numbers


def test_a_shortcut_is_in_fields_of_its_own() -> None:
    """They are 0 in a pass without one, and come behind all others."""
    before, made = (
        found.fields(SMALL)
        for found in fold(NETWORKS["a shortcut with strides"], SMALL).passes[-2:]
    )
    names = [name for name in made if "shortcut" in name]
    assert list(made)[-len(names) :] == names
    assert all(before[name] == 0 for name in names)
    # 3 channels at every second line, three of them, and third position of a map of 5 by 8; two
    # lanes.
    line, first = 2 * 8 * 3, 3 * 3
    assert {name: made[name] for name in names} == {
        "has_shortcut": 1,
        "shortcut_page": 2,
        "shortcut_last": 2,
        "shortcut_start": 5 * 8 * 3,
        "shortcut_lane": first,
        "shortcut_step_position": 2 * first,
        "shortcut_step_line": line - 2 * first,
        "shortcut_step_block": -2 * line - 2 * first,
    }


@pytest.mark.parametrize(
    "settings",
    [
        EngineSettings(),
        SMALL,
        EngineSettings(channel_lanes=1, position_lanes=1, map_depth=2, pages=2, weight_depth=2),
        EngineSettings(skips_zeros=True),
    ],
    ids=["default", "small", "least", "skips zeros"],
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
        "result": len(RESULTS) - 1,
        **({"sums": settings.lanes} if settings.skips_zeros else {"idle": settings.lanes - 1}),
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


def test_a_channel_that_goes_straight_on_is_one_product_an_output() -> None:
    made = fold(NETWORKS["a channel goes straight on"], SMALL).passes[-1]
    assert made.products(SMALL) == (6 * 3 * 3 + 1) * 6 * 3 * 5
