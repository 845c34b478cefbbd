"""Measure the folded engine, and write docs/engine.md and docs/engine.json. Run from the root::

    python -m benchmarks.engine

Engines are built and placed, networks trained (and kept in runs/folded), and every answer of an
engine in Verilator compared with the golden model's. nextpnr-ecp5 comes with
``pip install -c constraints.txt -e ".[compare]"``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from amaranth.back import rtlil
from amaranth.lib import wiring

from nomul.boards.catalog import find_board
from nomul.boards.engine_link import EngineLink
from nomul.boards.link import SerialLink
from nomul.cli.evaluation import evaluate_network
from nomul.cli.training import train_discretized
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.engine_verilog import emit_engine
from nomul.hw.folding import fold
from nomul.hw.netlist import (
    count_cells,
    multiplier_cells,
    read_netlist,
    read_place_and_route,
)
from nomul.hw.tools import run_tool
from nomul.network import CheckFailed, Network
from nomul.network.files import write_complete
from nomul.network.layers import Weighted
from nomul.sim.batch import BatchSimulator, build_batch
from nomul.sim.folded import run_folded
from nomul.sim.golden import input_levels
from nomul.sim.interpreter import execute, sample_cycles
from nomul.train import Experiment, load_dataset, load_experiment
from nomul.train.dataset import Dataset
from nomul.train.experiment_file import format_experiment

COMMAND = "python -m benchmarks.engine"
N_SAMPLES = 1_000
STALLS_SEED = 1
KEPT = Path("runs/folded")
_UP5K_MHZ = 26
_ECP5_MHZ = 70
# As nomul.boards.build has it, and says why.
_SCRIPT = """
scratchpad -set abc9.script +&if,{C},{W},{D},{R};&ps
read_rtlil top.il
setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2
"""

_INTRODUCTION = """
# The folded engine

