from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nomul.hw import verilog
from nomul.hw.netlist import multiplier_cells, read_netlist
from nomul.hw.plan import plan
from nomul.hw.tools import run_tool
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import emit
from nomul.network import CheckFailed, Dense, Input, Network, Output, UserError
from nomul.network.model import OutputKind
from nomul.sim.runner import Simulator, available_simulators, simulate
from tests.hw.benches import all_or_some_levels, dense, elaborated, network_of
from tests.networks import random_lookup, random_network


def parse(text: str, folder: Path, top: str) -> dict[str, Any]:
    """Return what yosys reads in a Verilog text, as its ``write_json`` puts it."""
    (folder / "design.v").write_text(text)
    script = f"read_verilog -sv design.v; hierarchy -check -top {top}; proc; write_json design.json"
    run_tool("yosys", ["-q", "-l", "yosys.log", "-p", script], folder, "yosys.log")
    content: dict[str, Any] = json.loads((folder / "design.json").read_text())
    return content


# Widths of the sample and of the answer: levels and accumulators as in docs/design.md.
PORTS: dict[str, tuple[Network, int, int]] = {
    "classes": (random_network((3, 4, 10), (4, 3)), 6, 4),
    "a single class": (random_network((3, 4, 1), (4, 3)), 6, 1),
    "accumulators": (network_of(dense([[-4, 3], [0, 1]], [[0, 0], [1, 1], [0, 1]])), 2, 12),
    "levels": (random_network((2, 3), (5, 6), output="levels"), 6, 9),
}


@pytest.mark.parametrize("case", PORTS)
def test_the_top_module_has_its_ports_in_order(case: str, tmp_path: Path) -> None:
    network, width_in, width_out = PORTS[case]
    text = emit(Unrolled(plan(network, n_stages=1)), "my_Core2")
    design = parse(text, tmp_path, "my_Core2")
    ports = design["modules"]["my_Core2"]["ports"]
    assert {name: (port["direction"], len(port["bits"])) for name, port in ports.items()} == {
        "clk": ("input", 1),
        "rst": ("input", 1),
        "i__payload": ("input", width_in),
        "i__valid": ("input", 1),
        "i__ready": ("output", 1),
        "o__payload": ("output", width_out),
        "o__valid": ("output", 1),
        "o__ready": ("input", 1),
    }
    order = "clk, rst, i__payload, i__valid, i__ready, o__payload, o__valid, o__ready"
    headers = re.findall(r"^module (\w+) ?\((.*)\);$", text, re.MULTILINE)
    assert {name for name, _ in headers} == set(design["modules"])
    assert {ports for _, ports in headers} == {order}


def test_each_layer_is_described(tmp_path: Path) -> None:
    methods = {"layers.0": "lookup", "layers.1": "plain"}
    network = random_network((3, 2, 2), (4, 3))
    text = emit(Unrolled(plan(network, n_stages=2, methods=methods)), "tiny")
    assert set(parse(text, tmp_path, "tiny")["modules"]) == {"tiny"}
    assert re.findall(r"^// (layers.*)$", text, re.MULTILINE) == [
        "layers.0: dense, 3 inputs of 4 levels to 2 neurons of 3 levels, 5 products; lowered as "
        "'lookup'.",
        "layers.1: dense, 2 inputs of 3 levels to 2 neurons of accumulators, 3 products; lowered "
        "as 'plain'.",
    ]
    assert "// Latency 2 cycles, initiation interval 1 cycle.\n" in text


def test_a_lookup_layer_is_described() -> None:
    network = Network(Input((3,), np.array([0.5])), (random_lookup(4, 2, 3, 5),), Output("levels"))
    line = "// layers.0: lookup, 4 neurons, tables of 2 level bits; lowered as 'lookup'.\n"
    assert line in emit(Unrolled(plan(network)))


@pytest.mark.parametrize("n_stages", [0, 1, 3])
@pytest.mark.parametrize("method", ["plain", "grouped", "shared"])
def test_signals_have_readable_names(method: str, n_stages: int) -> None:
    """Names that came twice would be told apart by a $ and a number."""
    methods = {"layers.0": method, "layers.1": method}
    network = random_network((6, 4, 3), (5, 4))
    text = emit(Unrolled(plan(network, n_stages=n_stages, methods=methods)))
    names = re.findall(r"^ *(?:wire|reg|input|output) (?:\[.*?\] )?(\S+?)[ ;]", text, re.MULTILINE)
    assert any(name.startswith("layer_0_neuron_") for name in names)
    assert [name for name in names if not re.fullmatch(r"\w+", name)] == []


