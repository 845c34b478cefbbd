"""Where the loops of a pass lead, by enumeration; whole networks: test_folding.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folded_geometry import Axis
from nomul.hw.folded_pass import Group, Map, bare_pass
from nomul.hw.program import Pass
from nomul.network import UserError

SETTINGS = EngineSettings(channel_lanes=4, position_lanes=2)
SOURCE, TARGET = Map((8, 5, 6), 100), Map((12, 3, 4), 500)
# Windows of 3 x 2, two lines and one position apart, from one line above the map.
LINES, POSITIONS = Axis(3, -1, 2, (0, 1, 2)), Axis(4, 0, 1, (0, 1))
GROUPS = {"all channels": Group(0, 8, 0, 12), "the second half": Group(4, 4, 6, 6)}


def made(group: Group, *, skips_zeros: bool = False) -> Pass:
    return bare_pass(
        "layers.0",
        SETTINGS,
        SOURCE,
        TARGET,
        LINES,
        POSITIONS,
        group,
        "map",
        is_greatest=False,
        skips_zeros=skips_zeros,
    )


def walk(found: Pass) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Yield the loops' counts, the outermost first, with the address of the tap and of the block's
    first output."""
    address, out = found.start_address, found.out_start
    for counts in itertools.product(*(range(last + 1) for last in reversed(found.last))):
        yield counts, address, out
        inner = counts[::-1]
        advancing = next((k for k in range(6) if inner[k] < found.last[k]), None)
        if advancing is not None:
            address += found.address_step[advancing]
            out += found.out_step[advancing - 3] if advancing > 2 else 0


@pytest.mark.parametrize("skips_zeros", [False, True])
@pytest.mark.parametrize("case", GROUPS)
def test_loops_lead_to_every_tap_and_output(case: str, skips_zeros: bool) -> None:
    group = GROUPS[case]
    found = made(group, skips_zeros=skips_zeros)
    step = 4 if skips_zeros else 1
    visits = list(walk(found))
    assert len(visits) == -(-group.n_out // 4) * 3 * 2 * 3 * 2 * (group.n_in // step)
    for (block, line, position, row, column, channel), address, out in visits:
        y, x = 2 * line - 1 + row, 2 * position + column
        assert address == 100 + (y * 6 + x) * 8 + group.first_in + step * channel
        first = group.first_out + 4 * block
        assert out == 500 + (line * 4 + 2 * position) * 12 + first
    assert (found.lane_address, found.lane_x, found.out_lane) == (8, 1, 12)
    assert (found.start_x, found.start_y, found.x_stride, found.y_stride) == (0, -1, 2, 2)


@pytest.mark.parametrize("case", GROUPS)
def test_the_last_block_has_the_channels_that_are_left(case: str) -> None:
    group = GROUPS[case]
    found = made(group)
    assert (found.n_channels, found.n_channels_last) == (4, (group.n_out - 1) % 4 + 1)
    assert found.n_positions_last == 2


def test_outputs_without_a_tap_have_one_that_is_outside() -> None:
    found = bare_pass(
        "layers.0",
        SETTINGS,
        SOURCE,
        TARGET,
        Axis(1, 0, 1, ()),
        POSITIONS,
        GROUPS["all channels"],
        "sums",
        is_greatest=False,
        skips_zeros=True,
    )
    assert (found.kernel_taps, found.width, found.skips_zeros) == (1, 0, False)


def test_positions_that_cannot_be_counted_are_refused() -> None:
    with pytest.raises(UserError, match=r"^layers\.3 sees positions up to 301"):
        bare_pass(
            "layers.3",
            SETTINGS,
            Map((1, 1, 300), 0),
            Map((1, 1, 301), 300),
            Axis(1, 0, 1, (0,)),
            Axis(301, 0, 1, (0, 1)),
            Group(0, 1, 0, 1),
            "map",
            is_greatest=False,
            skips_zeros=False,
        )
