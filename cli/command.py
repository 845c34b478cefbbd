"""What a sub-command is."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Command", "print_result"]


@dataclass(frozen=True)
class Command:
    """One sub-command.

    Attributes
    ----------
    summary
        One line for the help.
    example
        A command line that works.
    add_arguments
        Adds its arguments to a parser.
    run
        Takes the parsed arguments and returns the exit code.
    """

    summary: str
    example: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def print_result(result: dict[str, Any], options: Namespace) -> None:
    """Print a step's result: one JSON object, or a line for each key."""
    if options.json:
        print(json.dumps(result))
        return
    width = max(map(len, result))
    for key, value in result.items():
        print(f"{key:<{width}}  {value}")
