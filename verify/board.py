"""A board's build, for the last steps of the ladder."""

from __future__ import annotations

from pathlib import Path

from nomul.boards.build import build, build_engine
from nomul.boards.catalog import Board
from nomul.hw.plan import Plan
from nomul.hw.program import Program
from nomul.network import UserError

__all__ = ["build_into"]


def build_into(folder: Path, board: Board, made: Plan | Program) -> None:
    """Build what ``board`` runs, the network or its engine, into ``folder``.

    Raises
    ------
    UserError
        If these steps are not done for the board, or it does not fit, or a tool is missing or
        fails.
    CheckFailed
        If the netlist has a multiplier, or is slower than the board's clock.
    """
    # Before a build of minutes, for its simulator knows the cells of one family.
    if board.device.target.name != "ice40":
        raise UserError("This is done for boards with iCE40 alone.")
    if isinstance(made, Plan):
        build(made, board, folder)
    else:
        build_engine(board, folder, made)
