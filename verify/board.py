"""A board's build, for the last steps of the ladder."""

from __future__ import annotations

from pathlib import Path

from nomul.boards.build import build, build_engine
from nomul.boards.catalog import Board
from nomul.boards.engine_protocol import program_requests
from nomul.boards.protocol import encode_frame
from nomul.hw.plan import Plan
from nomul.hw.program import Program

__all__ = ["build_into"]


def build_into(folder: Path, board: Board, made: Plan | Program) -> None:
    """Build what ``board`` runs, the network or its engine, into ``folder``.

    A program lies beside its engine, as ``nomul build --folded`` leaves it.

    Raises
    ------
    UserError
        If it does not fit, or a tool is missing or fails.
    CheckFailed
        If the netlist has a multiplier, or is slower than the board's clock.
    """
    if isinstance(made, Plan):
        build(made, board, folder)
        return
    build_engine(board, folder, made)
    frames = b"".join(map(encode_frame, program_requests(made)))
    (folder / f"{board.name}.program").write_bytes(frames)
