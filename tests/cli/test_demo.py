from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nomul.cli import demo as module
from nomul.hw.plan import Plan
from nomul.network import Network
from nomul.sim.golden import evaluate
from nomul.train.data import load_dataset
from tests.cli.helpers import TINY, run, write_experiment

Capsys = pytest.CaptureFixture[str]

HARDWARE: dict[str, Any] = {
    "board": "icebreaker",
    "device": "up5k",
    **{"logic_cells": 700, "lut4": 600, "carry": 50, "ff": 400, "bram": 0, "spram": 0, "dsp": 0},
    **{"multipliers": 0, "fmax_mhz": 30.5, "clock_mhz": 12.0, "bitstream_bytes": 104090},
}
SIMULATION = {
    **{"samples": 360, "mismatches": 0, "latency_cycles": 9, "initiation_interval": 1},
    "simulator": "verilator",
}


@pytest.fixture
def _no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be simulated or built."""

    def build(unrolled: Plan, board: Any, out: Path) -> dict[str, Any]:
        assert unrolled.network.n_outputs == 10
        assert unrolled.device is board.device
        path = out / f"{board.name}.bin"
        path.write_bytes(b"bitstream")
        seconds = {"synthesis": 1.0, "place_and_route": 2.0, "bitstream": 0.5}
        return HARDWARE | {"bitstream": str(path), "seconds": seconds}

    monkeypatch.setattr(module, "find_tools", lambda _: None)
    monkeypatch.setattr(module, "check_simulator", lambda name: name)
    monkeypatch.setattr(module, "build_network", build)
    monkeypatch.setattr(module, "simulate_network", lambda *_: (SIMULATION, None))


KEYS = {
    *("accuracy_float", "accuracy", "memory_bits_float", "memory_bits", "encoded_bits"),
    *("mismatches_torch_golden", "mismatches_golden_rtl", "samples"),
    *("latency_cycles", "initiation_interval", "logic_cells", "lut4", "ff", "bram", "spram"),
    *("dsp", "multipliers", "fmax_mhz", "device", "bitstream", "seconds"),
}


@pytest.mark.usefixtures("_no_tools")
def test_the_summary_joins_all_steps(tmp_path: Path, capsys: Capsys) -> None:
    out = tmp_path / "out"
    answer = run(capsys, "demo", write_experiment(tmp_path), "--out", out, "--json")
    assert answer.exit_code == 0
    summary = answer.result
    assert json.loads((out / "summary.json").read_text()) == summary
    assert summary.keys() >= KEYS
    assert {name: summary[name] for name in HARDWARE} == HARDWARE
    assert (summary["mismatches_torch_golden"], summary["mismatches_golden_rtl"]) == (0, 0)
    assert (summary["latency_cycles"], summary["initiation_interval"]) == (9, 1)
    assert summary["bitstream"] == str(out / "icebreaker.bin")
    assert Path(summary["bitstream"]).is_file()
    assert list(summary["seconds"]) == [
        *("train", "simulate", "synthesis", "place_and_route", "bitstream"),
    ]
    assert {path.name for path in out.iterdir()} == {
        *("network.safetensors", "module.safetensors", "experiment.toml", "training.json"),
        *("icebreaker.bin", "summary.json"),
    }
    assert {path.name for path in tmp_path.iterdir()} == {"out", "experiment.toml"}


@pytest.mark.usefixtures("_no_tools")
def test_the_report_goes_to_standard_output_and_progress_to_standard_error(
    tmp_path: Path, capsys: Capsys
) -> None:
    out = tmp_path / "out"
    answer = run(capsys, "demo", write_experiment(tmp_path), "--out", out)
    lines = answer.output.splitlines()
    assert lines[0] == "A 64 - 4 - 10 network without a multiplier, for 1BitSquared iCEBreaker"
    assert lines[-1] == f"All of it lies in {out}: see summary.json."
    for line in (
        "PyTorch = golden model  0 of 360 differ",
        "golden model = Verilog  0 of 360 differ, with and without random stalls",
        "                        latency 9 cycles, one sample per cycle",
        "iCE40UP5K               700 of 5,280 logic cells, serial link included",
        "                        600 LUT4, 400 flip-flops, 0 block RAM, 0 SPRAM",
        "                        0 DSP, 0 multipliers",
        "                        30.5 MHz possible, 12 MHz used",
        f"bitstream               {out / 'icebreaker.bin'}, 104,090 bytes",
    ):
        assert line in lines
    assert [line for line in answer.errors.splitlines() if line[0] != " "] == [
        "1/3 Training on digits, the float twin first",
        "2/3 Simulating the Verilog on the whole test set, with random stalls",
        "3/3 Synthesis, place and route, bitstream for 1BitSquared iCEBreaker",
    ]


@pytest.mark.usefixtures("_no_tools")
def test_a_mismatch_of_the_verilog_fails_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    found = (SIMULATION | {"mismatches": 1}, "sample 7: expected 1, got 2")
    monkeypatch.setattr(module, "simulate_network", lambda *_: found)
    path = write_experiment(tmp_path)
    answer = run(capsys, "demo", path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (1, "")
    assert answer.errors.splitlines()[-1] == (
        "nomul: The hardware differs from the golden model: sample 7: expected 1, got 2."
    )
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_board_is_refused_before_training(tmp_path: Path, capsys: Capsys) -> None:
    path = write_experiment(tmp_path, f'{TINY}\n[hardware]\nboard = "icesuger"\n')
    answer = run(capsys, "demo", path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "Unknown board 'icesuger': did you mean 'icesugar'? The known ones are ice40-hx8k, "
        "icebreaker, icesugar, ulx3s-25f, ulx3s-85f."
    )
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "network",
    [
        'task = "reconstruct"',
        'layers = [{ kind = "dense", neurons = 4 }, { kind = "max_pool", size = 2 }]',
        'output = { kind = "conv", channels = 10, kernel = 1 }',
    ],
)
def test_what_has_no_hardware_is_refused_before_training(
    network: str, tmp_path: Path, capsys: Capsys
) -> None:
    path = write_experiment(tmp_path, f"[network]\n{network}\n")
    answer = run(capsys, "demo", path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "The demo goes as far as hardware, which is generated for chains of dense layers so far, "
        "and shows how many classes are right: train this experiment with `nomul train`."
    )
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("_no_tools")
def test_listed_dense_layers_and_notes_are_shown(tmp_path: Path, capsys: Capsys) -> None:
    layers = 'layers = [{ kind = "dense", neurons = 4 }, { kind = "dropout", rate = 0.1 }]'
    text = TINY.replace("hidden = [4]", layers).replace("size = 3", "size = 4")
    answer = run(capsys, "demo", write_experiment(tmp_path, text), "--out", tmp_path / "out")
    assert answer.output.startswith("A 64 - 4 - 10 network without a multiplier, ")
    assert answer.errors.splitlines()[0] == (
        "note: codebook.size is 4: grid is symmetric around a centre, so 3 centres are used."
    )


@pytest.mark.slow
def test_the_demo_goes_the_whole_way(tmp_path: Path, capsys: Capsys) -> None:
    out = tmp_path / "out"
    answer = run(capsys, "demo", write_experiment(tmp_path), "--out", out, "--json")
    assert answer.exit_code == 0
    summary = answer.result
    assert summary.keys() >= KEYS
    assert json.loads((out / "summary.json").read_text()) == summary
    assert (summary["mismatches_torch_golden"], summary["mismatches_golden_rtl"]) == (0, 0)
    assert (summary["dsp"], summary["multipliers"]) == (0, 0)
    assert summary["samples"] == 360
    assert Path(summary["bitstream"]).stat().st_size == summary["bitstream_bytes"] > 100_000
    network, dataset = Network.load(out / "network.safetensors"), load_dataset("digits")
    right = evaluate(network, dataset.test_features[:]) == dataset.test_classes
    assert summary["accuracy"] == right.mean()
