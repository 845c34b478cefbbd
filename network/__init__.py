"""The one contract between training and hardware: ``Network``, its file and its rules."""

from nomul.network.bounds import accumulator_bounds
from nomul.network.errors import CheckFailed, InvalidNetwork, UserError
from nomul.network.layers import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Layer,
    Lookup,
    MaxPool2d,
    Weighted,
)
from nomul.network.memory import MemoryAccount, memory_account
from nomul.network.model import Input, Network, Output

__all__ = [
    "Add",
    "CheckFailed",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Input",
    "InvalidNetwork",
    "Layer",
    "Lookup",
    "MaxPool2d",
    "MemoryAccount",
    "Network",
    "Output",
    "UserError",
    "Weighted",
    "accumulator_bounds",
    "memory_account",
]
