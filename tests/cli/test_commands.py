from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nomul.cli.commands import COMMANDS
from nomul.hw import verilog
from nomul.hw.lowering import METHODS
from nomul.network import Dense, Input, Network, memory_account
from nomul.sim import runner
from nomul.sim.golden import evaluate
from nomul.train.data import load_dataset
from tests.cli.helpers import TINY, digits_network, picture_network, run, write_experiment
from tests.data import needs_data
from tests.networks import random_network, random_tables

Capsys = pytest.CaptureFixture[str]
DATA_NAMES = (
    "breast_cancer, cifar10, digits, dry_bean, ecg_mitbih, fashion_mnist, fsdd, iris, kodak, "
    "mnist, wine"
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return digits_network(tmp_path)


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("YOSYS", "NEXTPNR_ICE40", "ICEPACK"):
        monkeypatch.delenv(variable, raising=False)


def test_evaluate_counts_what_the_golden_model_gets_right(network: Path, capsys: Capsys) -> None:
    dataset = load_dataset("digits")
    answers = evaluate(Network.load(network), dataset.test_features[:])
    correct = int((answers == dataset.test_classes).sum())
    answer = run(capsys, "evaluate", network, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert answer.result == {"accuracy": correct / 360, "samples": 360, "correct": correct}
    assert list(answer.result) == ["accuracy", "samples", "correct"]


def test_text_has_a_line_for_each_key(network: Path, capsys: Capsys) -> None:
    result = run(capsys, "estimate", network, "--json").result
    answer = run(capsys, "estimate", network)
    lines = [line.split(maxsplit=1) for line in answer.output.splitlines()]
    assert lines == [[key, str(value)] for key, value in result.items()]
    assert len({line.rindex("  ") for line in answer.output.splitlines()}) == 1


@pytest.mark.parametrize("device", ["up5k", "hx8k"])
def test_estimate_gives_its_figures(device: str, network: Path, capsys: Capsys) -> None:
    answer = run(capsys, "estimate", network, "--device", device, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert list(answer.result) == [
        *("logic_cells", "lut4", "ff", "bram", "spram", "fmax_mhz", "fits"),
    ]
    assert answer.result["fits"] is True


def test_verilog_is_written(network: Path, tmp_path: Path, capsys: Capsys) -> None:
    path = tmp_path / "new" / "core.v"
    answer = run(capsys, "verilog", network, "-o", path, "--top", "core", "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert list(answer.result) == [
        *("verilog", "bytes", "top", "latency_cycles", "initiation_interval", "lowering"),
    ]
    assert list(answer.result["lowering"]) == ["layers.0", "layers.1"]
    assert answer.result["verilog"] == str(path)
    assert answer.result["bytes"] == path.stat().st_size
    assert "\nmodule core(" in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["core.v"]


@pytest.mark.parametrize(("pipeline", "latency"), [("none", 0), ("1", 1), ("3", 3)])
def test_verilog_has_the_pipeline_that_is_asked_for(
    pipeline: str, latency: int, network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    path = tmp_path / "top.v"
    answer = run(capsys, "verilog", network, "-o", path, "--pipeline", pipeline, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert answer.result["latency_cycles"] == latency
    text = path.read_text()
    assert f"// Latency {latency} cycles," in text
    assert ("posedge" in text) == ("input clk;" in text) == (latency > 0)


def test_verilog_for_a_faster_clock_has_more_stages(
    network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    arguments = "verilog", network, "-o", tmp_path / "top.v", "--json", "--pipeline", "auto"
    slow, fast, device = (
        run(capsys, *arguments, *options).result["latency_cycles"]
        for options in (
            ("--clock", "2"),
            ("--clock", "50"),
            ("--clock", "50", "--device", "hx8k"),
        )
    )
    assert slow == 1 < device < fast


def test_layers_are_lowered_as_they_are_forced(
    network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    for first in ("plain", "shared"):
        options = "--lower", f"layers.0={first}", "--lower", "layers.1=grouped"
        answer = run(capsys, "verilog", network, "-o", tmp_path / "top.v", *options, "--json")
        assert answer.result["lowering"] == {"layers.0": first, "layers.1": "grouped"}


def test_simulate_takes_the_same_options(network: Path, capsys: Capsys) -> None:
    options = "--pipeline", "none", "--lower", "layers.0=plain", "--samples", 8
    answer = run(capsys, "simulate", network, *options, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert (answer.result["mismatches"], answer.result["latency_cycles"]) == (0, 0)


def test_simulate_finds_no_mismatch(network: Path, capsys: Capsys) -> None:
    answer = run(capsys, "simulate", network, "--samples", 20, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    result = answer.result
    assert list(result) == [
        *("samples", "mismatches", "latency_cycles", "initiation_interval", "simulator"),
    ]
    assert (result["samples"], result["mismatches"], result["simulator"]) == (20, 0, "verilator")
    assert result["initiation_interval"] == 1


def test_a_mismatch_is_a_failed_check(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = runner.Simulation(20, 3, 9, 1, "verilator", 1.0, 1.0, "sample 4: expected 1, got 2")
    monkeypatch.setattr(runner, "simulate", lambda *_, **__: found)
    answer = run(capsys, "simulate", network, "--samples", 20, "--json")
    assert answer.exit_code == 1
    assert answer.result["mismatches"] == 3
    (kept,) = tmp_path.glob("nomul-simulation-*")
    assert answer.sentence == (
        "The hardware differs from the golden model: sample 4: expected 1, got 2 "
        f"({kept} has the simulation)."
    )


@pytest.mark.slow
def test_hardware_that_answers_something_else_is_a_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    emit = verilog.emit

    def wrong(hardware: Any) -> str:
        text = emit(hardware)
        head, module, body = text.partition("module top(")
        port = "  output [3:0] o__payload;\n"
        assert body.count(port) == 1
        ports, port, body = body.partition(port)
        body = body.replace("o__payload", "right")
        return f"{head}{module}{ports}{port}  assign o__payload = ~right;\n{body}"

    monkeypatch.setattr(verilog, "emit", wrong)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network = Network.load(digits_network(tmp_path))
    answer = run(capsys, "simulate", tmp_path / "network.safetensors", "--samples", 8, "--json")
    assert answer.exit_code == 1
    assert answer.result["mismatches"] == 8
    first = int(evaluate(network, load_dataset("digits").test_features[:1])[0])
    (kept,) = tmp_path.glob("nomul-simulation-*")
    assert answer.sentence == (
        "The hardware differs from the golden model: without stalls, sample 0: "
        f"expected {first}, got {first ^ 15} ({kept} has the simulation)."
    )


def test_train_writes_the_network_and_its_result(tmp_path: Path, capsys: Capsys) -> None:
    out = tmp_path / "new" / "out"
    answer = run(capsys, "train", write_experiment(tmp_path), "--out", out, "--json")
    assert answer.exit_code == 0
    assert list(answer.result) == [
        *("accuracy_float", "accuracy", "memory_bits_float", "memory_bits", "encoded_bits"),
        *("mismatches_torch_golden", "samples", "seconds", "network"),
    ]
    assert answer.result["network"] == str(out / "network.safetensors")
    assert {path.name for path in out.iterdir()} == {
        *("network.safetensors", "module.safetensors", "experiment.toml", "training.json"),
    }
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing is left of the stage"
    steps = [f"{n} of 8 steps" for n in (2, 4, 6, 8)]
    names = ("float twin", "discretized")
    assert answer.errors.splitlines() == [f"  {name}: {step}" for name in names for step in steps]


@pytest.mark.slow
def test_build_makes_a_bitstream(network: Path, tmp_path: Path, capsys: Capsys) -> None:
    out = tmp_path / "out"
    answer = run(capsys, "build", network, "--board", "icesugar", "--out", out, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert list(answer.result) == [
        *("board", "device", "logic_cells", "lut4", "carry", "ff", "bram", "spram", "dsp"),
        *("multipliers", "fmax_mhz", "clock_mhz", "bitstream", "bitstream_bytes", "seconds"),
    ]
    assert answer.result["bitstream"] == str(out / "icesugar.bin")
    assert (out / "icesugar.bin").stat().st_size == answer.result["bitstream_bytes"]
    assert list(answer.result["seconds"]) == ["synthesis", "place_and_route", "bitstream"]


def tamper(path: Path, **metadata: str) -> None:
    tensors = load_file(path)
    network = Network.load(path)
    content = {"format": "nomul-network", "version": "1"}
    content["network"] = json.dumps(network.document().description)
    save_file(tensors, path, content | metadata)


def absent(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def foreign(path: Path) -> None:
    save_file({"x": np.zeros(3)}, path)


def newer(path: Path) -> None:
    tamper(path, version="2")


def tampered(path: Path) -> None:
    tamper(path, sha256="0" * 64)


BROKEN = {
    absent: "There is no network file {path}: check the path.",
    truncated: (
        "{path} is truncated or no network file: it cannot be read as safetensors (Error while "
        "deserializing header: incomplete metadata, file not fully covered)."
    ),
    foreign: (
        "{path} is a safetensors file, but no network file: its metadata does not say format = "
        "'nomul-network'."
    ),
    newer: (
        "{path} is a network file of version '2', and this nomul reads version '1': install a "
        "nomul that knows it, or save the network again."
    ),
    tampered: (
        "{path} was altered after it was written: its content does not match its checksum; get a "
        "fresh copy or train again."
    ),
}


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("command", ["evaluate", "estimate", "verilog", "simulate", "build"])
def test_a_network_file_that_cannot_be_used_is_refused(
    command: str, fault: Any, network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    fault(network)
    out = {"verilog": ["-o", tmp_path / "out"], "build": ["--out", tmp_path / "out"]}
    answer = run(capsys, command, network, *out.get(command, []))
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == BROKEN[fault].format(path=network)
    assert not (tmp_path / "out").exists()


def test_a_rule_that_the_network_breaks_is_named(network: Path, capsys: Capsys) -> None:
    tensors = load_file(network)
    tensors["layers.0.weight_index"][0, 0] = 9
    description = json.dumps(Network.load(network).document().description)
    metadata = {"format": "nomul-network", "version": "1", "network": description}
    save_file(tensors, network, metadata)
    answer = run(capsys, "evaluate", network)
    assert answer.exit_code == 2
    assert answer.sentence == (
        "layers.0.weight_index holds 9: the product table has 5 centres, numbered from 0."
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("evaluate", "NETWORK", "--data", "digit"),
            f"Unknown data set 'digit': did you mean 'digits'? The known ones are {DATA_NAMES}.",
        ),
        (
            ("simulate", "NETWORK", "--data", "mine.npz"),
            "There is no file or folder 'mine.npz': give the path of your data or the name of a "
            f"data set, one of {DATA_NAMES}.",
        ),
        (
            ("estimate", "NETWORK", "--device", "hx8"),
            "Unknown device 'hx8': did you mean 'hx8k'? The known ones are asic, ecp5, hx8k, "
            "up5k, xilinx.",
        ),
        (
            ("build", "NETWORK", "--out", "OUT", "--board", "icebraker"),
            "Unknown board 'icebraker': did you mean 'icebreaker'? The known ones are ice40-hx8k, "
            "icebreaker, icesugar, ulx3s-25f, ulx3s-85f.",
        ),
        (
            ("simulate", "NETWORK", "--simulator", "verilater"),
            "Unknown simulator 'verilater': did you mean 'verilator'? The known ones are icarus, "
            "verilator.",
        ),
        (
            ("simulate", "NETWORK", "--samples", "0"),
            "--samples is 0: digits has 1 to 360 to test.",
        ),
        (
            ("simulate", "NETWORK", "--samples", "-1"),
            "--samples is -1: digits has 1 to 360 to test.",
        ),
        (
            ("simulate", "NETWORK", "--samples", "361"),
            "--samples is 361: digits has 1 to 360 to test.",
        ),
        (
            ("estimate", "NETWORK", "--lower", "layers.0=tables"),
            f"Unknown method 'tables': choose one of {', '.join(sorted(METHODS))}.",
        ),
        (
            ("verilog", "NETWORK", "-o", "OUT", "--lower", "layers.2=plain"),
            "Unknown layer 'layers.2': did you mean 'layers.1'? The known ones are layers.0, "
            "layers.1.",
        ),
        (
            ("build", "NETWORK", "--out", "OUT", "--clock", "0"),
            "A clock of 0 MHz is none: it must be above 0.",
        ),
        (
            ("estimate", "NETWORK", "--pipeline", "2", "--clock", "40"),
            "--pipeline gives the number of stages and --clock would choose it: leave one out.",
        ),
        (
            ("estimate", "NETWORK", "--lower", "layers.0=plain", "--lower", "layers.0=shared"),
            "--lower names two methods for layers.0, plain and shared: keep one.",
        ),
        (
            ("verilog", "NETWORK", "-o", "OUT", "--top", "1st"),
            "'1st' cannot be a module's name: use letters, digits and _, and no digit first.",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_name_or_number_that_is_wrong_is_refused(
    arguments: tuple[str, ...], sentence: str, network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    places = {"NETWORK": network, "OUT": tmp_path / "out"}
    answer = run(capsys, *(places.get(argument, argument) for argument in arguments))
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["evaluate", "simulate"])
def test_features_that_the_network_does_not_take_are_refused(
    command: str, tmp_path: Path, capsys: Capsys
) -> None:
    path = digits_network(tmp_path, random_network((4, 3), (2,)))
    answer = run(capsys, command, path)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "The network takes features of shape (4,), and 'digits' has (64,): name its data with "
        "--data."
    )


def test_results_need_a_folder(tmp_path: Path, capsys: Capsys) -> None:
    file = tmp_path / "results.md"
    file.touch()
    answer = run(capsys, "results", tmp_path / "absent.toml", "--docs", file)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == f"{file} is not a folder: give --docs the folder of results.md."


def test_levels_cannot_be_judged(tmp_path: Path, capsys: Capsys) -> None:
    path = digits_network(tmp_path, random_network((64, 3), (2, 2), output="levels"))
    answer = run(capsys, "evaluate", path)
    assert answer.exit_code == 2
    assert answer.sentence == (
        "The network gives 3 levels for 64 features: evaluation needs a class, or one accumulator "
        "for each feature."
    )


def test_an_encoded_network_is_the_same_network(
    network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    encoded = tmp_path / "new" / "digits.encoded"
    answer = run(capsys, "encode", network, "-o", encoded, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert answer.result == {
        "encoded": str(encoded),
        "bytes": network.stat().st_size,
        "encoded_bytes": encoded.stat().st_size,
    }
    assert Network.load(encoded) == Network.load(network)
    plain, smaller = (run(capsys, "evaluate", path, "--json") for path in (network, encoded))
    assert (smaller.exit_code, smaller.output) == (0, plain.output)


def test_a_network_may_be_encoded_in_its_place(network: Path, capsys: Capsys) -> None:
    before, size = Network.load(network), network.stat().st_size
    answer = run(capsys, "encode", network, "-o", network, "--json")
    assert answer.exit_code == 0
    assert answer.result["bytes"] == size
    assert answer.result["encoded_bytes"] == network.stat().st_size < size
    assert Network.load(network) == before


@pytest.mark.parametrize("command", ["estimate", "verilog", "simulate", "build"])
def test_layers_that_no_hardware_is_generated_for_are_refused(
    command: str, tmp_path: Path, capsys: Capsys
) -> None:
    path = digits_network(tmp_path, picture_network())
    out = {"verilog": ["-o", tmp_path / "out"], "build": ["--out", tmp_path / "out"]}
    answer = run(capsys, command, path, *out.get(command, []))
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "layers.0 is of kind conv2d, and chains of dense and lookup layers are unrolled so far: "
        "take the folded engine, with `nomul fold` and the option --folded."
    )
    assert list(tmp_path.iterdir()) == [path]


@needs_data("mnist")
def test_pictures_are_evaluated_by_the_name_of_their_data_set(
    tmp_path: Path, capsys: Capsys
) -> None:
    dense = Dense(**random_tables((10, 784), 10, 2, None))
    network = Network(Input((1, 28, 28), np.array([100.0])), (dense,))
    path = digits_network(tmp_path, network)
    answer = run(capsys, "evaluate", path, "--data", "mnist", "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    dataset = load_dataset("mnist")
    pictures = dataset.test_features[:].reshape(-1, 784)
    sums = dense.bias + sum(
        dense.product_table[(pictures[:, k] >= 100).astype(int)][:, dense.weight_index[:, k]]
        for k in range(784)
    )
    assert answer.result["correct"] == (sums.argmax(axis=1) == dataset.test_classes).sum()


SECTIONS = "codebook, data, hardware, input, network, training, variants"
EXPERIMENTS = {
    "an unknown section": (
        "[trainig]\nsteps = 1",
        f"Unknown section 'trainig': did you mean 'training'? The known ones are {SECTIONS}.",
    ),
    "an unknown key": (
        "[network]\nbatchnorm = true",
        "Unknown key 'batchnorm': did you mean 'batch_norm'? The known ones are activation, "
        "batch_norm, ceiling, fan_in, hidden, layers, levels, operand_bits, output, task.",
    ),
    "a key outside its section": (
        "training = 1",
        "training must be a section: write [training] above its keys.",
    ),
    "a value of another type": (
        "[training]\nsteps = 1.5",
        "training.steps is 1.5: it must be an integer.",
    ),
    "a value out of range": ("[input]\nlevels = 1", "input.levels is 1: it must be at least 2."),
    "a value that is no choice": (
        '[network]\nactivation = "sigmoid"',
        "network.activation is 'sigmoid': choose one of tanhd, relud, sign, hardtanhd, sigmoidd.",
    ),
}


@pytest.mark.parametrize("command", ["train", "demo"])
@pytest.mark.parametrize("fault", EXPERIMENTS)
def test_an_experiment_that_is_wrong_is_refused(
    fault: str, command: str, tmp_path: Path, capsys: Capsys
) -> None:
    text, sentence = EXPERIMENTS[fault]
    path = write_experiment(tmp_path, text)
    answer = run(capsys, command, path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == f"{path}: {sentence}"
    assert list(tmp_path.iterdir()) == [path]


def test_an_experiment_that_is_not_there_is_named(tmp_path: Path, capsys: Capsys) -> None:
    path = tmp_path / "absent.toml"
    answer = run(capsys, "train", path, "--out", tmp_path / "out")
    assert answer.exit_code == 2
    assert answer.sentence == f"Cannot read the experiment {path}: No such file or directory."


def test_an_unknown_data_set_leaves_nothing(tmp_path: Path, capsys: Capsys) -> None:
    path = write_experiment(tmp_path, f'{TINY}\n[data]\nname = "digitz"\n')
    answer = run(capsys, "train", path, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        f"Unknown data set 'digitz': did you mean 'digits'? The known ones are {DATA_NAMES}."
    )
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(
    network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    file = tmp_path / "file"
    file.touch()
    path = file / "folder" / "out.v"
    answer = run(capsys, "verilog", network, "-o", path)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == f"Cannot write {path}: Not a directory."


TOOLS_OF_COMMANDS = {"verilog": "YOSYS", "simulate": "YOSYS", "build": "NEXTPNR_ICE40"}


@pytest.mark.parametrize("command", TOOLS_OF_COMMANDS)
def test_a_tool_that_is_named_and_not_there_is_refused(
    command: str, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    variable = TOOLS_OF_COMMANDS[command]
    monkeypatch.setenv(variable, "no-such-tool")
    out = {"verilog": ["-o", tmp_path / "out"], "build": ["--out", tmp_path / "out"]}
    answer = run(capsys, command, network, *out.get(command, []))
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        f"The environment variable {variable} names 'no-such-tool', and there is no such program: "
        "correct it, or unset it to use the installed one."
    )
    assert list(tmp_path.iterdir()) == [network]


@pytest.mark.parametrize("command", ["verilog", "build"])
def test_a_tool_that_is_not_installed_is_named(
    command: str, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    out = "-o" if command == "verilog" else "--out"
    answer = run(capsys, command, network, out, tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == 'yosys is not installed: run `pip install "nomul[build]"`.'
    assert list(tmp_path.iterdir()) == [network]


def test_a_missing_simulator_is_named(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = run(capsys, "simulate", network, "--simulator", "icarus")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "Icarus Verilog is not installed: run `apt-get install iverilog`, or choose verilator."
    )


def program(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("needed", "way_out"),
    [
        (5281, "or the board ice40-hx8k, with 7680 logic cells and 32 block RAMs"),
        (9000, "or the board ulx3s-25f, with 24288 logic cells and 56 block RAMs"),
        (90_000, "or fewer neurons"),
    ],
)
def test_a_network_that_is_too_large_for_the_device_is_refused(
    needed: int,
    way_out: str,
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capsys,
) -> None:
    """As place and route would report it; both tools are stand-ins here."""
    netlist = json.dumps({"design": {"num_cells_by_type": {"SB_LUT4": 4000}}})
    yosys = program(tmp_path / "yosys", f"echo '{netlist}' > top.json")
    nextpnr = program(
        tmp_path / "nextpnr",
        f"echo 'Info:  ICESTORM_LC: {needed}/ 5280 101%' > top.tim",
        "echo 'ERROR: Unable to place cell' >> top.tim",
        "exit 1",
    )
    monkeypatch.setenv("YOSYS", yosys)
    monkeypatch.setenv("NEXTPNR_ICE40", nextpnr)
    before = set(tmp_path.iterdir())
    answer = run(capsys, "build", network, "--out", tmp_path / "out")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        f"The network needs {needed} logic cells, and the iCE40UP5K of icebreaker has 5280, "
        f"{needed - 5280} too few: what helps is fewer or narrower levels, a smaller fan-in "
        f"{way_out}."
    )
    assert set(tmp_path.iterdir()) == before


def test_every_command_is_documented_by_a_sentence() -> None:
    for command in COMMANDS.values():
        assert command.summary.endswith(".")
        assert "\n" not in command.summary


def test_memory_is_counted_item_by_item(network: Path, capsys: Capsys) -> None:
    account = memory_account(Network.load(network))
    answer = run(capsys, "memory", network)
    assert (answer.exit_code, answer.errors) == (0, "")
    assert answer.output == account.table() + "\n"
    result = run(capsys, "memory", network, "--json").result
    assert result == asdict(account) | {"total": account.total, "ratio": account.ratio}
