"""The steps of the folded engine: functions from plain arguments to plain results."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from nomul.boards.catalog import Board
from nomul.boards.engine_host import EngineHost
from nomul.boards.engine_protocol import program_requests
from nomul.boards.fitting import fold_for
from nomul.boards.host import open_line
from nomul.boards.protocol import BAUD, encode_frame
from nomul.cli.steps import build_report, say, some_levels
from nomul.hw.folded_memory import MapAllocator
from nomul.hw.program import Program, field_widths
from nomul.network import Network
from nomul.network.files import write_complete
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import sample_cycles
from nomul.train.dataset import Dataset

__all__ = ["build_folded", "fold_network", "load_program", "program_frames", "run_samples"]

_BYTE_S = 10 / BAUD


def fold_network(network: Network, board: Board, path: Path | None) -> dict[str, Any]:
    """Return what ``network`` takes on the board's engine; write its program's frames to ``path``.

    Returns
    -------
    dict
        ``board``, ``lanes``, ``most_cycles_per_sample``, which levels without a zero take,
        ``least_samples_per_second`` at the board's clock, ``least_products_per_cycle``,
        ``least_lane_use``, the share of lane-cycles that sum a product then, and ``memory``: of
        each the entries used, and how many there are. If ``path`` is given, ``program`` and
        ``bytes``.

    Raises
    ------
    UserError
        If the network does not fit the engine, or ``path`` cannot be written.
    """
    settings = board.engine_settings
    program = fold_for(network, board)
    cycles = sample_cycles(program)
    products = sum(made.products(settings) for made in program.passes)
    used = {
        "levels_held": (MapAllocator(network, settings).depth, settings.map_depth),
        "weight_words": (len(program.weights), settings.weight_depth),
        # The last row of the last one is that of padded positions.
        "product_tables": (len(program.tables), settings.pages - 1),
        "threshold_sets": (len(program.thresholds), settings.threshold_depth),
        "biases": (len(program.biases), settings.bias_depth),
        "program_words": (
            1 + len(program.passes) * len(field_widths(settings)),
            settings.program_depth,
        ),
    }
    result: dict[str, Any] = {
        "board": board.name,
        "lanes": settings.lanes,
        "most_cycles_per_sample": cycles,
        "least_samples_per_second": round(board.clock_mhz * 1e6 / cycles, 1),
        "least_products_per_cycle": round(products / cycles, 2),
        "least_lane_use": round(products / (cycles * settings.lanes), 4),
        "memory": {name: {"used": n, "available": of} for name, (n, of) in used.items()},
    }
    if path is not None:
        frames = program_frames(program)
        write_complete(path, frames)
        result |= {"program": str(path), "bytes": len(frames)}
    return result


def program_frames(program: Program) -> bytes:
    """Return the frames that load a program, in the order in which a host sends them."""
    return b"".join(map(encode_frame, program_requests(program)))


def build_folded(network: Network, board: Board, out: Path) -> dict[str, Any]:
    """Build the bitstream of the board's engine, which begins with the network's program.

    Returns
    -------
    dict
        As of :func:`nomul.cli.steps.build_network`, and ``program``, the frames that load the
        program; ``flash``, the file for the board's flash, where the bitstream cannot hold it.
    """
    from nomul.boards.build import build_engine
    from nomul.boards.flash_boot import flash_image

    program = fold_for(network, board)
    built = build_engine(board, out, program)
    report = build_report(built)
    frames = program_frames(program)
    path = out / f"{board.name}.program"
    write_complete(path, frames)
    report |= {"program": str(path)}
    if program.settings.weight_memory == "spram":
        path = out / f"{board.name}.flash.bin"
        write_complete(path, flash_image(built.bitstream.read_bytes(), frames))
        report |= {"flash": str(path)}
    return report


def load_program(network: Network, board: Board, port: str) -> dict[str, Any]:
    """Load the network's program over a serial port, and return ``port``, ``bytes``, ``seconds``.

    Raises
    ------
    UserError
        If the network does not fit, the port cannot be opened, or the board does not answer or
        refuses.
    CheckFailed
        If the line changes what is sent.
    """
    program = fold_for(network, board)
    n_bytes = len(program_frames(program))
    with open_line(port) as line:
        say(f"{n_bytes:,} bytes go to {port}: about {math.ceil(n_bytes * _BYTE_S)} s.")
        start = time.monotonic()
        EngineHost(line, board.engine_settings).load(program)
    return {"port": port, "bytes": n_bytes, "seconds": round(time.monotonic() - start, 2)}


def run_samples(
    network: Network, dataset: Dataset, n_samples: int | None, board: Board, port: str
) -> tuple[dict[str, Any], str | None]:
    """Bring the first ``n_samples`` test samples to a board that has the network's program.

    Returns
    -------
    tuple
        ``port``, ``samples``, ``mismatches`` with the golden model, ``correct`` where classes are
        known, ``cycles``, from a sample to its answer on average, and ``seconds``; and the first
        mismatch in words, if there is one.

    Raises
    ------
    UserError
        As :func:`load_program`, or if there are not so many samples or the board runs another
        program.
    CheckFailed
        If the line changes what is sent, or a bit of the program has changed on the board.
    """
    program = fold_for(network, board)
    levels = some_levels(network, dataset, n_samples)
    expected = evaluate_levels(network, levels).reshape(len(levels), -1)
    if network.output.kind != "class":
        expected = expected[:, program.output_order]
    with open_line(port) as line:
        host = EngineHost(line, board.engine_settings)
        start = time.monotonic()
        replies = [host.answer(sample, program) for sample in levels.tolist()]
        seconds = time.monotonic() - start
    answers = np.array([reply.answers for reply in replies])
    wrong = np.flatnonzero((answers != expected).any(axis=1))
    result: dict[str, Any] = {"port": port, "samples": len(levels), "mismatches": len(wrong)}
    if network.output.kind == "class" and dataset.test_classes is not None:
        result["correct"] = int((answers[:, 0] == dataset.test_classes[: len(levels)]).sum())
    result["cycles"] = round(sum(reply.cycles for reply in replies) / len(levels))
    result["seconds"] = round(seconds, 2)
    if not len(wrong):
        return result, None
    place = int(np.argmax(answers[wrong[0]] != expected[wrong[0]]))
    return result, (
        f"sample {wrong[0]}, answer {place}: expected {expected[wrong[0], place]}, got "
        f"{answers[wrong[0], place]}"
    )
