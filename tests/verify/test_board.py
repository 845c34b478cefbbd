from __future__ import annotations

from pathlib import Path

import pytest

from nomul.boards.catalog import Board, find_board
from nomul.hw.folding import fold
from nomul.hw.plan import plan
from nomul.hw.program import Program
from nomul.network import UserError
from nomul.verify import board as module
from nomul.verify.board import build_into
from tests.networks import random_network

BOARD = find_board("icebreaker")
NETWORK = random_network((3, 4, 3), (4, 3))


def test_an_engine_begins_with_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def build_engine(*given: Board | Path | Program) -> None:
        built.append(given)

    monkeypatch.setattr(module, "build_engine", build_engine)  # which takes minutes
    program = fold(NETWORK, BOARD.engine_settings)
    build_into(tmp_path / "build", BOARD, program)
    assert built == [(BOARD, tmp_path / "build", program)]


@pytest.mark.parametrize("name", ["ulx3s-25f", "ulx3s-85f"])
def test_boards_of_other_families_are_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    board = find_board(name)

    def never(*_: object) -> None:
        pytest.fail("a build began")

    monkeypatch.setattr(module, "build", never)
    monkeypatch.setattr(module, "build_engine", never)
    for made in (plan(NETWORK, board.device), fold(NETWORK, board.engine_settings)):
        with pytest.raises(UserError, match=r"^This is done for boards with iCE40 alone\.$"):
            build_into(tmp_path / "build", board, made)
    assert not (tmp_path / "build").exists()


def test_a_machine_without_tools_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTPNR_ICE40", "no-such-program")
    with pytest.raises(UserError, match="NEXTPNR_ICE40"):
        build_into(tmp_path / "build", BOARD, plan(NETWORK))
    assert not (tmp_path / "build").exists()


@pytest.mark.slow
def test_a_plan_becomes_a_bitstream(tmp_path: Path) -> None:
    build_into(tmp_path / "build", BOARD, plan(NETWORK))
    names = {path.name.removeprefix("icebreaker") for path in (tmp_path / "build").iterdir()}
    assert names >= {".bin", ".pcf", ".netlist.json"}
