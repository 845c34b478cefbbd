"""The sub-commands: their arguments, and the one step that each runs.

Nothing heavy is imported before a step runs, so help answers at once and a machine without
PyTorch or Amaranth does what it can.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

__all__ = ["COMMANDS", "Command"]


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


def _print(result: dict[str, Any], options: Namespace) -> None:
    """Print a step's result: one JSON object, or a line for each key."""
    if options.json:
        print(json.dumps(result))
        return
    width = max(map(len, result))
    for key, value in result.items():
        print(f"{key:<{width}}  {value}")


def _train_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT.toml", type=Path, help="what to train")
    out_argument(parser)


def _train(options: Namespace) -> int:
    from nomul.boards.catalog import find_board
    from nomul.cli.training import remove_checkpoints, say_notes, train_into
    from nomul.network.files import staged_folder
    from nomul.train.experiment_file import load_experiment
    from nomul.train.parallel import process_group, rank

    experiment = load_experiment(options.experiment)
    find_board(experiment.hardware.board)
    with process_group():
        is_first = rank() == 0
        if is_first:
            say_notes([experiment])
        with staged_folder(options.out) as stage:
            result = train_into(experiment, stage, options.out)
        if is_first:
            remove_checkpoints(options.out)
            _print(result | {"network": str(options.out / "network.safetensors")}, options)
    return 0


def _results_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "experiments", metavar="EXPERIMENT.toml", type=Path, nargs="+", help="what to measure"
    )
    parser.add_argument(
        "--seeds", metavar="N", type=int, default=3, help="seeds 0..N-1 (default: 3)"
    )
    parser.add_argument(
        "--docs",
        metavar="DIR",
        type=Path,
        default=Path("docs"),
        help="folder of results.md and results.json (default: docs)",
    )


def _results(options: Namespace) -> int:
    from dataclasses import asdict

    from nomul.cli.results import add_results, results_page
    from nomul.network import UserError

    if options.docs.exists() and not options.docs.is_dir():
        raise UserError(f"{options.docs} is not a folder: give --docs the folder of results.md.")
    rows = add_results(options.experiments, options.seeds, options.docs)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    else:
        print(results_page(rows, with_curves=False), end="")
    return 0


def _explore_arguments(parser: ArgumentParser) -> None:
    from nomul.hw.devices import DEVICES

    parser.add_argument(
        "experiment", metavar="EXPERIMENT.toml", type=Path, help="what to try, with its variants"
    )
    names = ", ".join(DEVICES)
    parser.add_argument("--device", default="up5k", help=f"device: {names} (default: up5k)")
    parser.add_argument(
        "--budget",
        metavar="CELLS",
        type=int,
        help="logic cells that the chosen network may take; without it none is chosen",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("runs/explore"),
        help="folder for results, and of what need not be trained again (default: runs/explore)",
    )


def _explore(options: Namespace) -> int:
    from nomul.cli.explore import explore
    from nomul.hw.devices import find_device
    from nomul.train.experiment_file import load_variants

    variants, device = load_variants(options.experiment), find_device(options.device)
    report, result = explore(variants, device, options.budget, options.out)
    print(json.dumps(result) if options.json else report)
    return 0


def _memory(options: Namespace) -> int:
    from dataclasses import asdict

    from nomul.network import Network, memory_account

    account = memory_account(Network.load(options.network))
    totals = {"total": account.total, "ratio": account.ratio}
    print(json.dumps(asdict(account) | totals) if options.json else account.table())
    return 0


def _encode_arguments(parser: ArgumentParser) -> None:
    network_argument(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="encoded file to write"
    )


def _encode(options: Namespace) -> int:
    from nomul.network import Network
    from nomul.network.encoded import write_encoded

    network, n_bytes = Network.load(options.network), options.network.stat().st_size
    write_encoded(network.document(), options.output)
    result = {
        "encoded": str(options.output),
        "bytes": n_bytes,
        "encoded_bytes": options.output.stat().st_size,
    }
    _print(result, options)
    return 0


def _evaluate_arguments(parser: ArgumentParser) -> None:
    network_argument(parser)
    data_argument(parser)


def _evaluate(options: Namespace) -> int:
    from nomul.cli.evaluation import evaluate_network
    from nomul.network import Network
    from nomul.train.data import load_dataset

    network = Network.load(options.network)
    _print(evaluate_network(network, load_dataset(options.data)), options)
    return 0


def _estimate_arguments(parser: ArgumentParser) -> None:
    from nomul.hw.devices import TECHNOLOGIES

    network_argument(parser)
    names = ", ".join(TECHNOLOGIES)
    parser.add_argument(
        "--device", default="up5k", help=f"device or family: {names} (default: up5k)"
    )
    plan_arguments(parser)