Written by `{command}` (`make engine`), with its numbers in [engine.json](engine.json).
One engine runs every network whose program fits it: [design.md](design.md#the-folded-hardware)
says how. The board's own build asks nextpnr for a lower clock and a faster router.

On UP5K an engine is placed and routed behind its serial link; on ECP5 alone. No cell multiplies,
and none is a DSP block. LUT4 of ECP5 include two for each CCU2C. Accuracies are of the whole test
part, by the golden model, from one seed. The engine in Verilator answered the first {n_samples}
test samples (or all, where there are fewer) without stalls and once more with random stalls on
every stream: "wrong answers" differ from the golden model in either run. "Cycles a sample" are
predicted, "measured" are those of the simulation; a sample whose levels take longer to arrive
than the rest is read waits for them. Milliseconds are at Fmax. A product of a padded position
counts as one.

Where zeros are skipped, the cycles are means over the samples, each of which took exactly its
predicted cycles, and a skipped product counts as one: so more products may come in a cycle than
there are lanes.
"""

_BLOCK = EngineSettings(weight_memory="block", map_depth=2048, threshold_depth=32, weight_depth=512)
_ECP5 = EngineSettings(
    weight_memory="block", map_depth=16384, threshold_depth=256, weight_depth=8192
)
_ECP5_RESIDUALS = dataclasses.replace(
    _ECP5, shortcuts=True, product_bits=14, sum_bits=20, weight_depth=7168
)
_ECP5_WIDE = EngineSettings(position_lanes=4, weight_memory="block", weight_depth=2048)


@dataclass(frozen=True)
class Case:
    """An engine, and the experiments whose networks it runs."""

    device: str
    settings: EngineSettings
    experiments: tuple[str, ...]


CASES = {
    "UP5K, weights in SPRAM": Case(
        "up5k",
        EngineSettings(),
        (
            "mnist-cnn-folded",
            "fashion-mnist-folded",
            "heartbeats-folded",
            "spoken-digits-folded",
            "mnist-autoencoder-folded",
        ),
    ),
    "UP5K, weights in block RAM": Case("up5k", _BLOCK, ("heartbeats-tiny-folded",)),
    "UP5K, half the lanes": Case("up5k", EngineSettings(position_lanes=1), ("mnist-cnn-folded",)),
    "UP5K, half the lanes, zeros skipped (that of its boards)": Case(
        "up5k",
        find_board("icebreaker").engine_settings,
        (
            "mnist-cnn-folded",
            "fashion-mnist-folded",
            "heartbeats-folded",
            "spoken-digits-folded",
            "mnist-autoencoder-folded",
        ),
    ),
    "ECP5-25": Case("ecp5", _ECP5, ("mnist-cnn-folded", "cifar10-folded")),
    "ECP5-25, zeros skipped": Case(
        "ecp5",
        dataclasses.replace(_ECP5, skips_zeros=True),
        ("mnist-cnn-folded", "cifar10-folded"),
    ),
    "ECP5-25, with shortcuts": Case("ecp5", _ECP5_RESIDUALS, ("heartbeats-residual-folded",)),
    "ECP5-25, with shortcuts and parity": Case(
        "ecp5", dataclasses.replace(_ECP5_RESIDUALS, parity=True), ("heartbeats-residual-folded",)
    ),
    "ECP5-25, with shortcuts, zeros skipped (that of ULX3S-25F)": Case(
        "ecp5", find_board("ulx3s-25f").engine_settings, ("heartbeats-residual-folded",)
    ),
    "ECP5-25, twice the lanes": Case("ecp5", _ECP5_WIDE, ("mnist-cnn-folded",)),
}


@dataclass(frozen=True)
class Hardware:
    """What an engine takes; on UP5K with the serial link, on ECP5 alone."""

    lut4: int
    logic_cells: int
    block_rams: int
    sprams: int
    dsps: int
    fmax_mhz: float


@dataclass(frozen=True)
class Run:
    """A network on an engine."""

    experiment: str
    metric: str
    score: float
    products: int
    weights: int
    cycles: int
    measured_cycles: int
    lane_use: float
    lane_use_of_passes: tuple[float, ...]
    samples: int
    mismatches: int


def main() -> int:
    torch.set_num_threads(1)
    found = {}
    for name, case in CASES.items():
        hardware = _hardware(case)
        print(name, hardware, file=sys.stderr, flush=True)
        with TemporaryDirectory() as folder:
            verilog = emit_engine(Engine(case.settings))
            simulator = build_batch(verilog, Path(folder))
            runs = [_kept_run(simulator, verilog, case.settings, own) for own in case.experiments]
        for run in runs:
            print(name, run, file=sys.stderr, flush=True)
        found[name] = (case, hardware, runs)
    content = {
        name: {
            "device": case.device,
            "settings": dataclasses.asdict(case.settings),
            "hardware": dataclasses.asdict(hardware),
            "networks": [dataclasses.asdict(run) for run in runs],
        }
        for name, (case, hardware, runs) in found.items()
    }
    Path("docs/engine.json").write_text(
        json.dumps({"command": COMMAND, **content}, indent=1) + "\n"
    )
    Path("docs/engine.md").write_text(write_page(found))
    return int(any(run.mismatches for _, _, runs in found.values() for run in runs))


def _hardware(case: Case) -> Hardware:
    """Build an engine, unless what it took is in runs/folded already."""
    if case.device == "up5k":
        # The divisor is that of 24 MHz and 115,200 baud.
        hardware: wiring.Component = SerialLink(EngineLink(Engine(case.settings)), 208)
    else:
        hardware = Engine(case.settings)
    design = rtlil.convert(hardware, name="top", emit_src=False)
    kept = KEPT / f"{_digest(case.device + design)}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            (Path(folder) / "top.il").write_text(design)
            build = _ice40 if case.device == "up5k" else _ecp5
            write_complete(kept, json.dumps(dataclasses.asdict(build(Path(folder)))))
    return Hardware(**json.loads(kept.read_text()))


def _synthesized(folder: Path, command: str) -> Mapping[str, int]:
    (folder / "top.ys").write_text(f"{_SCRIPT}{command} -top top -json top.json\n")
    run_tool("yosys", ["-q", "-l", "yosys.log", "top.ys"], folder, "yosys.log")
    cells = read_netlist(folder / "top.json")
    if multipliers := multiplier_cells(cells):
        raise CheckFailed(f"The netlist has multipliers: {multipliers}.")
    return cells


def _ice40(folder: Path) -> Hardware:
    counts = count_cells(_synthesized(folder, "synth_ice40 -device u"))
    options = f"--up5k --package sg48 --freq {_UP5K_MHZ} --seed 1 --timing-allow-fail"
    files = "--json top.json --report report.json"
    run_tool("nextpnr-ice40", [*options.split(), *files.split()], folder, "nextpnr.log")
    report = read_place_and_route(folder / "report.json")
    assert report.fmax_mhz is not None, "an engine has flip-flops"
    return Hardware(
        counts.lut4,
        report.logic_cells,
        counts.bram,
        counts.spram,
        counts.dsp,
        report.fmax_mhz,
    )


def _ecp5(folder: Path) -> Hardware:
    cells = _synthesized(folder, "synth_ecp5 -nodsp")
    options = f"--25k --package CABGA381 --freq {_ECP5_MHZ} --seed 1 --timing-allow-fail"
    files = "--json top.json --out-of-context --report report.json"
    run_tool("nextpnr-ecp5", [*options.split(), *files.split()], folder, "nextpnr.log")
    report = json.loads((folder / "report.json").read_text())
    return Hardware(
        cells["LUT4"] + 2 * cells["CCU2C"],
        report["utilization"]["TRELLIS_COMB"]["used"],
        cells["DP16KD"],
        0,
        0,
        min(clock["achieved"] for clock in report["fmax"].values()),
    )


def _kept_run(simulator: BatchSimulator, verilog: str, settings: EngineSettings, name: str) -> Run:
    """Run a network, unless what came of it is in runs/folded already."""
    experiment = Path(f"examples/{name}.toml").read_text()
    kept = KEPT / f"{_digest(verilog + experiment)}.json"
    if not kept.exists():
        content = dataclasses.asdict(_run(simulator, settings, name))
        write_complete(kept, json.dumps(content))
    content = json.loads(kept.read_text())
    return Run(**content | {"lane_use_of_passes": tuple(content["lane_use_of_passes"])})


def _run(simulator: BatchSimulator, settings: EngineSettings, name: str) -> Run:
    experiment = load_experiment(Path(f"examples/{name}.toml"))
    dataset = load_dataset(experiment.data.name)
    network = _trained(experiment, dataset)
    program = fold(network, settings)
    levels = input_levels(network, dataset.test_features[:N_SAMPLES])
    result = run_folded(simulator, network, program, levels, seed=STALLS_SEED)
    if result.first_mismatch:
        print(name, result.first_mismatch, file=sys.stderr)
    score = evaluate_network(network, dataset)
    metric = "accuracy" if "accuracy" in score else "squared_error"
    products = [made.products(settings) for made in program.passes]
    cycles = sample_cycles(program)
    if settings.skips_zeros:  # the first sample's are not measured
        cycles = round(execute(program, levels).cycles[1:].mean())
    return Run(
        name,
        metric,
        score[metric],
        sum(products),
        sum(layer.weight_index.size for layer in network.layers if isinstance(layer, Weighted)),
        cycles,
        round(result.mean_cycles) if settings.skips_zeros else result.cycles_per_sample,
        sum(products) / (cycles * settings.lanes),
        tuple(
            n / ((made.taps + made.idle) * made.blocks * settings.lanes)
            for made, n in zip(program.passes, products, strict=True)
        ),
        result.samples,
        result.mismatches,
    )


def _trained(experiment: Experiment, dataset: Dataset) -> Network:
    """Return the experiment's network, trained unless its file is in runs/folded already."""
    path = KEPT / f"{_digest(format_experiment(experiment))}.safetensors"
    if not path.exists():
        train_discretized(experiment, dataset).network.save(path)
    return Network.load(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_page(found: Mapping[str, tuple[Case, Hardware, list[Run]]]) -> str:
    """Return the page, Markdown."""
    lines = [
        *_INTRODUCTION.format(command=COMMAND, n_samples=f"{N_SAMPLES:,}").strip().splitlines(),
        "",
        "## Engines",
        "",
        "| engine | lanes | LUT4 | a lane | logic cells | block RAM | SPRAM | DSP | Fmax, MHz | "
        "products a cycle, at most | products a second, at most |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (case, h, _) in found.items():
        s = case.settings
        lines.append(
            f"| {name} | {s.channel_lanes} × {s.position_lanes} | {h.lut4:,} | "
            f"{h.lut4 / s.lanes:.0f} | {h.logic_cells:,} | {h.block_rams} | {h.sprams} | {h.dsps} "
            f"| {h.fmax_mhz:.1f} | {s.lanes} | {s.lanes * h.fmax_mhz / 1000:.2f} G |"
        )
    lines += [
        "",
        "## Networks",
        "",
        "| network | engine | accuracy, or squared error × 1000 | weights | products | cycles a "
        "sample | measured | products a cycle | lanes in use | ms a sample | wrong answers |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (_, h, runs) in found.items():
        for run in runs:
            score = f"{run.score:.2%}" if run.metric == "accuracy" else f"{1000 * run.score:.2f}"
            lines.append(
                f"| {run.experiment} | {name} | {score} | {run.weights:,} | {run.products:,} | "
                f"{run.cycles:,} | {run.measured_cycles:,} | {run.products / run.cycles:.1f} | "
                f"{run.lane_use:.0%} | {run.cycles / h.fmax_mhz / 1000:.2f} | "
                f"{run.mismatches} of {run.samples:,} |"
            )
    lines += [
        "",
        "Lanes in use, pass by pass, without what goes before and behind each, no zero skipped:",
        "",
        *(
            f"- {run.experiment}, {name}: "
            + ", ".join(f"{share:.0%}" for share in run.lane_use_of_passes)
            for name, (case, _, runs) in found.items()
            for run in runs
            if not case.settings.skips_zeros
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
