from __future__ import annotations

import re

import pytest

from nomul.boards.catalog import BOARDS, find_board
from nomul.boards.uart import uart_divisor
from nomul.network import UserError


@pytest.mark.parametrize("name", BOARDS)
def test_each_row_agrees_with_its_platform(name: str) -> None:
    board = find_board(name)
    platform = board.platform()
    assert board.name == name
    assert platform.device == board.device.title
    assert platform.default_clk_frequency == board.clock_mhz * 1e6
    assert platform.toolchain == {"iCE4": "IceStorm", "LFE5": "Trellis"}[board.device.title[:4]]
    assert uart_divisor(platform.default_clk_frequency) == {12.0: 104, 25.0: 217}[board.clock_mhz]


@pytest.mark.parametrize("name", BOARDS)
def test_each_engine_has_its_weights_where_its_device_holds_most(name: str) -> None:
    board = find_board(name)
    settings = board.engine_settings
    assert (settings.weight_memory == "spram") == (board.device.sprams > 0)
    if settings.weight_memory == "spram":
        width = settings.channel_lanes * settings.weight_bits
        assert settings.weight_depth * width <= board.device.sprams * 262_144
        # The program comes from the flash.
        board.platform().lookup("spi_flash_1x", 0)


def test_an_unknown_board_is_refused() -> None:
    text = (
        "Unknown board 'icebraker': did you mean 'icebreaker'? The known ones are ice40-hx8k, "
        "icebreaker, icesugar, ulx3s-25f, ulx3s-85f."
    )
    with pytest.raises(UserError, match=f"^{re.escape(text)}$"):
        find_board("icebraker")