def n_register_bits(text: str, folder: Path) -> int:
    module = parse(text, folder, "top")["modules"]["top"]
    cells = [cell for cell in module["cells"].values() if "dff" in cell["type"]]
    return sum(len(cell["connections"]["Q"]) for cell in cells)


@pytest.mark.parametrize("output", ["class", "accumulators"])
def test_no_pipeline_has_no_register_and_no_clock(output: OutputKind, tmp_path: Path) -> None:
    network = random_network((3, 4, 2), (4, 3), output=output)
    text = emit(Unrolled(plan(network, n_stages=0)))
    assert n_register_bits(text, tmp_path) == 0
    assert re.search(r"\b(clk|rst|posedge)\b", text.partition("module top(")[2]) is None
    for line in (
        "// Nothing is held: a transfer happens at your clock with valid and ready set.",
        "// Latency 0 cycles, initiation interval 1 cycle.",
    ):
        assert text.count(f"{line}\n") == 1


def test_registers_are_those_that_the_schedule_counts(tmp_path: Path) -> None:
    network = random_network((3, 4, 2), (4, 3), output="accumulators")
    for n_stages in (1, 2, 3):
        found = plan(network, n_stages=n_stages)
        held = found.schedule.held_stages(found.graph)
        n_bits = sum(n * found.graph.width(number) for number, n in enumerate(held))
        bits = n_register_bits(emit(Unrolled(found)), tmp_path)
        # And a valid bit for each stage; bits that nothing reads are left out.
        assert n_stages < bits <= n_bits + n_stages


def test_the_top_module_says_what_its_streams_carry() -> None:
    text = emit(Unrolled(plan(random_network((3, 2, 2), (4, 3)))), "tiny")
    for line in (
        "// A network of 3 - 2 - 2 neurons without a multiplier, one sample per clock cycle.",
        "// i__payload: 3 levels of 2 bits, 0 to 3, the first in the least significant bits.",
        "// o__payload: the class, 0 to 1.",
        "// A transfer happens at a rising clk with valid and ready set; rst is synchronous.",
    ):
        assert text.count(f"{line}\n") == 1


def test_the_text_follows_from_the_network_alone() -> None:
    network = random_network((4, 3, 3), (3, 5))
    text = emit(Unrolled(plan(network)))
    assert text == emit(Unrolled(plan(network)))
    assert "(* src" not in text
    assert re.search(r"/[a-z]+/", text) is None, "no path of a machine"


def test_tables_of_one_address_are_of_one_size() -> None:
    """Else Verilator 5.048 simulates them wrong, as ``hw.verilog`` says."""
    products = np.clip(-np.arange(16), -4, 0)[:, None]
    layer = Dense(np.zeros((1, 1), np.uint8), products.astype(np.int32), np.zeros(1, np.int32))
    network = Network(Input((1,), np.arange(15.0)), (layer,), Output("accumulators"))
    text = emit(Unrolled(plan(network, methods={"layers.0": "plain"}, n_stages=0)))
    tables = re.findall(r"(\d+)'h[0-9a-f]+ >> i__payload", text)
    assert tables == ["16"] * 3


def test_no_multiplier_is_in_it(tmp_path: Path) -> None:
    network = random_network((5, 4, 3), (16, 9), magnitude=1000, factored=True)
    text = emit(Unrolled(plan(network, methods={"layers.0": "plain"})))
    parse(text, tmp_path, "top")
    cells = read_netlist(tmp_path / "design.json")
    assert cells["$add"] + cells["$sub"] > 0
    assert multiplier_cells(cells) == {}


def test_a_multiplication_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    emitted = emit(Unrolled(plan(random_network((1, 1), (2,)))))
    product = emitted.replace("endmodule", "  wire [3:0] p = i__payload * 3;\nendmodule", 1)
    monkeypatch.setattr(verilog, "_written", lambda *_: product)
    with pytest.raises(CheckFailed) as caught:
        emit(elaborated(Unrolled(plan(random_network((1, 1), (2,))))))
    assert str(caught.value) == (
        "The Verilog holds a multiplication: wire [3:0] p = i__payload * 3;."
    )


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "a.b", "top\n", "tòp", "\\top"])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        emit(elaborated(Unrolled(plan(random_network((1, 1), (2,))))), name)
    assert str(caught.value) == (
        f"{name!r} cannot be a module's name: use letters, digits and _, and no digit first."
    )


def test_a_word_of_the_language_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        emit(Unrolled(plan(random_network((1, 1), (2,)))), "module")
    assert str(caught.value) == "'module' is a word of the Verilog language: choose another name."


@pytest.mark.parametrize("name", ["_", "layer_0_neuron_0", "clk", "input_0", "A1_b"])
def test_any_identifier_may_be_the_name(name: str, tmp_path: Path) -> None:
    text = emit(Unrolled(plan(random_network((2, 2), (3,)))), name)
    assert name in parse(text, tmp_path, name)["modules"]


