"""The one contract between training and hardware: ``Network``, its file and its rules."""

from nomul.network.bounds import accumulator_bounds
from nomul.network.errors import CheckFailed, InvalidNetwork, UserError
from nomul.network.memory import MemoryAccount, memory_account
from nomul.network.model import Dense, Input, Network, Output

__all__ = [
    "CheckFailed",
    "Dense",
    "Input",
    "InvalidNetwork",
    "MemoryAccount",
    "Network",
    "Output",
    "UserError",
    "accumulator_bounds",
    "memory_account",
]
