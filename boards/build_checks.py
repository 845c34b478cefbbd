"""What must hold of a build, and what its failure tells the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nomul.boards.catalog import BOARDS, Board
from nomul.network import CheckFailed, UserError

__all__ = ["ENGINE", "NETWORK", "Subject", "check_fit", "check_no_multiplier", "check_speed"]


@dataclass(frozen=True)
class Subject:
    """What is built, how it is routed, and what helps where it is too large or too slow.

    Attributes
    ----------
    noun
        Its name.
    if_large
        What makes it smaller.
    if_larger_than_all
        The same, where no board is large enough.
    if_slow
        What makes it faster.
    router
        nextpnr's.
    route_limit_s
        Seconds that place and route have from one seed.
    """

    noun: str
    if_large: str
    if_larger_than_all: str
    if_slow: str
    router: str
    route_limit_s: float


# nextpnr takes 10 to 40 s for a network. The engine fills its device: router1, the default, takes
# some 300 s for it, and router2 60, for a clock a fifth slower.
NETWORK = Subject(
    "network",
    "fewer or narrower levels, a smaller fan-in",
    "fewer neurons",
    "a smaller fan-in, or fewer or narrower levels",
    "router1",
    150.0,
)
ENGINE = Subject("engine", "fewer lanes", "shallower memories", "fewer lanes", "router2", 600.0)


def check_fit(logic_cells: int, block_rams: int, board: Board, subject: Subject) -> None:
    """See that so much is there on the board's device.

    Raises
    ------
    UserError
        If not.
    """
    device = board.device
    for noun, needed, available in (
        ("logic cells", logic_cells, device.logic_cells),
        ("block RAMs", block_rams, device.block_rams),
    ):
        if needed > available:
            raise UserError(
                f"The {subject.noun} needs {needed} {noun}, and the {device.title} of "
                f"{board.name} has {available}, {needed - available} too few: what helps is "
                f"{subject.if_large} or {_larger(logic_cells, block_rams, subject)}."
            )


def _larger(logic_cells: int, block_rams: int, subject: Subject) -> str:
    """Return the words that name a board whose device is large enough, if there is one."""
    # Another device's engine is another one.
    boards = [] if subject is ENGINE else BOARDS.values()
    for board in sorted(boards, key=lambda board: board.device.logic_cells):
        device = board.device
        if device.logic_cells >= logic_cells and device.block_rams >= block_rams:
            return (
                f"the board {board.name}, with {device.logic_cells} logic cells and "
                f"{device.block_rams} block RAMs"
            )
    return subject.if_larger_than_all


def check_no_multiplier(multipliers: Mapping[str, int]) -> None:
    """See that no cell multiplies.

    Raises
    ------
    CheckFailed
        If one of these, counted by type, does.
    """
    if multipliers:
        found = ", ".join(f"{count} {name}" for name, count in sorted(multipliers.items()))
        raise CheckFailed(
            f"The netlist has multipliers ({found}), and must not have any: report it, with the "
            "network file."
        )


def check_speed(fmax_mhz: float | None, board: Board, subject: Subject) -> float:
    """Return the clock that the longest path allows.

    Raises
    ------
    CheckFailed
        If the board's is faster.
    """
    assert fmax_mhz is not None, "the link alone has paths between flip-flops"
    if fmax_mhz < board.clock_mhz:
        raise CheckFailed(
            f"The longest path allows {fmax_mhz:.2f} MHz, and the clock of {board.name} runs at "
            f"{board.clock_mhz:g} MHz: what helps is {subject.if_slow}."
        )
    return fmax_mhz
