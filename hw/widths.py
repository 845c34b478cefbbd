"""Widths of what travels through the hardware, in bits."""

from __future__ import annotations

from nomul.network import Dense, accumulator_bounds

__all__ = ["accumulator_width", "class_width", "level_width"]


def level_width(n_levels: int) -> int:
    """Bits of a level among ``n_levels``."""
    return (n_levels - 1).bit_length()


def accumulator_width(layer: Dense) -> int:
    """Bits of the narrowest two's complement that holds every accumulator of ``layer``."""
    least, greatest = accumulator_bounds(layer)
    extremes = (int(least.min()), int(greatest.max()))
    return 1 + max((value if value >= 0 else ~value).bit_length() for value in extremes)


def class_width(n_classes: int) -> int:
    """Bits of a class number; one bit where there is a single class."""
    return max(1, (n_classes - 1).bit_length())
