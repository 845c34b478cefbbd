"""Measure the clock that a pipelined network reaches on each family, and at what latency.

Plans a network for a clock, builds it, and writes what nextpnr reports into docs/clocks.md. Run it
from the repository's root; nextpnr-ecp5 comes with
``pip install -c constraints.txt -e ".[compare]"``::

    python -m benchmarks.clocks runs/digits/network.safetensors
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from nomul.boards.build import build
from nomul.boards.catalog import BOARDS
from nomul.hw import Unrolled, emit
from nomul.hw.chain import unrolled_chain
from nomul.hw.devices import find_device, find_technology
from nomul.hw.plan import plan
from nomul.hw.tools import run_tool
from nomul.network import Network
from nomul.network.files import write_complete

PAGE = Path("docs/clocks.md")
_INTRODUCTION = """\
# Clocks

Written by `python -m benchmarks.clocks {network}`. The network, of {shape} neurons, was planned for
each clock (`--clock`), which takes as many pipeline stages as the estimate of its delays says, and
takes one sample in each cycle. nextpnr says what it reaches: on iCE40 with the serial link of a
board, on ECP5 from the first of {n_seeds} seeds that reaches it.

| on | clock asked, MHz | reached, MHz | latency, cycles | logic cells |
|---|---:|---:|---:|---:|
"""

# Boards and the clocks that their networks are planned for, in MHz: with the serial link.
_BOARDS = {"icebreaker": 40.0, "ice40-hx8k": 100.0}
_ECP5_MHZ = 150.0
_ECP5_SEEDS = range(1, 9)
_ECP5_SCRIPT = "read_verilog top.v; synth_ecp5 -nobram -nolutram -nodsp -top top -json top.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path, help="network file")
    path = parser.parse_args().network
    network = Network.load(path)
    sizes = [network.n_inputs, *(layer.n_outputs for layer in unrolled_chain(network))]
    lines = [
        _INTRODUCTION.format(
            network=path, shape=" - ".join(map(str, sizes)), n_seeds=len(_ECP5_SEEDS)
        )
    ]
    with TemporaryDirectory() as folder:
        for name, clock_mhz in _BOARDS.items():
            board = BOARDS[name]
            unrolled = plan(network, find_device(board.device.name), clock_mhz=clock_mhz)
            report = build(unrolled, board, Path(folder) / name)
            lines.append(
                _row(
                    board.device.title,
                    clock_mhz,
                    report.fmax_mhz,
                    unrolled.latency,
                    report.logic_cells,
                )
            )
        ecp5 = plan(network, find_technology("ecp5"), clock_mhz=_ECP5_MHZ)
        work = Path(folder)
        (work / "top.v").write_text(emit(Unrolled(ecp5)))
        run_tool("yosys", ["-q", "-l", "yosys.log", "-p", _ECP5_SCRIPT], work, "yosys.log")
        for seed in _ECP5_SEEDS:
            options = f"--25k --package CABGA381 --freq {_ECP5_MHZ:g} --seed {seed}"
            files = "--timing-allow-fail --json top.json --out-of-context --report report.json"
            run_tool("nextpnr-ecp5", [*options.split(), *files.split()], work, "nextpnr.log")
            found = json.loads((work / "report.json").read_text())
            fmax_mhz = min(clock["achieved"] for clock in found["fmax"].values())
            if fmax_mhz >= _ECP5_MHZ:
                break
        n_cells = found["utilization"]["TRELLIS_COMB"]["used"]
        lines.append(_row("LFE5U-25F, network alone", _ECP5_MHZ, fmax_mhz, ecp5.latency, n_cells))
    write_complete(PAGE, "".join(lines))


def _row(device: str, clock_mhz: float, fmax_mhz: float, latency: int, n_cells: int) -> str:
    line = f"| {device} | {clock_mhz:g} | {fmax_mhz:.1f} | {latency} | {n_cells:,} |\n"
    print(line, end="", flush=True)
    return line


if __name__ == "__main__":
    main()
