"""Errors that speak to the user.

Every message is one sentence in the user's words: what is wrong, what was expected and the way
out. The command line prints the sentence alone and ends with the class's exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["CheckFailed", "InvalidNetwork", "UserError", "unknown_name"]


class UserError(Exception):
    """The user's input, or the user's machine, does not allow what was asked for."""

    exit_code = 2


class InvalidNetwork(UserError):
    """A network, or the file that was to hold it, breaks a rule of :mod:`nomul.network.rules`."""


class CheckFailed(Exception):
    """Two things that must be equal, bit for bit, are not."""

    exit_code = 1


def unknown_name(role: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence that refuses ``name`` and suggests the nearest of ``known``.

    Parameters
    ----------
    role
        What is named, in the singular: ``"board"``, ``"device"``, ``"key"``.
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {nearest[0]!r}? The known ones are" if nearest else "choose one of"
    return f"Unknown {role} {name!r}: {hint} {', '.join(names)}."
