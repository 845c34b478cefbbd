from __future__ import annotations

from pathlib import Path

import pytest

from nomul.boards.catalog import Board, find_board
from nomul.boards.engine_protocol import program_requests
from nomul.boards.protocol import FrameDecoder
from nomul.hw.folding import fold
from nomul.hw.plan import plan
from nomul.hw.program import Program
from nomul.network import UserError
from nomul.verify import board as module
from nomul.verify.board import build_into
from tests.networks import random_network

BOARD = find_board("icebreaker")
NETWORK = random_network((3, 4, 3), (4, 3))


def test_a_program_lies_beside_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_engine(board: Board, out: Path, begins_with: Program) -> None:
        assert begins_with is program
        out.mkdir()
        (out / f"{board.name}.bin").write_bytes(b"bits")

    monkeypatch.setattr(module, "build_engine", build_engine)  # which takes minutes
    program = fold(NETWORK, BOARD.engine_settings)
    build_into(tmp_path / "build", BOARD, program)
    assert {path.name for path in (tmp_path / "build").iterdir()} == {
        *("icebreaker.bin", "icebreaker.program"),
    }
    frames = FrameDecoder().feed((tmp_path / "build" / "icebreaker.program").read_bytes())
    assert frames == list(program_requests(program))


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
