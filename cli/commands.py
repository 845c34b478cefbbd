"""The sub-commands: their arguments, and the one step that each runs.

Nothing heavy is imported before a step runs, so help answers at once and a machine without
PyTorch or Amaranth does what it can.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from nomul.cli.arguments import (
    data_argument,
    network_argument,
    plan_arguments,
    planned,
    samples_argument,
)
from nomul.cli.board_commands import BOARD_COMMANDS
from nomul.cli.command import Command, print_result
from nomul.cli.training_commands import DEMO, TRAINING_COMMANDS

__all__ = ["COMMANDS"]


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
    print_result(result, options)
    return 0


def _evaluate_arguments(parser: ArgumentParser) -> None:
    network_argument(parser)
    data_argument(parser)


def _evaluate(options: Namespace) -> int:
    from nomul.cli.evaluation import evaluate_network
    from nomul.network import Network
    from nomul.train.data import load_dataset

    network = Network.load(options.network)
    print_result(evaluate_network(network, load_dataset(options.data)), options)
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
    print_result(asdict(estimate(planned(options, Network.load(options.network), device))), options)
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
    print_result(write_verilog(unrolled, options.output, options.top), options)
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
    print_result(result, options)
    if first is not None:
        raise CheckFailed(f"The hardware differs from the golden model: {first}.")
    return 0


COMMANDS: dict[str, Command] = {
    **TRAINING_COMMANDS,
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
    **BOARD_COMMANDS,
    "demo": DEMO,
}
