"""A bitstream of iCE40 read back into Verilog, by Project IceStorm (C. Wolf, M. Lasser).

Its ``icebox_vlog`` knows logic cells, pads and block RAMs. It says which wires of the chip each net
has, and IceStorm's tables say which of them end at a single-ported RAM of UltraPlus: from both
these RAMs are added here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from nomul.hw.tools import run_tool
from nomul.network import CheckFailed, UserError

__all__ = ["asc_verilog", "check_decoder", "is_decoder_installed", "unpack"]

_DECODER = "icebox_vlog"
_MISSING = (
    "Project IceStorm, which reads bitstreams back, is not installed: run `apt install "
    "fpga-icestorm`."
)

# Prints the wires of each single-ported RAM that the bitstream turns on, by port.
_SPRAM_SCRIPT = """
import icebox, json, sys
chip = icebox.iceconfig()
chip.read_file(sys.argv[1])
found = []
for wires in icebox.spram_db.get(chip.device, {}).values():
    x, y, name = wires.pop("SPRAM_EN")
    bits = [entry[0] for entry in chip.tile_db(x, y) if entry[1:] == ["IpConfig", name]]
    if icebox.tileconfig(chip.tile(x, y)).match(bits[0]):
        found.append({port: str(tuple(wire)) for port, wire in wires.items()})
json.dump(found, sys.stdout)
"""
_SPRAM_PORTS = {
    **{"ADDRESS": 14, "DATAIN": 16, "MASKWREN": 4, "WREN": 1, "CHIPSELECT": 1, "CLOCK": 1},
    **{"STANDBY": 1, "SLEEP": 1, "POWEROFF": 1, "DATAOUT": 16},
}


def is_decoder_installed() -> bool:
    """Return whether bitstreams can be read back."""
    return shutil.which(_DECODER) is not None


def check_decoder() -> None:
    """See that bitstreams can be read back.

    Raises
    ------
    UserError
        With the command that installs what is missing.
    """
    if not is_decoder_installed():
        raise UserError(_MISSING)


def unpack(bitstream: Path, folder: Path) -> Path:
    """Return a file in ``folder`` with the bits of a bitstream, tile by tile.

    Raises
    ------
    UserError
        If ``iceunpack`` is missing or fails.
    """
    shutil.copy(bitstream, folder / "chip.bin")
    run_tool("iceunpack", ["chip.bin", "chip.asc"], folder, "iceunpack.log")
    return folder / "chip.asc"


def asc_verilog(asc: Path, constraints: Path, package: str) -> str:
    """Return the Verilog of what the bits of a bitstream make of the chip, the module ``top``.

    Parameters
    ----------
    asc
        What :func:`unpack` made.
    constraints
        The ``.pcf``, for the names of the pins.
    package
        Of the chip, such as ``"sg48"``.

    Raises
    ------
    UserError
        If Project IceStorm is not installed.
    CheckFailed
        If it cannot make sense of the bits.
    """
    decoder = shutil.which(_DECODER)
    if decoder is None:
        raise UserError(_MISSING)
    options = ["-n", "top", "-p", str(constraints), "-d", package]
    text = _run([decoder, *options, str(asc)])
    tables = Path(decoder).resolve().parent
    rams = json.loads(_run([sys.executable, "-c", _SPRAM_SCRIPT, str(asc)], tables))
    nets = _nets(text)
    instances = [_spram(f"spram_{number}", wires, nets) for number, wires in enumerate(rams)]
    return _separate_ports(text).replace("\nendmodule", "\n".join(["", *instances, "endmodule"]))


def _run(command: list[str], modules: Path | None = None) -> str:
    """Return what a program prints; ``modules`` has what its Python imports."""
    environment = {**os.environ, **({"PYTHONPATH": str(modules)} if modules else {})}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CheckFailed(f"The bitstream cannot be read back: {reason}.")
    return ended.stdout


def _separate_ports(text: str) -> str:
    """Declare directions apart from the module's head, for each port is declared as a net too."""
    found = re.search(r"^module top \((.*)\);$", text, re.MULTILINE)
    assert found is not None, "the head of the module"
    ports = found[1].split(", ")
    names = ", ".join(port.partition(" ")[2] for port in ports)
    declared = "\n".join(f"{port};" for port in ports)
    return text.replace(found[0], f"module top ({names});\n{declared}", 1)


def _nets(text: str) -> dict[str, str]:
    """Return the net of each of the chip's wires, from the comments behind its declaration."""
    nets = {}
    name = ""
    for line in text.splitlines():
        if found := re.match(r"(?:wire|reg) (\S+?)(?: = 0)?;", line):
            name = found[1]
        elif line.startswith("// ("):
            nets[line[3:]] = name
    return nets


def _spram(name: str, wires: Mapping[str, str], nets: Mapping[str, str]) -> str:
    """Return an instance of a single-ported RAM; a wire that nothing drives is 0."""
    connections = []
    for port, width in _SPRAM_PORTS.items():
        places = [f"{port}_{bit}" for bit in reversed(range(width))] if width > 1 else [port]
        is_output = port == "DATAOUT"
        found = [nets.get(wires[place], "" if is_output else "1'b0") for place in places]
        if is_output:
            # A part of an output that leads nowhere needs a net of its own.
            found = [net or f"{name}_{place}" for net, place in zip(found, places, strict=True)]
        connections.append(f"  .{port}({{{', '.join(found)}}})")
    return "\n".join([f"SB_SPRAM256KA {name} (", ",\n".join(connections), ");"])
