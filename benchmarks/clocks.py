"""Show the clock that a pipelined network reaches on each family, and at what latency.

Plans a network for a clock, builds it, and prints what nextpnr reports. Run it from the
repository's root; nextpnr-ecp5 comes with ``pip install -c constraints.txt -e ".[compare]"``::

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
from nomul.hw.devices import find_device, find_technology
from nomul.hw.plan import plan
from nomul.hw.tools import run_tool
from nomul.network import Network

# Boards and the clocks that their networks are planned for, in MHz: with the serial link.
_BOARDS = {"icebreaker": 40.0, "ice40-hx8k": 100.0}
_ECP5_MHZ = 150.0
_ECP5_SCRIPT = "read_verilog top.v; synth_ecp5 -nobram -nolutram -nodsp -top top -json top.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path, help="network file")
    network = Network.load(parser.parse_args().network)
    print("| on | clock asked, MHz | reached, MHz | latency, cycles | logic cells |")
    print("|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for name, clock_mhz in _BOARDS.items():
            board = BOARDS[name]
            unrolled = plan(network, find_device(board.device.name), clock_mhz=clock_mhz)
            report = build(unrolled, board, Path(folder) / name)
            _print(
                board.device.title, clock_mhz, report.fmax_mhz, unrolled.latency, report.logic_cells
            )
        ecp5 = plan(network, find_technology("ecp5"), clock_mhz=_ECP5_MHZ)
        work = Path(folder)
        (work / "top.v").write_text(emit(Unrolled(ecp5)))
        run_tool("yosys", ["-q", "-l", "yosys.log", "-p", _ECP5_SCRIPT], work, "yosys.log")
        options = f"--25k --package CABGA381 --freq {_ECP5_MHZ:g} --seed 1 --timing-allow-fail"
        files = "--json top.json --out-of-context --report report.json"
        run_tool("nextpnr-ecp5", [*options.split(), *files.split()], work, "nextpnr.log")
        found = json.loads((work / "report.json").read_text())
        fmax_mhz = min(clock["achieved"] for clock in found["fmax"].values())
        n_cells = found["utilization"]["TRELLIS_COMB"]["used"]
        _print("LFE5U-25F, network alone", _ECP5_MHZ, fmax_mhz, ecp5.latency, n_cells)


def _print(device: str, clock_mhz: float, fmax_mhz: float, latency: int, n_cells: int) -> None:
    print(f"| {device} | {clock_mhz:g} | {fmax_mhz:.1f} | {latency} | {n_cells:,} |", flush=True)


if __name__ == "__main__":
    main()
