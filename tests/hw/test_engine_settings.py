from __future__ import annotations

from typing import Any

import pytest

from nomul.hw.engine_settings import WORD_BITS, EngineSettings
from nomul.network import UserError


def test_lanes_are_those_of_channels_at_each_position() -> None:
    assert EngineSettings().lanes == 16 * 2
    assert EngineSettings(channel_lanes=5, position_lanes=3).lanes == 15


@pytest.mark.parametrize("magnitude_bits", [0, 1, 3, 4])
def test_a_weight_is_the_number_of_a_column_and_a_sign(magnitude_bits: int) -> None:
    settings = EngineSettings(magnitude_bits=magnitude_bits, weight_depth=64)
    assert settings.weight_bits == 1 + magnitude_bits
    assert settings.columns == len(
        {w & ~(1 << magnitude_bits) for w in range(2 * settings.columns)}
    )


@pytest.mark.parametrize(
    ("depth", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (5120, 13), (8192, 13)]
)
def test_an_address_reaches_every_level_of_a_map(depth: int, bits: int) -> None:
    assert EngineSettings(map_depth=depth).map_bits == bits


@pytest.mark.parametrize("pages", [1, 2, 3, 8, 9, 16])
@pytest.mark.parametrize("level_bits", [1, 4, 8])
def test_a_row_s_number_reaches_every_page(level_bits: int, pages: int) -> None:
    settings = EngineSettings(level_bits=level_bits, pages=pages)
    assert settings.rows == 2**level_bits
    n_rows = pages * settings.rows
    assert 2 ** (settings.row_bits - 1) < n_rows <= 2**settings.row_bits


def test_everything_is_loaded_in_words_of_16_bits() -> None:
    assert WORD_BITS == 16


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"position_lanes": 0}, "An engine's position_lanes is 0: it can be 1 to 64."),
        ({"level_bits": 9}, "An engine's level_bits is 9: it can be 1 to 8."),
        ({"magnitude_bits": -1}, "An engine's magnitude_bits is -1: it can be 0 to 7."),
        ({"sum_bits": 33}, "An engine's sum_bits is 33: it can be 1 to 32."),
        (
            {"sum_bits": 17, "bias_depth": 40_000},
            "An engine's bias_depth is 40000: it can be 1 to 32,768.",
        ),
        ({"weight_depth": 16_385}, "An engine's weight_depth is 16385: it can be 1 to 16,384."),
        (
            {"skips_zeros": True, "weight_memory": "port"},
            "An engine that skips zeros reads weights out of their order: its weight_memory can be "
            '"block" or "spram", not "port".',
        ),
        (
            {"skips_zeros": True, "weight_depth": 100},
            "An engine that skips zeros has whole groups of 4 levels and weights: its map_depth, "
            "5120, can be a multiple of 4, and its weight_depth, 100, of 8.",
        ),
        (
            # 33 weights of four bits are nine parts of a word, which 16 addresses are for.
            {"channel_lanes": 33, "weight_depth": 4_097, "weight_memory": "block"},
            "An engine's weight_depth is 4097: it can be 1 to 4,096.",
        ),
    ],
    ids=str,
)
def test_settings_that_no_engine_has_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        EngineSettings(**changes)
    assert str(caught.value) == sentence
