from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from nomul.cli.steps import simulate_network, write_verilog
from nomul.network import Network, UserError
from nomul.sim import runner
from nomul.train.dataset import Dataset
from tests.cli.helpers import picture_network
from tests.networks import random_network


def samples(n_samples: int, network: Network) -> Dataset:
    numbers = np.arange(n_samples * network.n_inputs, dtype=np.float64)
    features = (numbers % 3).reshape(n_samples, -1)
    return Dataset("own", features, None, features, None)


def test_verilog_comes_with_its_timing(tmp_path: Path) -> None:
    path = tmp_path / "core.v"
    result = write_verilog(random_network((2, 2, 2), (2, 2)), path, "core")
    assert result == {
        "verilog": str(path),
        "bytes": path.stat().st_size,
        "top": "core",
        # One tree stage, the subtraction and the comparison; then without a comparison; and one
        # round of the arg-max.
        "latency_cycles": 3 + 2 + 1,
        "initiation_interval": 1,
    }


@pytest.mark.parametrize("n_samples", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_a_simulation_takes_the_first_samples_and_cleans_up(
    n_samples: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network((3, 4), (3,))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result, first = simulate_network(network, samples(9, network), n_samples, "verilator")
    assert first is None
    assert result == {
        "samples": n_samples or 9,
        "mismatches": 0,
        "latency_cycles": 4,
        "initiation_interval": 1,
        "simulator": "verilator",
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_samples", [-1, 0, 10])
def test_there_are_so_many_samples(n_samples: int) -> None:
    network = random_network((3, 4), (3,))
    with pytest.raises(UserError) as caught:
        simulate_network(network, samples(9, network), n_samples, "verilator")
    assert str(caught.value) == f"--samples is {n_samples}: own has 1 to 9 to test."


def test_the_first_mismatch_is_passed_on_and_its_folder_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network = random_network((3, 4), (3,))
    found = runner.Simulation(9, 2, 4, 1, "verilator", 1.0, 1.0, "sample 3")
    monkeypatch.setattr(runner, "simulate", lambda *_, **__: found)
    result, first = simulate_network(network, samples(9, network), None, "verilator")
    (kept,) = tmp_path.iterdir()
    assert (result["mismatches"], first) == (2, f"sample 3 ({kept} has the simulation)")


def test_layers_without_hardware_are_refused_whatever_the_data() -> None:
    with pytest.raises(UserError) as caught:
        simulate_network(
            picture_network(), samples(9, random_network((3, 4), (3,))), 1, "verilator"
        )
    assert str(caught.value) == (
        "layers.0 is of kind conv2d: hardware is generated for chains of dense layers so far; "
        "evaluate this network with `nomul evaluate`."
    )
