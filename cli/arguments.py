"""Arguments that several commands take."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from nomul.train.data import DATASETS

if TYPE_CHECKING:
    from nomul.hw.devices import Technology
    from nomul.hw.plan import Plan
    from nomul.network import Network

__all__ = [
    "board_argument",
    "data_argument",
    "network_argument",
    "out_argument",
    "plan_arguments",
    "planned",
    "port_argument",
    "samples_argument",
]


def network_argument(parser: ArgumentParser) -> None:
    """Add the network file."""
    parser.add_argument("network", metavar="NETWORK", type=Path, help="network file")


def data_argument(
    parser: ArgumentParser, default: str | None = "digits", if_left_out: str = "digits"
) -> None:
    """Add the data set; the end of the help lists those that have a name.

    ``if_left_out`` says what ``default`` is.
    """
    parser.add_argument(
        "--data",
        metavar="NAME",
        default=default,
        help=f"data set below, or path of your own data (default: {if_left_out})",
    )
    width = max(map(len, DATASETS))
    lines = [f"  {name:<{width}}  {DATASETS[name].description}" for name in sorted(DATASETS)]
    parser.epilog = "\n".join(["data sets:", *lines])


def out_argument(parser: ArgumentParser) -> None:
    """Add the folder that a command writes into."""
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for results")


def board_argument(parser: ArgumentParser) -> None:
    """Add the board."""
    from nomul.boards.catalog import BOARDS

    names = ", ".join(BOARDS)
    parser.add_argument("--board", default="icebreaker", help=f"{names} (default: icebreaker)")


def port_argument(parser: ArgumentParser) -> None:
    """Add the serial port that a board is at."""
    parser.add_argument(
        "--port",
        metavar="PORT",
        required=True,
        help="serial port of the board, such as /dev/ttyUSB1, or a URL such as "
        "socket://localhost:7000",
    )


def samples_argument(parser: ArgumentParser) -> None:
    """Add how many of a data set's test samples are taken."""
    parser.add_argument(
        "--samples", metavar="N", type=int, help="how many test samples (default: all)"
    )


def plan_arguments(parser: ArgumentParser) -> None:
    """Add how the network is unrolled."""
    parser.add_argument(
        "--pipeline",
        metavar="none|N|auto",
        type=_n_stages,
        help="registers from input to output: none, a number, or as few as the clock needs "
        "(default: auto)",
    )
    parser.add_argument(
        "--clock",
        metavar="MHZ",
        type=float,
        help="clock that `--pipeline auto` aims at (default: the board's, or 12)",
    )
    parser.add_argument(
        "--lower",
        metavar="LAYER=METHOD",
        type=_forced,
        action="append",
        default=[],
        help="lower a layer, such as layers.0, as plain, grouped, shared, relative or lookup, in "
        "place of the cheapest",
    )


def planned(
    options: Namespace, network: Network, device: Technology, clock_mhz: float = 12.0
) -> Plan:
    """Return the plan that the options of :func:`plan_arguments` ask for.

    Parameters
    ----------
    clock_mhz
        Where the options name none: the board's.

    Raises
    ------
    UserError
        If they contradict each other, or cannot be met.
    """
    from nomul.hw.plan import plan
    from nomul.network import UserError

    n_stages: int | None = options.pipeline
    if n_stages is not None and options.clock is not None:
        raise UserError(
            "--pipeline gives the number of stages and --clock would choose it: leave one out."
        )
    methods: dict[str, str] = {}
    for layer, method in options.lower:
        if methods.setdefault(layer, method) != method:
            raise UserError(
                f"--lower names two methods for {layer}, {methods[layer]} and {method}: keep one."
            )
    clock_mhz = clock_mhz if options.clock is None else options.clock
    return plan(network, device, n_stages=n_stages, clock_mhz=clock_mhz, methods=methods)


def _n_stages(text: str) -> int | None:
    if text in ("none", "auto"):
        return 0 if text == "none" else None
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not none, auto or a number of stages")
    return int(text)


def _forced(text: str) -> tuple[str, str]:
    layer, equals, method = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is not of the form LAYER=METHOD, as layers.0=shared")
    return layer, method
