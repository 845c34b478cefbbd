from __future__ import annotations

import pytest

from nomul.boards.catalog import BOARDS, find_board
from nomul.boards.tool_chain import synthesis_options, tool_chain


@pytest.mark.parametrize("name", BOARDS)
def test_the_tools_of_a_board_are_those_of_its_platform(name: str) -> None:
    board = find_board(name)
    assert set(tool_chain(board.device).tools) <= set(board.platform().required_tools)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("icebreaker", "-device u"),
        ("ice40-hx8k", "-device hx"),
        ("ulx3s-25f", "-nodsp"),
        ("ulx3s-85f", "-nodsp"),
    ],
)
def test_synthesis_is_told_the_device_and_to_use_no_multiplier(name: str, options: str) -> None:
    assert synthesis_options(find_board(name).device) == options


def test_a_bitstream_has_the_suffix_that_its_programmer_expects() -> None:
    suffixes = {name: tool_chain(board.device).bitstream for name, board in BOARDS.items()}
    assert suffixes == {
        **dict.fromkeys(("icebreaker", "icesugar", "ice40-hx8k"), ".bin"),
        **dict.fromkeys(("ulx3s-25f", "ulx3s-85f"), ".bit"),
    }
