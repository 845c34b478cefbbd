"""The sub-commands that train."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from nomul.cli.arguments import out_argument
from nomul.cli.command import Command, print_result

__all__ = ["DEMO", "TRAINING_COMMANDS"]


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
            print_result(result | {"network": str(options.out / "network.safetensors")}, options)
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


def _demo(options: Namespace) -> int:
    from nomul.cli.demo import demo
    from nomul.train.experiment_file import load_experiment

    report, summary = demo(load_experiment(options.experiment), options.out)
    print(json.dumps(summary) if options.json else report)
    return 0


TRAINING_COMMANDS: dict[str, Command] = {
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
}

DEMO = Command(
    "Take an experiment the whole way, from training to bitstream, with every check.",
    "nomul demo examples/digits.toml --out runs/digits",
    _train_arguments,
    _demo,
)
