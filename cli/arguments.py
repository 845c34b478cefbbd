"""Arguments that several commands take."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from nomul.train.data import DATASETS

__all__ = ["data_argument", "network_argument", "out_argument"]


def network_argument(parser: ArgumentParser) -> None:
    """Add the network file."""
    parser.add_argument("network", metavar="NETWORK", type=Path, help="network file")


def data_argument(parser: ArgumentParser) -> None:
    """Add the data set; the end of the help lists those that have a name."""
    parser.add_argument(
        "--data",
        metavar="NAME",
        default="digits",
        help="data set below, or path of your own data (default: digits)",
    )
    width = max(map(len, DATASETS))
    lines = [f"  {name:<{width}}  {DATASETS[name].description}" for name in sorted(DATASETS)]
    parser.epilog = "\n".join(["data sets:", *lines])


def out_argument(parser: ArgumentParser) -> None:
    """Add the folder that a command writes into."""
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for results")
