"""The ``nomul`` command: one sub-command for each step from data to bitstream."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from importlib.metadata import version
from types import FrameType
from typing import Never

from nomul.cli.commands import COMMANDS
from nomul.network.errors import CheckFailed, UserError, unknown_name

__all__ = ["main"]

DESCRIPTION = """\
From a trained network to an FPGA without a multiplier, equal to the bit at every step.

  nomul train examples/digits.toml --out runs/digits
  nomul build runs/digits/network.safetensors --board icebreaker --out runs/digits
"""


EXTRA_OF_PACKAGE = {
    "amaranth": "build",
    "amaranth_boards": "build",
    "cocotb": "build",
    "cocotb_tools": "build",
    "constriction": "encode",
    "kmeans1d": "train",
    "matplotlib": "results",
    "PIL": "train",
    "pysat": "build",
    "serial": "build",
    "torch": "train",
}
"""Which of our extras installs what a step imports."""


PATIENCE = 10.0
"""Seconds for which the other processes of torchrun let the first one speak."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        raise UserError(f"{message[:1].upper()}{message[1:]}: see `{self.prog} --help`.")


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit code.

    0: done. 1: a check failed. 2: the user's input or machine does not allow it; one sentence on
    standard error says why.
    """
    if arguments is None:
        signal.signal(signal.SIGTERM, _interrupt)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        exit_code = _run(given)
        sys.stdout.flush()
        return exit_code
    except (UserError, CheckFailed) as error:
        _explain(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF_PACKAGE:
            raise
        extra = EXTRA_OF_PACKAGE[package]
        _explain(f'{package} is not installed: run `pip install "nomul[{extra}]"`.')
        return UserError.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # Python flushes standard output once more on its way out: let it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        place = f"{error.filename}: " if error.filename else ""
        _explain(f"The system refused: {place}{error.strerror}.")
        return UserError.exit_code
    except KeyboardInterrupt:
        if not _is_beside_another():
            _explain(
                "Interrupted before the end: nothing incomplete was written; run the same command "
                "again."
            )
        return 2


def _is_beside_another() -> bool:
    """Whether torchrun started this process as another than the machine's first."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("LOCAL_RANK", "0") != "0"


def _explain(sentence: str) -> None:
    """Tell the user why it went no further; of several processes the first, if it knows."""
    if _is_beside_another():
        # torchrun ends all of them when one has ended: the first has time to say the same, and if
        # it still runs after that, it is this one's trouble alone.
        try:
            time.sleep(PATIENCE)
        except KeyboardInterrupt:
            return
    print(f"nomul: {sentence}", file=sys.stderr)


def _run(given: list[str]) -> int:
    parser = _Parser(
        prog="nomul", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"nomul {version('nomul')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary}\n\nexample:\n  {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.add_argument(
            "--json", action="store_true", help="print one JSON object instead of text"
        )
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        raise UserError(unknown_name("command", given[0], COMMANDS))
    options = parser.parse_args(given)
    return COMMANDS[options.command].run(options)


def _interrupt(number: int, frame: FrameType | None) -> Never:  # noqa: ARG001
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
