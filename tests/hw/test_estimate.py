from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from nomul.boards.build import build
from nomul.boards.catalog import BOARDS
from nomul.hw import estimate as module
from nomul.hw.cost import KINDS, count_parts
from nomul.hw.devices import DEVICES
from nomul.hw.estimate import estimate
from nomul.hw.plan import plan
from nomul.network import Network
from tests.networks import random_network

FIGURES = ("lut4", "ff", "logic_cells")
NETWORK = random_network((6, 5, 3), (4, 3))


def priced(folder: Path, monkeypatch: pytest.MonkeyPatch, **prices: dict[str, float]) -> None:
    """Let the estimates use these prices, and 0 for all else."""
    nothing = {
        **{figure: dict.fromkeys(KINDS, 0.0) for figure in FIGURES},
        "period_ns": {"link": 1.0, "stage_ns": 0.0},
    }
    own = {figure: nothing[figure] | prices.get(figure, {}) for figure in nothing}
    (folder / "ice40_costs.json").write_text(json.dumps(dict.fromkeys(DEVICES, own)))
    monkeypatch.setattr(module, "files", lambda _: folder)


def test_figures_are_parts_times_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unrolled = plan(NETWORK, n_stages=3)
    parts = count_parts(unrolled)
    priced(
        tmp_path,
        monkeypatch,
        lut4={"link": 200.0, "input_bits": 0.5},
        ff={"register_bits": 1.0},
        logic_cells={"link": 10.25, "waiting_bits": 2.0},
        period_ns={"link": 20.0, "stage_ns": 0.5},
    )
    assert asdict(estimate(unrolled)) == {
        "logic_cells": round(10.25 + 2 * parts["waiting_bits"]),
        "lut4": 200 + 6,
        "ff": parts["register_bits"],
        "bram": 0,
        "spram": 0,
        "fmax_mhz": round(1000 / (20 + 0.5 * unrolled.schedule.delay_ns), 1),
        "fits": True,
    }


@pytest.mark.parametrize(("spare", "fits"), [(1, True), (0, True), (-1, False)])
@pytest.mark.parametrize("name", DEVICES)
def test_a_network_fits_up_to_the_last_logic_cell(
    name: str, spare: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = DEVICES[name]
    priced(tmp_path, monkeypatch, logic_cells={"link": float(device.logic_cells - spare)})
    assert estimate(plan(NETWORK, device)).fits is fits


def costs() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files("nomul.hw") / "ice40_costs.json").read_text())
    return content


@pytest.mark.parametrize("name", DEVICES)
def test_every_part_has_a_price_on_every_device(name: str) -> None:
    own = costs()[name]
    for figure in FIGURES:
        assert set(own[figure]) <= set(KINDS)
        assert all(price >= 0 for price in own[figure].values())
    priced_kinds = {kind for figure in FIGURES for kind in own[figure]}
    assert priced_kinds == set(KINDS)
    assert own["period_ns"]["link"] > 0
    assert set(own["period_ns"]) <= {"link", "stage_ns", *KINDS}


@pytest.mark.parametrize("figure", [*FIGURES, "period_ns"])
@pytest.mark.parametrize("name", DEVICES)
def test_the_errors_on_held_out_networks_are_below_a_sixth(name: str, figure: str) -> None:
    errors = costs()[name][f"{figure}_errors_held_out"]
    assert len(errors) >= 4
    assert all(abs(error) < 1 / 6 for error in errors)


@pytest.mark.parametrize("name", DEVICES)
def test_more_neurons_cost_more(name: str) -> None:
    figures = [
        asdict(estimate(plan(random_network((8, n_neurons, 4), (4, 3)), DEVICES[name])))
        for n_neurons in (2, 8, 32)
    ]
    for figure in FIGURES:
        values = [entry[figure] for entry in figures]
        assert values == sorted(values)
        # Without a stage between, a network has no registers but for its answer.
        assert figure == "ff" or len(set(values)) == len(values)


# A network of another kind than those that the prices were fitted to: a codebook of any integers.
@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        pytest.param(random_network((16, 8, 4), (4, 4), magnitude=3), id="two layers"),
        pytest.param(random_network((12, 10, 6, 3), (8, 2, 3), factored=True), id="three layers"),
    ],
)
@pytest.mark.parametrize("board", ["icebreaker", "ice40-hx8k"])
def test_a_build_is_near_its_estimate(board: str, network: Network, tmp_path: Path) -> None:
    unrolled = plan(network, BOARDS[board].device)
    expected = estimate(unrolled)
    found = build(unrolled, BOARDS[board], tmp_path / "out")
    for figure in FIGURES:
        assert getattr(expected, figure) == pytest.approx(getattr(found, figure), rel=0.25)
    assert expected.fmax_mhz == pytest.approx(found.fmax_mhz, rel=0.25)
    assert (expected.bram, expected.spram) == (found.bram, found.spram)
    assert expected.fits


def test_an_estimate_needs_no_amaranth() -> None:
    script = (
        "import sys\n"
        "from nomul.hw.estimate import estimate\n"
        "from nomul.hw.plan import plan\n"
        "from tests.networks import random_network\n"
        "print(estimate(plan(random_network((3, 2), (2,)))).fits)\n"
        "print(sorted(sys.modules.keys() & {'amaranth', 'torch', 'cocotb'}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert (result.stdout, result.stderr) == ("True\n[]\n", "")


def test_a_larger_device_changes_only_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced(tmp_path, monkeypatch, logic_cells={"link": 6000.0})
    small, large = (estimate(plan(NETWORK, DEVICES[name])) for name in ("up5k", "hx8k"))
    assert (small.fits, large.fits) == (False, True)
    assert small == replace(large, fits=False)
