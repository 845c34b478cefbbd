"""Lowering of a network to datapaths of adders, comparators and table look-ups.

Names are imported when first used, so an estimate (:mod:`nomul.hw.estimate`) needs no Amaranth.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nomul.hw.unrolled import Unrolled
    from nomul.hw.verilog import emit

__all__ = ["Unrolled", "emit"]

_MODULES = {
    "Unrolled": "unrolled",
    "emit": "verilog",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
