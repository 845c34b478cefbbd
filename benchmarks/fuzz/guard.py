"""Catches a parser that does more than read the one file that it was given."""

from __future__ import annotations

import os
import sys
import unicodedata  # noqa: F401  Python's own parser imports it when it first meets a need
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Forbidden", "watched"]

_HARMLESS = ("object.", "sys._getframe", "builtins.id")


class Forbidden(BaseException):
    """A parser did what no parser may: no ``except Exception`` of its own hides it."""


class _Watch:
    """What the hook, which stays for as long as the process lives, has to look at."""

    armed: tuple[str | None, frozenset[str]] | None = None


@contextmanager
def watched(path: Path | None, allowed: frozenset[str]) -> Iterator[None]:
    """Raise :class:`Forbidden` when the block does anything that Python audits but read ``path``.

    So nothing is executed, imported, listed, written, removed, sent or started.

    Parameters
    ----------
    allowed
        Further audit events: docs.python.org, "Audit events table".
    """
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _Watch.armed = (None if path is None else str(path), allowed)
    try:
        yield
    finally:
        _Watch.armed = None


_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _Watch.armed is None:
        return
    path, allowed = _Watch.armed
    if event in allowed or event.startswith(_HARMLESS):
        return
    if event == "open":
        opened, mode, flags = arguments
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        if str(opened) == path and mode in ("r", "rb", None) and not flags & writes:
            return
    _Watch.armed = None
    raise Forbidden(f"{event} {arguments!r:.200}")
