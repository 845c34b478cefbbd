"""The programs that turn a design into a bitstream: where they are and how they run.

They come as the YoWASP wheels of the extra ``build``. The environment variables that Amaranth
reads too (``YOSYS``, ``NEXTPNR_ICE40``, ``ICEPACK``) name others in their place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nomul.network.errors import UserError

__all__ = ["ToolFailed", "find_tool", "run_tool"]


class ToolFailed(UserError):
    """A tool ended with an error.

    Attributes
    ----------
    tool
        Its name.
    reason
        Its first error line.
    log
        The file that has the rest.
    """

    def __init__(self, tool: str, reason: str, log: Path) -> None:
        self.tool = tool
        self.reason = reason
        self.log = log
        super().__init__(f"{tool} failed with {reason!r}: its log {log} has the rest.")


def find_tool(name: str) -> str:
    """Return the path of the tool called ``name``, such as ``yosys`` or ``nextpnr-ice40``.

    First counts the environment variable, then the YoWASP wheel of this Python environment, then
    the wheel's and then the tool's own name on PATH.

    Raises
    ------
    UserError
        If there is none.
    """
    variable = name.upper().replace("-", "_")
    named = os.environ.get(variable)
    if named:
        path = shutil.which(named)
        if path is None:
            raise UserError(
                f"The environment variable {variable} names {named!r}, and there is no such "
                "program: correct it, or unset it to use the installed one."
            )
        return path
    beside_python = str(Path(sys.executable).parent)
    path = (
        shutil.which(f"yowasp-{name}", path=beside_python)
        or shutil.which(f"yowasp-{name}")
        or shutil.which(name)
    )
    if path is None:
        extra = "ecp5" if name in ("nextpnr-ecp5", "ecppack") else "build"
        raise UserError(f'{name} is not installed: run `pip install "nomul[{extra}]"`.')
    return path


def run_tool(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    log: str,
    *,
    limit_s: float | None = None,
) -> float:
    """Run a tool in ``folder`` and return the seconds that it took.

    Parameters
    ----------
    name
        As for :func:`find_tool`.
    arguments
        Its arguments. Files must be named relative to ``folder``: the YoWASP tools have a /tmp
        of their own and see no absolute path below it.
    log
        Name of the log file in ``folder``: the one that ``arguments`` tell the tool to write, or
        else what the tool prints goes there. (YoWASP's yosys loses what it prints after the
        first run of ABC: give it ``-l``.)
    limit_s
        Seconds after which it is stopped.

    Raises
    ------
    UserError
        If the tool is not installed.
    ToolFailed
        If it ends with an error, or not in time.
    """
    path = find_tool(name)
    start = time.monotonic()
    try:
        result = subprocess.run(
            [path, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            errors="replace",
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired as late:
        (folder / log).touch()
        raise ToolFailed(name, f"no end after {limit_s:g} s", folder / log) from late
    seconds = time.monotonic() - start
    if not (folder / log).exists():
        (folder / log).write_text(result.stdout)
    if result.returncode:
        text = (folder / log).read_text(errors="replace") + result.stdout
        raise ToolFailed(name, _reason(text, result.returncode), folder / log)
    return seconds


def _reason(text: str, returncode: int) -> str:
    """Return the first error line of a log, or else the last line, or else the exit status."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    return (errors[:1] or lines[-1:] or [f"exit status {returncode}"])[0]
