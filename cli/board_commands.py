"""The sub-commands of boards: bitstreams, and programs for folded engines."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nomul.cli.arguments import (
    board_argument,
    data_argument,
    network_argument,
    out_argument,
    plan_arguments,
    planned,
    port_argument,
    samples_argument,
)
from nomul.cli.command import Command, print_result

__all__ = ["BOARD_COMMANDS"]


def _build_arguments(parser: ArgumentParser) -> None:
    network_argument(parser)
    board_argument(parser)
    parser.add_argument(
        "--folded",
        action="store_true",
        help="the board's folded engine, and the network as a program for it",
    )
    plan_arguments(parser)
    out_argument(parser)


def _build(options: Namespace) -> int:
    from nomul.boards.catalog import find_board
    from nomul.network import Network, UserError

    board = find_board(options.board)
    if not options.folded:
        from nomul.cli.steps import build_network

        unrolled = planned(options, Network.load(options.network), board.device, board.clock_mhz)
        print_result(build_network(unrolled, board, options.out), options)
        return 0
    from nomul.cli.folded import build_folded

    if options.pipeline is not None or options.clock is not None or options.lower:
        raise UserError(
            "--pipeline, --clock and --lower say how a network is unrolled, and --folded that it "
            "is not: leave them out, or it."
        )
    print_result(build_folded(Network.load(options.network), board, options.out), options)
    return 0


def _fold_arguments(parser: ArgumentParser) -> None:
    network_argument(parser)
    board_argument(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="file for the program, as the bytes that load it over the serial port",
    )


def _fold(options: Namespace) -> int:
    from nomul.boards.catalog import find_board
    from nomul.cli.folded import fold_network
    from nomul.network import Network

    board = find_board(options.board)
    result = fold_network(Network.load(options.network), board, options.output)
    if not options.json:
        result |= {
            name: f"{entries['used']:,} of {entries['available']:,}"
            for name, entries in result.pop("memory").items()
        }
    print_result(result, options)
    return 0


def _program_arguments(parser: ArgumentParser) -> None:
    network_argument(parser)
    board_argument(parser)
    port_argument(parser)


def _program(options: Namespace) -> int:
    from nomul.boards.catalog import find_board
    from nomul.cli.folded import load_program
    from nomul.network import Network

    board = find_board(options.board)
    print_result(load_program(Network.load(options.network), board, options.port), options)
    return 0


def _run_arguments(parser: ArgumentParser) -> None:
    _program_arguments(parser)
    data_argument(parser)
    samples_argument(parser)


def _run(options: Namespace) -> int:
    from nomul.boards.catalog import find_board
    from nomul.cli.folded import run_samples
    from nomul.network import CheckFailed, Network
    from nomul.train.data import load_dataset

    board, network = find_board(options.board), Network.load(options.network)
    dataset = load_dataset(options.data)
    result, first = run_samples(network, dataset, options.samples, board, options.port)
    print_result(result, options)
    if first is not None:
        raise CheckFailed(f"The board differs from the golden model: {first}.")
    return 0


def _verify_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "network",
        metavar="NETWORK",
        type=Path,
        help="network file; or a folder that this command wrote when it found a difference, to "
        "see that again",
    )
    board_argument(parser)
    parser.add_argument(
        "--folded", action="store_true", help="on the board's folded engine, not unrolled"
    )
    data_argument(parser, None, "that of experiment.toml beside the network, or else random levels")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--fast", action="store_true", help="part of the samples at slow steps: the default"
    )
    effort.add_argument("--full", action="store_true", help="the whole test set at every step")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder for verify.json, and for all that shows a difference again (default: verify, "
        "beside the network)",
    )


def _verify(options: Namespace) -> int:
    from nomul.boards.catalog import find_board
    from nomul.cli.verify import verify, verify_again

    if options.network.is_dir():
        verify_again(options.network, as_json=options.json)
        return 0
    verify(
        options.network,
        find_board(options.board),
        folded=options.folded,
        data=options.data,
        is_full=options.full,
        out=options.out or options.network.parent / "verify",
        as_json=options.json,
    )
    return 0


BOARD_COMMANDS: dict[str, Command] = {
    "build": Command(
        "Make the bitstream that answers samples on a board's serial port.",
        "nomul build runs/digits/network.safetensors --board icebreaker --out runs/digits",
        _build_arguments,
        _build,
    ),
    "fold": Command(
        "Schedule a network on a board's folded engine: cycles, use of lanes and memories.",
        "nomul fold runs/digits/network.safetensors --board icebreaker -o digits.program",
        _fold_arguments,
        _fold,
    ),
    "program": Command(
        "Load a network into a board that runs the bitstream of `nomul build --folded`.",
        "nomul program runs/digits/network.safetensors --port /dev/ttyUSB1",
        _program_arguments,
        _program,
    ),
    "run": Command(
        "Bring test samples to a board that has the program; compare with the golden model.",
        "nomul run runs/digits/network.safetensors --port /dev/ttyUSB1 --data digits",
        _run_arguments,
        _run,
    ),
    "verify": Command(
        "Prove that PyTorch, golden model, Verilog, netlist and bitstream give the same answers.",
        "nomul verify runs/digits/network.safetensors --board icebreaker",
        _verify_arguments,
        _verify,
    ),
}
