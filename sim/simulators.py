"""The simulators: which are there, and how the Verilog is built for each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal, get_args

from nomul.network import UserError
from nomul.network.errors import unknown_name
from nomul.sim.verilator import call, check_verilator, compile_design, is_installed, verilate

__all__ = ["Simulator", "available_simulators", "build", "check_simulator"]

Simulator = Literal["verilator", "icarus"]


def available_simulators() -> tuple[Simulator, ...]:
    """Return the simulators that can be used on this machine."""
    available: list[Simulator] = []
    for simulator in get_args(Simulator):
        try:
            check_simulator(simulator)
        except UserError:
            continue
        available.append(simulator)
    return tuple(available)


def check_simulator(name: str) -> Simulator:
    """Return the simulator called ``name`` if all is there that it needs.

    Raises
    ------
    UserError
        If there is none of that name; or with the command that installs what is missing.
    """
    known = {simulator: simulator for simulator in get_args(Simulator)}
    if name not in known:
        raise UserError(unknown_name("simulator", name, known))
    simulator: Simulator = known[name]
    if not is_installed("cocotb"):
        raise UserError('cocotb is not installed: run `pip install "nomul[build]"`.')
    if simulator == "icarus":
        if shutil.which("iverilog") is None:
            raise UserError(
                "Icarus Verilog is not installed: run `apt-get install iverilog`, or choose "
                "verilator."
            )
        return simulator
    check_verilator()
    return simulator


def build(
    simulator: Simulator, verilog: Path, *, top: str, ports: Sequence[str], log: Path
) -> None:
    """Build ``verilog`` for ``simulator``, in the folder where it lies, for cocotb's runner.

    Parameters
    ----------
    ports
        The names of the ports that the bench uses.
    log
        File to which the tools' messages are appended.

    Raises
    ------
    CheckFailed
        If the Verilog is refused.
    UserError
        If Verilator's run-time library cannot be kept in the user's cache folder.
    """
    with log.open("a") as messages:
        if simulator == "icarus":
            command = ["iverilog", "-g2012", "-s", top, "-o", "sim.vvp", verilog.name]
            call(command, verilog.parent, messages, "Icarus Verilog refuses the design")
        else:
            _build_verilator(verilog, top, ports, messages)


def _build_verilator(verilog: Path, top: str, ports: Sequence[str], messages: IO[str]) -> None:
    from cocotb_tools import config

    folder = verilog.parent
    public = folder / "ports.vlt"
    lines = [f'public_flat_rw -module "{top}" -var "{port}"' for port in ports]
    public.write_text("\n".join(["`verilator_config", *lines, ""]))
    sources = verilate([public, verilog], top, messages, options=["--vpi"])
    libraries = str(config.libs_dir)
    compile_design(
        sources,
        config.share_dir / "lib" / "verilator" / "verilator.cpp",
        folder / top,
        messages,
        linked=[f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lcocotbvpi_verilator"],
    )
