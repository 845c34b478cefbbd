from __future__ import annotations

import itertools

import pytest

from nomul.hw.targets import TARGETS, find_target
from nomul.network import UserError


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_stands_under_its_name(name: str) -> None:
    assert find_target(name) is TARGETS[name]
    assert find_target(name).name == name


def test_luts_have_the_inputs_that_their_data_sheets_say() -> None:
    inputs = {name: target.table_bits for name, target in TARGETS.items() if name != "asic"}
    assert inputs == {"ice40": 4, "ecp5": 4, "xilinx": 6}


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        find_target("ice4")
    assert str(caught.value) == (
        "Unknown target 'ice4': did you mean 'ice40'? The known ones are asic, ecp5, ice40, xilinx."
    )


@pytest.mark.parametrize("name", TARGETS)
def test_a_bit_of_a_table_takes_one_lut_and_then_ever_more(name: str) -> None:
    target = TARGETS[name]
    areas = [target.table_area(n_bits) for n_bits in range(17)]
    assert areas[:2] == [0, 0], "a constant and a wire"
    assert set(areas[2 : target.table_bits + 1]) == {target.area_of_one}
    assert all(less <= more for less, more in itertools.pairwise(areas))
    # Two tables and a multiplexer are enough for a bit more.
    assert all(
        more <= 2 * less + target.area_of_one for less, more in itertools.pairwise(areas[2:])
    )
    assert areas[16] == 2 * areas[15] == 4 * areas[14]
