"""The runner and its bench, held to designs by hand whose faults are known."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import CheckFailed, Dense, Input, Network, Output, UserError
from nomul.network.model import OutputKind
from nomul.sim.runner import Simulation, Simulator, available_simulators, simulate

AVAILABLE = available_simulators()
# The faults do not depend on the simulator: they are shown to the one that builds faster.
QUICK: Simulator = "icarus" if "icarus" in AVAILABLE else "verilator"

# Two inputs a, b of four levels and two neurons, a - 2 b + 1 and -2 a - 2 b - 1, from centres 1
# and -2; every sum lies in -13..4.
LEVELS = np.array([(a, b) for a in range(4) for b in range(4)] * 2)
SUMS = """
  wire signed [4:0] a = i__payload[1:0], b = i__payload[3:2];
  wire signed [4:0] sum_0 = a - (b <<< 1) + 1, sum_1 = -(a <<< 1) - (b <<< 1) - 1;
"""
RESULTS = {
    "accumulators": ("[9:0]", "{sum_1, sum_0}"),
    "class": ("", "sum_1 > sum_0"),
    # thresholds -2, 0, 2
    "levels": (
        "[3:0]",
        "{2'd0 + (sum_1 >= -2) + (sum_1 >= 0) + (sum_1 >= 2),"
        " 2'd0 + (sum_0 >= -2) + (sum_0 >= 0) + (sum_0 >= 2)}",
    ),
}
READY = "assign i__ready = !o__valid || o__ready;"
REGISTER = """
  always @(posedge clk) begin
    if (!o__valid || o__ready) begin
      o__valid <= i__valid;
      o__payload <= result;
    end
    if (rst) o__valid <= 0;
  end
"""


def network(output: OutputKind = "accumulators") -> Network:
    centre = np.array([1, -2], np.int32)
    layer = Dense(
        weight_index=np.array([[0, 1], [1, 1]], np.uint8),
        product_table=np.outer(np.arange(4), centre).astype(np.int32),
        bias=np.array([1, -1], np.int32),
        thresholds=np.array([-2, 0, 2], np.int32) if output == "levels" else None,
    )
    return Network(Input((2,), np.array([0.5, 1.5, 2.5])), (layer,), Output(output))


def design(output: OutputKind = "accumulators", **replaced: str) -> str:
    """The Verilog of :func:`network`: one register, which holds its word under back-pressure."""
    shape, result = RESULTS[output]
    parts = {"ready": READY, "sums": SUMS, "result": result, "register": REGISTER} | replaced
    return f"""
module top(input clk, input rst, input [3:0] i__payload, input i__valid, output i__ready,
           output reg {shape} o__payload, output reg o__valid, input o__ready);
  {parts["ready"]}
  {parts["sums"]}
  wire {shape} result = {parts["result"]};
  {parts["register"]}
