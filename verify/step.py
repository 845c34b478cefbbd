"""What a step of the ladder found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "Status", "Step"]

Status = Literal["equal", "different", "not proved", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What a step compared.

    Attributes
    ----------
    compared
        How many comparisons were made.
    unit
        Of what: ``"samples"``, ``"proofs"``, ...
    differences
        How many of them were not equal.
    status
        ``"equal"``: all of them were. ``"not proved"``: none differed, but some were left open in
        the time there was. ``"skipped"``: nothing was compared.
    detail
        What else is worth knowing, such as why it was skipped, in a few words.
    first_difference
        Sample, layer and neuron of the first one, with what was expected and what came.
    """

    compared: int
    unit: str
    differences: int
    status: Status
    detail: str = ""
    first_difference: str | None = None

    def __post_init__(self) -> None:
        assert self.status != "equal" or self.compared > 0, "something was compared"


@dataclass(frozen=True, kw_only=True)
class Step(Finding):
    """One row of the ladder.

    Attributes
    ----------
    name
        From what to what, such as ``"network → Verilog"``.
    seconds
        Wall time, what was made for it included.
    """

    name: str
    seconds: float

    def row(self) -> dict[str, object]:
        """Return it as data, what the table shows first: the order of its columns."""
        found = asdict(self)
        columns = ("name", "compared", "differences", "seconds", "status")
        return {column: found[column] for column in columns} | found
