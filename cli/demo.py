"""The whole path in one go: what ``make demo`` shows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from nomul.boards.build import find_tools
from nomul.boards.catalog import Board, find_board
from nomul.cli.steps import build_network, say, simulate_network
from nomul.cli.training import experiment_data, say_notes, train_into
from nomul.hw.chain import unrolled_chain
from nomul.hw.plan import plan
from nomul.network import CheckFailed, Network, UserError
from nomul.network.files import staged_folder, write_complete
from nomul.sim.runner import check_simulator
from nomul.train.experiment import Experiment
from nomul.train.layer_settings import DenseSettings, DropoutSettings

__all__ = ["demo"]


def demo(experiment: Experiment, out: Path) -> tuple[str, dict[str, Any]]:
    """Train, lower, simulate and build; write all results and ``summary.json`` into ``out``.

    Returns
    -------
    tuple
        The report to print, and the summary.

    Raises
    ------
    UserError
        If the network is not of dense layers that name a class, a tool is missing, or the network
        does not fit the board.
    CheckFailed
        If PyTorch, golden model and hardware are not equal. ``out`` then stays as it was.
    """
    board = find_board(experiment.hardware.board)
    _check_that_hardware_is_generated(experiment)
    check_simulator("verilator")
    find_tools(board)
    say_notes([experiment])
    seconds: dict[str, float] = {}
    with staged_folder(out) as stage:
        say(f"1/3 Training on {experiment.data.name}, the float twin first")
        training = train_into(experiment, stage)
        seconds["train"] = training.pop("seconds")
        network = Network.load(stage / "network.safetensors")
        unrolled = plan(network, board.device, clock_mhz=board.clock_mhz)

        say("2/3 Simulating the Verilog on the whole test set, with random stalls")
        started = time.perf_counter()
        dataset = experiment_data(experiment)
        simulation, first = simulate_network(unrolled, dataset, None, "verilator")
        seconds["simulate"] = round(time.perf_counter() - started, 2)
        if first is not None:
            raise CheckFailed(f"The hardware differs from the golden model: {first}.")

        say(f"3/3 Synthesis, place and route, bitstream for {board.title}")
        hardware = build_network(unrolled, board, stage)
        seconds |= hardware.pop("seconds")
        bitstream = out / Path(hardware.pop("bitstream")).name
        summary = {
            **training,
            "mismatches_golden_rtl": simulation["mismatches"],
            "latency_cycles": simulation["latency_cycles"],
            "initiation_interval": simulation["initiation_interval"],
            **hardware,
            "bitstream": str(bitstream),
            "seconds": seconds,
        }
        write_complete(stage / "summary.json", json.dumps(summary, indent=2) + "\n")
    return _report(network, board, summary, out), summary


def _check_that_hardware_is_generated(experiment: Experiment) -> None:
    """Refuse before the training what the network file would be refused for after it."""
    network = experiment.network
    layers = (*network.layers, *filter(None, [network.output]))
    if network.task != "classify" or not all(
        isinstance(layer, DenseSettings | DropoutSettings) for layer in layers
    ):
        raise UserError(
            "The demo goes as far as hardware, which is generated for chains of dense layers so "
            "far, and shows how many classes are right: train this experiment with `nomul train`."
        )


def _report(network: Network, board: Board, summary: dict[str, Any], out: Path) -> str:
    counts = network.n_inputs, *(layer.n_outputs for layer in unrolled_chain(network))
    shape = " - ".join(map(str, counts))
    s = summary
    rows = [
        (
            "accuracy",
            f"{s['accuracy']:.2%} of {s['samples']} test samples, and "
            f"{s['accuracy_float']:.2%} for its float twin",
        ),
        ("memory", f"{s['memory_bits']:,} bits, and {s['memory_bits_float']:,} in float"),
        ("PyTorch = golden model", f"{s['mismatches_torch_golden']} of {s['samples']} differ"),
        (
            "golden model = Verilog",
            f"{s['mismatches_golden_rtl']} of {s['samples']} differ, with "
            "and without random stalls",
        ),
        (
            "",
            f"latency {s['latency_cycles']} cycles, one sample per "
            f"{_cycles(s['initiation_interval'])}",
        ),
        (
            board.device.title,
            f"{s['logic_cells']:,} of {board.device.logic_cells:,} logic cells, "
            "serial link included",
        ),
        (
            "",
            f"{s['lut4']:,} LUT4, {s['ff']:,} flip-flops, {s['bram']} block RAM, "
            f"{s['spram']} SPRAM",
        ),
        ("", f"{s['dsp']} DSP, {s['multipliers']} multipliers"),
        ("", f"{s['fmax_mhz']:.1f} MHz possible, {s['clock_mhz']:g} MHz used"),
        ("bitstream", f"{s['bitstream']}, {s['bitstream_bytes']:,} bytes"),
        ("seconds", ", ".join(f"{name} {value:.0f}" for name, value in s["seconds"].items())),
    ]
    lines = [f"{name:<24}{text}" for name, text in rows]
    title = f"A {shape} network without a multiplier, for {board.title}"
    return "\n".join([title, "", *lines, "", f"All of it lies in {out}: see summary.json."])


def _cycles(count: int) -> str:
    return "cycle" if count == 1 else f"{count} cycles"