endmodule
"""


def check(
    folder: Path,
    verilog: str,
    *,
    output: OutputKind = "accumulators",
    simulator: Simulator = QUICK,
    latency: int = 1,
    initiation_interval: int = 1,
) -> Simulation:
    return simulate(
        network(output),
        LEVELS,
        verilog=verilog,
        latency=latency,
        initiation_interval=initiation_interval,
        build_folder=folder,
        simulator=simulator,
    )


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_a_right_design_has_no_mismatch_and_its_timing_is_measured(
    simulator: Simulator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if simulator not in AVAILABLE:
        pytest.skip(f"{simulator} is not installed")
    environment = dict(os.environ)
    found = check(tmp_path / "a folder", design(), simulator=simulator)
    assert (found.samples, found.mismatches, found.first_mismatch) == (32, 0, None)
    assert (found.latency_cycles, found.initiation_interval) == (1, 1)
    assert found.simulator == simulator
    assert found.build_seconds > 0
    assert found.run_seconds > 0
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == environment
    assert "PASS=4" in (tmp_path / "a folder" / "simulation.log").read_text()


@pytest.mark.parametrize("output", ["class", "levels"])
def test_each_kind_of_output_is_compared(output: OutputKind, tmp_path: Path) -> None:
    found = check(tmp_path, design(output), output=output)
    assert (found.samples, found.mismatches) == (32, 0)


def test_a_wrong_sum_is_counted_once_per_sample_and_the_first_is_described(tmp_path: Path) -> None:
    wrong = SUMS.replace("- 1;", "- (a == 3 ? 2 : 1);")
    found = check(tmp_path, design(sums=wrong))
    assert (found.samples, found.mismatches) == (32, 8)
    assert found.first_mismatch == ("without stalls, sample 12, output 1: expected -7, got -8")


def test_a_fault_that_only_stalls_show_is_counted(tmp_path: Path) -> None:
    register = REGISTER.replace("result;", "result ^ waited;")
    register += "reg waited = 0; always @(posedge clk) waited <= i__valid && !i__ready;"
    found = check(tmp_path, design(register=register))
    assert 0 < found.mismatches < found.samples
    assert found.first_mismatch is not None
    assert found.first_mismatch.startswith("with a stalling sink, sample ")


def test_one_sample_is_enough(tmp_path: Path) -> None:
    found = simulate(
        network(),
        LEVELS[5:6],
        verilog=design(),
        latency=1,
        initiation_interval=1,
        build_folder=tmp_path,
        simulator=QUICK,
    )
    assert (found.samples, found.mismatches, found.initiation_interval) == (1, 0, 1)


FULL = REGISTER.replace("o__valid", "full")
FAULTS = {
    "no input is ever taken": (
        design(ready="assign i__ready = 0;", register="always @(posedge clk) o__valid <= 0;"),
        "without stalls, i__ready stayed low for 112 cycles while sample 0 was offered",
    ),
    "no output ever comes": (
        design(register="always @(posedge clk) o__valid <= 0;"),
        "without stalls, 32 samples went in, 0 outputs came, and then nothing moved for 112 cycles",
    ),
    "a sample is dropped under back-pressure": (
        design(ready="assign i__ready = 1;"),
        "with a stalling sink, 32 samples went in, 15 outputs came, and then nothing moved for "
        "112 cycles",
    ),
    "an offered payload changes": (
        design(register=f"{REGISTER} always @(posedge clk) o__payload <= result;"),
        "with a stalling sink, o__payload changed before output 0 was taken, where both must hold",
    ),
    "an offer is withdrawn": (
        design(register=f"{REGISTER} always @(posedge clk) o__valid <= i__valid && i__ready;"),
        "with a stalling sink, o__valid fell before output 0 was taken, where both must hold",
    ),
    "valid waits for ready": (
        design(
            ready="reg full; assign i__ready = !full || o__ready;",
            register=f"{FULL} always @* o__valid = full && o__ready;",
        ),
        "with a stalling sink, no output was offered in 112 cycles while o__ready was low: "
        "o__valid must not wait for it",
    ),
    "an output is repeated": (
        design(
            register=REGISTER.replace("<= i__valid;", "<= i__valid || (o__valid && !again);")
            + "reg again = 0; always @(posedge clk) if (o__ready) again <= o__valid && !i__valid;"
        ),
        "without stalls, output 32 came, which no input had asked for",
    ),
    "accumulators overflow": (
        design(result="{sum_1[3:0], sum_0[3:0]}").replace("[9:0]", "[7:0]"),
        "o__payload has 4 bits for an accumulator, where the samples ask for 5",
    ),
    "the output has another width": (
        design().replace("[9:0]", "[10:0]"),
        "o__payload has 11 bits, where the network asks for 10",
    ),
    "the input has another width": (
        design().replace("input [3:0]", "input [4:0]"),
        "i__payload has 5 bits, where the network asks for 4",
    ),
    "a port is missing": (
        design().replace("input rst", "input reset").replace("(rst)", "(reset)"),
        "the top module has no port rst",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_design_fails_with_a_sentence(fault: str, tmp_path: Path) -> None:
    verilog, sentence = FAULTS[fault]
    with pytest.raises(CheckFailed) as caught:
        check(tmp_path, verilog)
    assert str(caught.value) == f"The hardware breaks its contract: {sentence}."


def test_an_undefined_control_signal_fails(tmp_path: Path) -> None:
    if "icarus" not in AVAILABLE:
        pytest.skip("only icarus knows undefined values, and it is not installed")
    with pytest.raises(CheckFailed) as caught:
        check(tmp_path, design(ready="assign i__ready = 1'bx;"), simulator="icarus")
    assert str(caught.value) == (
        "The hardware breaks its contract: without stalls, i__ready is X after reset, where it "
        "must be 0 or 1."
    )


@pytest.mark.parametrize(("latency", "initiation_interval"), [(2, 1), (0, 1), (1, 2)])
def test_other_timing_than_promised_fails(
    latency: int, initiation_interval: int, tmp_path: Path
) -> None:
    with pytest.raises(CheckFailed) as caught:
        check(tmp_path, design(), latency=latency, initiation_interval=initiation_interval)
    quantity, promised = (
        ("latency", latency) if latency != 1 else ("initiation interval", initiation_interval)
    )
    assert str(caught.value) == (
        f"The hardware breaks its contract: without stalls, the measured {quantity} is 1, the "
        f"promised one {promised} (cycles)."
    )


COMBINATIONAL = "assign o__payload = result; assign o__valid = i__valid;"


def without_clock(verilog: str) -> str:
    return verilog.replace("input clk, input rst, ", "").replace("output reg", "output")


def test_hardware_without_a_register_needs_no_clock(tmp_path: Path) -> None:
    verilog = without_clock(design(register=COMBINATIONAL))
    found = check(tmp_path, verilog, latency=0)
    assert (found.samples, found.mismatches, found.latency_cycles) == (32, 0, 0)


def test_hardware_with_a_latency_needs_a_clock(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed) as caught:
        check(tmp_path, without_clock(design(register=COMBINATIONAL)), latency=1)
    assert str(caught.value) == (
        "The hardware breaks its contract: the top module has no port clk."
    )


@pytest.mark.parametrize(
    ("simulator", "name"), [("verilator", "Verilator"), ("icarus", "Icarus Verilog")]
)
def test_verilog_that_cannot_be_read_fails_and_the_log_says_why(
    simulator: Simulator, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if simulator not in AVAILABLE:
        pytest.skip(f"{simulator} is not installed")
    log = tmp_path / "simulation.log"
    with pytest.raises(CheckFailed) as caught:
        check(tmp_path, design(sums="wire ;"), simulator=simulator)
    assert str(caught.value) == f"{name} refuses the design: see {log}."
    assert "syntax error" in log.read_text()
    assert capfd.readouterr() == ("", "")


def test_a_simulator_that_stops_on_its_own_fails(tmp_path: Path) -> None:
    stopping = design(register=REGISTER + "always @(posedge clk) if (o__valid) $finish;")
    with pytest.raises(CheckFailed) as caught:
        check(tmp_path, stopping)
    assert str(caught.value) == (
        f"The simulation ended before its time: see {tmp_path / 'simulation.log'}."
    )


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        (
            LEVELS[:, :1],
            "The levels have shape (32, 1): the network takes ('samples', 2), with at least one "
            "sample.",
        ),
        (
            LEVELS[:0],
            "The levels have shape (0, 2): the network takes ('samples', 2), with at least one "
            "sample.",
        ),
        (
            LEVELS - 1,
            "The levels range from -1 to 2: those of the network's input range from 0 to 3.",
        ),
    ],
)
def test_levels_that_are_not_the_networks_are_refused(
    levels: NDArray[np.int64], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        simulate(
            network(),
            levels,
            verilog=design(),
            latency=1,
            initiation_interval=1,
            build_folder=tmp_path,
        )
    assert str(caught.value) == sentence


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError) as caught:
        check(file / "folder", design())
    assert str(caught.value) == f"Cannot write into {file / 'folder'}: Not a directory."


def test_a_missing_simulator_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError) as caught:
        check(tmp_path, design(), simulator="icarus")
    assert str(caught.value) == (
        "Icarus Verilog is not installed: run `apt-get install iverilog`, or choose verilator."
    )


@pytest.mark.slow
def test_the_ziglang_wheel_is_compiler_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = check(tmp_path / "build", design(), simulator="verilator")
    assert (found.samples, found.mismatches) == (32, 0)
