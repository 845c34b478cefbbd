"""Programs for boards, and which board holds a network that another one does not."""

from __future__ import annotations

from nomul.boards.catalog import BOARDS, Board
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.folding import fold
from nomul.hw.program import Program
from nomul.network import Network, UserError

__all__ = ["fold_for"]


def fold_for(network: Network, board: Board) -> Program:
    """Return the program that computes ``network`` on the board's engine.

    Raises
    ------
    UserError
        If the engine does not hold it: the sentence is that of :func:`nomul.hw.folding.fold`, and
        goes on to name the first engine of the catalog that does, by all boards that have it, or
        says that none does.
    """
    try:
        return fold(network, board.engine_settings)
    except UserError as refusal:
        sentence = str(refusal).removesuffix(".")
        raise UserError(f"{sentence}; {_elsewhere(network)}.") from refusal


def _elsewhere(network: Network) -> str:
    """Return the words that name the boards whose engine holds ``network``, if there are any."""
    boards_of_engine: dict[EngineSettings, list[str]] = {}
    for board in BOARDS.values():
        boards_of_engine.setdefault(board.engine_settings, []).append(board.name)
    for settings, names in boards_of_engine.items():
        if _holds(settings, network):
            return f"the engine of {' and '.join(names)} holds the network as it is"
    return "no other board's engine holds the network either"


def _holds(settings: EngineSettings, network: Network) -> bool:
    # What a program takes only the scheduler knows, and it has done in a moment.
    try:
        fold(network, settings)
    except UserError:
        return False
    return True
