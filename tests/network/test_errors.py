"""Errors have an exit code and suggest the nearest name."""

from __future__ import annotations

import pytest

from nomul.network.errors import CheckFailed, InvalidNetwork, UserError, unknown_name


@pytest.mark.parametrize(
    ("error", "exit_code"), [(UserError, 2), (InvalidNetwork, 2), (CheckFailed, 1)]
)
def test_an_error_has_its_exit_code(error: type[UserError | CheckFailed], exit_code: int) -> None:
    assert error.exit_code == exit_code


def test_a_failed_check_is_not_the_users_error() -> None:
    assert not issubclass(CheckFailed, UserError)


def test_a_near_miss_is_suggested() -> None:
    assert unknown_name("board", "icebraker", ["ulx3s", "icebreaker"]) == (
        "Unknown board 'icebraker': did you mean 'icebreaker'? "
        "The known ones are icebreaker, ulx3s."
    )


def test_a_name_like_no_other_gets_the_list() -> None:
    assert unknown_name("board", "qqq", ["ulx3s", "icebreaker"]) == (
        "Unknown board 'qqq': choose one of icebreaker, ulx3s."
    )


def test_half_of_the_letters_are_no_near_miss() -> None:
    assert unknown_name("data set", "nope", ["wine", "iris"]) == (
        "Unknown data set 'nope': choose one of iris, wine."
    )
