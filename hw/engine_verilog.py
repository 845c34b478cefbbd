"""Verilog of a folded engine."""

from __future__ import annotations

from nomul.hw.engine import Engine
from nomul.hw.verilog import convert

__all__ = ["emit_engine"]


def emit_engine(engine: Engine, name: str = "top") -> str:
    """Return the Verilog of ``engine``, the module ``name`` and those that it is made of.

    Raises
    ------
    UserError
        If the name is no identifier, or yosys, which writes the Verilog, is not installed.
    CheckFailed
        If the text holds a multiplication.
    """
    return convert(engine, name)
