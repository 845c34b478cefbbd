"""Which lines of the parsers a set of inputs reaches."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.fuzz.targets import Target, attempt, prepare

__all__ = ["reached_lines"]


def reached_lines(target: Target, inputs: Iterable[bytes], folder: Path) -> tuple[int, int]:
    """Return how many lines of the target's modules run, and how many they could be.

    Counted are the functions that are entered at all: a module may also write what it reads.
    """
    ran: dict[CodeType, set[int]] = defaultdict(set)
    modules = {_source(name) for name in target.modules}

    def enter(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:  # noqa: ARG001
        if frame.f_code.co_filename not in modules:
            return None
        ran[frame.f_code].add(0)
        return lines

    def lines(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:  # noqa: ARG001
        if event == "line":
            ran[frame.f_code].add(frame.f_lineno)
        return lines

    prepare(target, folder)
    before = sys.gettrace()
    for data in inputs:
        sys.settrace(enter)
        try:
            attempt(target, data, folder)
        finally:
            sys.settrace(before)
    could = {
        (code.co_filename, line)
        for code in ran
        for line in _lines(code)
        if code.co_flags & inspect.CO_NEWLOCALS
    }
    found = {(code.co_filename, line) for code, own in ran.items() for line in own}
    return len(found & could), len(could)


def _source(module: str) -> str:
    file = importlib.import_module(module).__file__
    assert file is not None
    return file


def _lines(code: CodeType) -> Iterator[int]:
    for _, _, line in code.co_lines():
        if line and line != code.co_firstlineno:
            yield line
