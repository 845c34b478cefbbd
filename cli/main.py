"""The ``nomul`` command: one sub-command for each step from data to bitstream."""

from __future__ import annotations

import argparse
import os
import signal
import sys
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
    "torch": "train",
}
"""Which of our extras installs what a step imports."""


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
        print(f"nomul: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF_PACKAGE:
            raise
        print(
            f"nomul: {package} is not installed: run "
            f'`pip install "nomul[{EXTRA_OF_PACKAGE[package]}]"`.',
            file=sys.stderr,
        )
        return UserError.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # Python flushes standard output once more on its way out: let it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        place = f"{error.filename}: " if error.filename else ""
        print(f"nomul: The system refused: {place}{error.strerror}.", file=sys.stderr)
        return UserError.exit_code
    except KeyboardInterrupt:
        print(
            "nomul: Interrupted before the end: nothing incomplete was written; run the same "
            "command again.",
            file=sys.stderr,
        )
        return 2


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
