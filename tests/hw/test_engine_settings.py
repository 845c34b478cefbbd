from __future__ import annotations

import pytest

from nomul.hw.engine_settings import WORD_BITS, EngineSettings


def test_lanes_are_those_of_channels_at_each_position() -> None:
    assert EngineSettings().lanes == 16 * 2
    assert EngineSettings(channel_lanes=5, position_lanes=3).lanes == 15


@pytest.mark.parametrize("magnitude_bits", [0, 1, 3, 4])
def test_a_weight_is_the_number_of_a_column_and_a_sign(magnitude_bits: int) -> None:
    settings = EngineSettings(magnitude_bits=magnitude_bits)
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
def test_the_row_of_nothing_is_beyond_the_pages_but_the_last(level_bits: int, pages: int) -> None:
    settings = EngineSettings(level_bits=level_bits, pages=pages)
    assert settings.rows == 2**level_bits
    n_rows = pages * settings.rows
    assert 2 ** (settings.row_bits - 1) < n_rows <= 2**settings.row_bits
    assert settings.nothing_row == 2**settings.row_bits - 1
    assert settings.nothing_row >= n_rows - 1


def test_everything_is_loaded_in_words_of_16_bits() -> None:
    assert WORD_BITS == 16
