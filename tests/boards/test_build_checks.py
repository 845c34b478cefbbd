"""What the sentences say; tests/boards/test_build.py has them from real builds."""

from __future__ import annotations

import pytest

from nomul.boards.build_checks import (
    ENGINE,
    NETWORK,
    check_fit,
    check_no_multiplier,
    check_speed,
)
from nomul.boards.catalog import find_board
from nomul.network import CheckFailed, UserError

ICEBREAKER, HX8K = find_board("icebreaker"), find_board("ice40-hx8k")
ULX3S = find_board("ulx3s-85f")


def test_what_fits_is_not_refused() -> None:
    check_fit(5280, 30, ICEBREAKER, NETWORK)
    check_no_multiplier({})
    assert check_speed(12.0, ICEBREAKER, ENGINE) == 12.0


@pytest.mark.parametrize(
    ("logic_cells", "block_rams", "words"),
    [
        (7681, 32, "ulx3s-25f, with 24288 logic cells and 56 block RAMs"),
        (100, 57, "ulx3s-85f, with 83640 logic cells and 208 block RAMs"),
    ],
)
def test_the_smallest_board_that_is_large_enough_is_named(
    logic_cells: int, block_rams: int, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_fit(logic_cells, block_rams, HX8K, NETWORK)
    assert str(caught.value).endswith(
        f"what helps is fewer or narrower levels, a smaller fan-in or the board {words}."
    )


def test_a_network_too_large_for_every_board_needs_fewer_neurons() -> None:
    with pytest.raises(UserError) as caught:
        check_fit(90000, 0, ULX3S, NETWORK)
    assert str(caught.value) == (
        "The network needs 90000 logic cells, and the LFE5U-85F of ulx3s-85f has 83640, 6360 too "
        "few: what helps is fewer or narrower levels, a smaller fan-in or fewer neurons."
    )


def test_an_engine_too_large_needs_fewer_lanes() -> None:
    with pytest.raises(UserError) as caught:
        check_fit(100, 33, HX8K, ENGINE)
    assert str(caught.value) == (
        "The engine needs 33 block RAMs, and the iCE40HX8K of ice40-hx8k has 32, 1 too few: what "
        "helps is fewer lanes or shallower memories."
    )


def test_an_engine_too_slow_needs_fewer_lanes() -> None:
    with pytest.raises(CheckFailed) as caught:
        check_speed(11.994, ICEBREAKER, ENGINE)
    assert str(caught.value) == (
        "The longest path allows 11.99 MHz, and the clock of icebreaker runs at 12 MHz: what helps "
        "is fewer lanes."
    )


def test_multipliers_are_counted() -> None:
    with pytest.raises(CheckFailed, match=r"\(2 \$mul, 1 SB_MAC16\)"):
        check_no_multiplier({"SB_MAC16": 1, "$mul": 2})
