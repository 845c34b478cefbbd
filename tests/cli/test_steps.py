from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from nomul.cli.steps import simulate_network, write_verilog
from nomul.hw.plan import plan
from nomul.network import Network, UserError
from nomul.sim import runner
from nomul.train.dataset import Dataset
from tests.networks import random_network


def samples(n_samples: int, network: Network) -> Dataset:
    numbers = np.arange(n_samples * network.n_inputs, dtype=np.float64)
    features = (numbers % 3).reshape(n_samples, -1)
    return Dataset("own", features, None, features, None)


def test_verilog_comes_with_its_timing(tmp_path: Path) -> None:
    path = tmp_path / "core.v"
    methods = {"layers.0": "lookup", "layers.1": "shared"}
    unrolled = plan(random_network((2, 2, 2), (2, 2)), n_stages=2, methods=methods)
    result = write_verilog(unrolled, path, "core")
    assert result == {
        "verilog": str(path),
        "bytes": path.stat().st_size,
        "top": "core",
        "latency_cycles": 2,
        "initiation_interval": 1,
        "lowering": methods,
    }


@pytest.mark.parametrize(
    ("n_samples", "n_stages"), [(None, 0), pytest.param(1, 2, marks=pytest.mark.slow)]
)
def test_a_simulation_takes_the_first_samples_and_cleans_up(
    n_samples: int | None, n_stages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network((3, 4), (3,))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    unrolled = plan(network, n_stages=n_stages)
    result, first = simulate_network(unrolled, samples(9, network), n_samples, "verilator")
    assert first is None
    assert result == {
        "samples": n_samples or 9,
        "mismatches": 0,
        "latency_cycles": n_stages,
        "initiation_interval": 1,
        "simulator": "verilator",
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_samples", [-1, 0, 10])
def test_there_are_so_many_samples(n_samples: int) -> None:
    network = random_network((3, 4), (3,))
    with pytest.raises(UserError) as caught:
        simulate_network(plan(network), samples(9, network), n_samples, "verilator")
    assert str(caught.value) == f"--samples is {n_samples}: own has 1 to 9 to test."


def test_the_first_mismatch_is_passed_on_and_its_folder_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network = random_network((3, 4), (3,))
    found = runner.Simulation(9, 2, 4, 1, "verilator", 1.0, 1.0, "sample 3")
    monkeypatch.setattr(runner, "simulate", lambda *_, **__: found)
    result, first = simulate_network(plan(network), samples(9, network), None, "verilator")
    (kept,) = tmp_path.iterdir()
    assert (result["mismatches"], first) == (2, f"sample 3 ({kept} has the simulation)")
