"""Changes to JSON and text that keep their form, so that they reach what lies behind a parser."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

__all__ = ["EXTREMES", "Bytes", "changed_bytes", "changed_json", "changed_text"]

Bytes = Callable[[bytes], bytes]
"""Changes bytes of any meaning: the fuzzer's own mutations, or :func:`changed_bytes`."""

EXTREMES: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 33, 255, 256, 257, 65_535, 65_536),
    *(1 << 20, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, 1 << 31, -(1 << 31)),
    *(1 << 32, 1 << 62, 1 << 63, 1 << 64, 10**400),
    *(0.5, -0.0, 1e308, math.inf, -math.inf, math.nan, True, False, None),
    *("", "input", "layers.0", "layers.1", "layers.-1", "class", "levels", "\ud800", "a\nb", "x\0"),
    *([], {}, [[]], [0], [1, 1], [1 << 24, 1], {"kind": "dense"}),
)
"""Values at the ends of what a format allows, beyond them, and of the wrong kind."""


def changed_bytes(rng: Random) -> Bytes:
    """Return what changes bytes where no fuzzer does: flips, inserts, cuts, repeats."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            place = rng.randrange(len(changed) + 1)
            match rng.randrange(5):
                case 0 if changed:
                    changed[place - 1] ^= 1 << rng.randrange(8)
                case 1 if changed:
                    changed[place - 1] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    changed[place:place] = rng.randbytes(rng.randrange(1, 9))
                case 3:
                    del changed[place : place + rng.choice((1, 2, 8, 64))]
                case _:
                    length = rng.choice((1, 4, 16, 64))
                    changed[place:place] = changed[place : place + length]
        return bytes(changed)

    return change


def changed_json(value: Any, rng: Random) -> Any:
    """Return a copy of a JSON value with one of its parts changed, moved, removed or replaced."""
    holder = {"": copy.deepcopy(value)}
    places = list(_places(holder))
    container, key = rng.choice(places)
    other = rng.choice(places)
    match rng.randrange(7):
        case 0 | 1:
            container[key] = copy.deepcopy(rng.choice(EXTREMES))
        case 2:
            container[key] = copy.deepcopy(other[0][other[1]])
        case 3 if container is not holder:
            del container[key]
        case 4 if isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        case 4 if isinstance(container, dict) and container is not holder:
            container[rng.choice((f"{key}0", str(other[1]), "\udfff"))] = container.pop(key)
        case 5 if type(container[key]) in (int, float):
            container[key] = rng.choice((container[key] + 1, container[key] - 1, -container[key]))
        case 6:
            container[key] = [container[key]] * rng.choice((1, 2, 40))
        case _:
            container[key] = copy.deepcopy(rng.choice(EXTREMES))
    return holder[""]


def _places(container: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each part of a JSON value as its container and its key there."""
    keys = list(container) if isinstance(container, dict) else range(len(container))
    for key in keys:
        yield container, key
        if isinstance(container[key], (dict, list)):
            yield from _places(container[key])


def changed_text(text: str, pieces: tuple[str, ...], rng: Random) -> str:
    """Return a text with a line removed, repeated, moved, or a piece of it replaced by another."""
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, rng.choice(lines))
        case 2:
            lines.insert(rng.randrange(len(lines)), lines.pop(place))
        case 3 if "=" in lines[place]:
            key = lines[place].partition("=")[0]
            lines[place] = f"{key}= {rng.choice(pieces)}"
        case 4:
            lines[place] = lines[place] * rng.choice((2, 3, 20))
        case _:
            at = rng.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:at] + rng.choice(pieces) + lines[place][at:]
    return "\n".join(lines)