def chain(*layers: Dense, output: OutputKind = "class") -> Network:
    linked = [
        Dense(
            layer.weight_index,
            layer.product_table,
            layer.bias,
            layer.thresholds,
            source=f"layers.{number - 1}" if number else "input",
        )
        for number, layer in enumerate(layers)
    ]
    thresholds = np.arange(1, layers[0].n_levels_in, dtype=np.float64) - 0.5
    return Network(Input((layers[0].n_inputs,), thresholds), tuple(linked), Output(output))


ZEROS = dense([[0, 0, 0]], [[0, 0], [0, 0]], thresholds=[-1, 0, 1])
NETWORKS = {
    "one neuron, one input, one class": chain(dense([[0, 1]], [[0]])),
    "all weights zero": chain(ZEROS, dense([[0] * 4], [[0, 0]] * 3, bias=[-1, 4, 4])),
    "two levels, levels out": random_network((4, 3, 3), (2, 2, 2), output="levels"),
    "accumulators out": random_network((3, 4, 2), (5, 3), output="accumulators"),
}
MORE_NETWORKS = {
    "classes, many levels": random_network((3, 5, 7), (16, 9)),
    "one input": random_network((1, 1, 1, 2), (2, 2, 2)),
    "a single layer": random_network((9, 4), (3,)),
    "a constant answer": chain(ZEROS, output="levels"),
    "256 levels in": random_network((2, 3, 2), (256, 4)),
    "wide accumulators": random_network((3, 2), (4,), magnitude=2**29, output="accumulators"),
    "unreachable thresholds": chain(
        dense([[0, 1], [1, 0]], [[0, 1], [1, 1]], thresholds=[[-9, -8], [8, 9]]),
        dense([[1, 0, -1]], [[0, 0], [0, 0]]),
    ),
}


def check(
    network: Network, folder: Path, simulator: Simulator, n_stages: int | None = None
) -> None:
    hardware = Unrolled(plan(network, n_stages=n_stages))
    found = simulate(
        network,
        all_or_some_levels(network.input.n_levels, network.n_inputs, 200),
        verilog=emit(hardware),
        latency=hardware.latency,
        initiation_interval=hardware.initiation_interval,
        build_folder=folder,
        simulator=simulator,
    )
    assert (found.mismatches, found.first_mismatch) == (0, None)
    assert found.latency_cycles == hardware.latency


@pytest.mark.parametrize("case", NETWORKS)
def test_the_verilog_is_the_golden_model(case: str, tmp_path: Path) -> None:
    check(NETWORKS[case], tmp_path, "verilator")


def test_verilog_without_a_register_is_the_golden_model(tmp_path: Path) -> None:
    check(random_network((4, 3, 3), (4, 3)), tmp_path, "verilator", 0)


@pytest.mark.slow
@pytest.mark.parametrize("case", MORE_NETWORKS)
def test_more_verilog_is_the_golden_model(case: str, tmp_path: Path) -> None:
    check(MORE_NETWORKS[case], tmp_path, "verilator")


@pytest.mark.parametrize(
    "case",
    ["classes, many levels"]
    + [
        pytest.param(case, marks=pytest.mark.slow)
        for case in (NETWORKS | MORE_NETWORKS)
        if case != "classes, many levels"
    ],
)
def test_another_simulator_agrees(case: str, tmp_path: Path) -> None:
    if "icarus" not in available_simulators():
        pytest.skip("icarus is not installed")
    check((NETWORKS | MORE_NETWORKS)[case], tmp_path, "icarus")


def test_the_header_gives_the_input_thresholds_to_the_bit() -> None:
    layer = random_network((1, 1), (3,)).layers[0]
    thresholds = np.array([1 / 3, 16 / 7])
    text = emit(Unrolled(plan(Network(Input((1,), thresholds), (layer,)))))
    (line,) = re.findall(r"^// A level is how many of these .*: (.*)\.$", text, re.MULTILINE)
    assert [float(value) for value in line.split(", ")] == thresholds.tolist()


def test_the_header_says_what_the_bits_of_a_thermometer_are() -> None:
    layer = random_network((2, 1), (2,)).layers[0]
    source = Input((1,), np.array([0.5, 16 / 7]), "thermometer")
    header = emit(Unrolled(plan(Network(source, (layer,))))).partition("module top(")[0]
    assert "// i__payload: 2 levels of 1 bits, 0 to 1, the first in the least" in header
    assert (
        "// A feature is a bit for each of these thresholds, 1 if it is reached: "
        f"0.5, {16 / 7!r}.\n"
    ) in header
