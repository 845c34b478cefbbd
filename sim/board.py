"""A virtual board: Verilog that talks in bytes, simulated, and used like a serial port."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from nomul.network import CheckFailed
from nomul.sim.verilator import compile_design, verilate, writing_source

__all__ = ["VirtualBoard", "VirtualLine", "build_board"]

_MAIN = Path(__file__).with_name("board.cpp")
_PRIMITIVES = Path(__file__).with_name("spram.v")


class VirtualLine:
    """The line to a simulated design, from its power-on on.

    Its clock runs while bytes are brought to it, and while it is listened to.

    Parameters
    ----------
    command
        A program that takes the commands of ``serve.h``, and its arguments.
    silence_cycles
        Clock cycles without a byte after which listening ends.
    """

    def __init__(self, command: Sequence[str | Path], silence_cycles: int) -> None:
        self.silence_cycles = silence_cycles
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def write(self, data: bytes) -> int:
        """Bring bytes to the board, and return how many: all."""
        self._tell(b"w" + len(data).to_bytes(4, "little") + data)
        return self._hear_number()

    def read(self, size: int = 1) -> bytes:
        """Return ``size`` bytes, or as many as there are when the board falls silent."""
        self._tell(b"r" + size.to_bytes(4, "little") + self.silence_cycles.to_bytes(4, "little"))
        return self._hear(self._hear_number())

    def close(self) -> None:
        """End the simulation."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, command: bytes) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        try:
            self._process.stdin.write(command)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise CheckFailed("The simulator of the board has ended by itself.") from error

    def _hear_number(self) -> int:
        return int.from_bytes(self._hear(4), "little")

    def _hear(self, size: int) -> bytes:
        assert self._process.stdout is not None, "it is a pipe"
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise CheckFailed("The simulator of the board has ended by itself.")
        return data


class VirtualBoard(VirtualLine):
    """A simulated design with streams of bytes.

    Parameters
    ----------
    program
        What :func:`build_board` made.
    byte_cycles
        Clock cycles per byte, in each direction.
    silence_cycles
        As for :class:`VirtualLine`.
    """

    def __init__(
        self, program: Path, *, byte_cycles: int = 1, silence_cycles: int = 200_000
    ) -> None:
        super().__init__([program, str(byte_cycles)], silence_cycles)


def build_board(verilog: str, folder: Path, top: str = "top") -> Path:
    """Return the program that :class:`VirtualBoard` runs, built with Verilator.

    Parameters
    ----------
    verilog
        Its module ``top`` has a stream of bytes ``i``, always ready, and one ``o``. The RAM
        primitives of iCE40 UltraPlus are known.
    folder
        Where everything goes, ``simulation.log`` with the tools' messages included.

    Raises
    ------
    UserError
        If Verilator or a C++ compiler is missing, or the folder cannot be written.
    CheckFailed
        If the Verilog is refused.
    """
    source = folder.resolve() / f"{top}.v"
    program = source.with_name("board")
    with writing_source(verilog, source) as messages:
        sources = verilate([_PRIMITIVES, source], top, messages)
        compile_design(sources, _MAIN, program, messages)
    return program