def _estimate(options: Namespace) -> int:
    from dataclasses import asdict

    from nomul.hw.devices import find_technology
    from nomul.hw.estimate import estimate
    from nomul.network import Network

    device = find_technology(options.device)
    _print(asdict(estimate(planned(options, Network.load(options.network), device))), options)
    return 0


def _verilog_arguments(parser: ArgumentParser) -> None:
    _estimate_arguments(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="Verilog file to write"
    )
    parser.add_argument("--top", default="top", help="name of the top module (default: top)")


def _verilog(options: Namespace) -> int:
    from nomul.cli.steps import write_verilog
    from nomul.hw.devices import find_technology
    from nomul.network import Network

    device = find_technology(options.device)
    unrolled = planned(options, Network.load(options.network), device)
    _print(write_verilog(unrolled, options.output, options.top), options)
    return 0


def _simulate_arguments(parser: ArgumentParser) -> None:
    _estimate_arguments(parser)
    data_argument(parser)
    samples_argument(parser)
    parser.add_argument(
        "--simulator", default="verilator", help="verilator or icarus (default: verilator)"
    )


def _simulate(options: Namespace) -> int:
    from nomul.cli.steps import simulate_network
    from nomul.hw.devices import find_technology
    from nomul.network import CheckFailed, Network
    from nomul.train.data import load_dataset

    unrolled = planned(options, Network.load(options.network), find_technology(options.device))
    dataset = load_dataset(options.data)
    result, first = simulate_network(unrolled, dataset, options.samples, options.simulator)
    _print(result, options)
    if first is not None:
        raise CheckFailed(f"The hardware differs from the golden model: {first}.")
    return 0


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

        unrolled = planned(options, Network.load(options.network), board.device)
        _print(build_network(unrolled, board, options.out), options)
        return 0
    from nomul.cli.folded import build_folded

    if options.pipeline is not None or options.clock is not None or options.lower:
        raise UserError(
            "--pipeline, --clock and --lower say how a network is unrolled, and --folded that it "
            "is not: leave them out, or it."
        )
    _print(build_folded(Network.load(options.network), board, options.out), options)
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
    _print(result, options)
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
    _print(load_program(Network.load(options.network), board, options.port), options)
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
    _print(result, options)
    if first is not None:
        raise CheckFailed(f"The board differs from the golden model: {first}.")
    return 0


def _demo(options: Namespace) -> int:
    from nomul.cli.demo import demo
    from nomul.train.experiment_file import load_experiment

    report, summary = demo(load_experiment(options.experiment), options.out)
    print(json.dumps(summary) if options.json else report)
    return 0


COMMANDS: dict[str, Command] = {
    "train": Command(
        "Train an experiment's network and its float twin, and write the network file.",
        "nomul train examples/digits.toml --out runs/digits",
        _train_arguments,
        _train,
    ),
    "results": Command(
        "Train experiments and variants over seeds beside float twins, and write docs/results.md.",
        "nomul results examples/digits.toml --seeds 3",
        _results_arguments,
        _results,
    ),
    "explore": Command(
        "Try an experiment's variants for accuracy per logic cell; keep the best of a budget.",
        "nomul explore examples/digits-small.toml --device up5k --budget 1000 --out runs/small",
        _explore_arguments,
        _explore,
    ),
    "memory": Command(
        "Count what a network takes to store, item by item, beside the float network.",
        "nomul memory runs/digits/network.safetensors",
        network_argument,
        _memory,
    ),
    "encode": Command(
        "Write a network file in its entropy-coded form, which every command reads as well.",
        "nomul encode runs/digits/network.safetensors -o digits.encoded",
        _encode_arguments,
        _encode,
    ),
    "evaluate": Command(
        "Evaluate a network on a data set's test part with the golden model.",
        "nomul evaluate runs/digits/network.safetensors --data digits",
        _evaluate_arguments,
        _evaluate,
    ),
    "estimate": Command(
        "Estimate logic cells and clock of a board's build, without synthesis.",
        "nomul estimate runs/digits/network.safetensors --device up5k",
        _estimate_arguments,
        _estimate,
    ),
    "verilog": Command(
        "Write the unrolled network as Verilog.",
        "nomul verilog runs/digits/network.safetensors -o digits.v",
        _verilog_arguments,
        _verilog,
    ),
    "simulate": Command(
        "Simulate the Verilog on test samples and compare each answer with the golden model's.",
        "nomul simulate runs/digits/network.safetensors --data digits --samples 100",
        _simulate_arguments,
        _simulate,
    ),
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
    "demo": Command(
        "Take an experiment the whole way, from training to bitstream, with every check.",
        "nomul demo examples/digits.toml --out runs/digits",
        _train_arguments,
        _demo,
    ),
}
