"""Simulation without Python in each cycle: a Verilog text as a function of arrays.

For whole test sets, and for hardware that takes thousands of cycles a sample. The design has the
streams i and o, and an engine's also the stream load and the input run; see ``batch.cpp``.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nomul.network import CheckFailed
from nomul.sim.verilator import VERILATOR_PREFIX, compile_design, verilate, writing_source

__all__ = ["Batch", "BatchSimulator", "build_batch"]

_MAIN = Path(__file__).with_name("batch.cpp")
_PRIMITIVES = {"SB_SPRAM256KA": Path(__file__).with_name("spram.v")}
_PORT = re.compile(r"VL_(?:IN|OUT)\w*\(&(\w+),(\d+),0(?:,\d+)?\);")
_CYCLE = np.dtype(np.uint64)
_N_STATES = 16
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Batch:
    """What a design did with words.

    Attributes
    ----------
    answers
        int64, shape (answers, values of each).
    answer_cycles, input_cycles
        int64, shapes (answers,) and (words,): the cycle of each transfer, counted from the reset.
    state_cycles
        int64, shape (2, 2, 2, 2): how many cycles i was valid, i ready, o valid and o ready, or
        not, from the end of loading to the end of the silence behind the last transfer.
    """

    answers: NDArray[np.int64]
    answer_cycles: NDArray[np.int64]
    input_cycles: NDArray[np.int64]
    state_cycles: NDArray[np.int64]


@dataclass(frozen=True)
class BatchSimulator:
    """A design that was built, to be run as often as wanted; each run begins with a reset.

    Attributes
    ----------
    program
        The built simulator.
    input_width, answer_width
        Bits of a payload of i and of o.
    load_width
        Bits of a payload of load; 0 where there is no such port.
    """

    program: Path
    input_width: int
    answer_width: int
    load_width: int

    def run(
        self,
        inputs: ArrayLike,
        n_answers: int,
        *,
        limit: int,
        loads: ArrayLike = (),
        n_values: int = 1,
        is_signed: bool = True,
        seed: int = 0,
    ) -> Batch:
        """Load, then drive all words as fast as the design takes them, and collect its answers.

        Parameters
        ----------
        inputs
            Not negative, shape (words,); or (words, values), which share the payload evenly, the
            first in its least significant bits.
        n_answers
            How many answers must come, and no more.
        limit
            Cycles without a transfer, from which the design is taken to have finished.
        loads
            Words for load, shape (words,), up to 64 bits each.
        n_values, is_signed
            The values that share an answer's payload evenly; whether they are in two's complement.
        seed
            Of random stalls at all streams; 0 for none.

        Raises
        ------
        CheckFailed
            If other than ``n_answers`` answers come, words are not taken, or an answer on offer
            changes before it is taken.
        """
        with tempfile.TemporaryDirectory(dir=self.program.parent) as name:
            folder = Path(name)
            load_file, input_file, answer_file = (folder / n for n in ("load", "i", "o"))
            load_file.write_bytes(b"".join(_packed(loads, self.load_width or 64)))
            input_file.write_bytes(b"".join(_packed(inputs, self.input_width)))
            words = [load_file, input_file, n_answers, answer_file, limit, seed]
            ended = subprocess.run(
                [self.program, *map(str, words)], check=False, capture_output=True, text=True
            )
            if ended.returncode:
                n_inputs, n_loads = len(np.asarray(inputs)), len(np.asarray(loads))
                raise CheckFailed(_failure(ended, n_loads, n_inputs, n_answers, limit))
            found = answer_file.read_bytes()
        record = np.dtype([("cycle", _CYCLE), ("payload", np.uint8, _n_bytes(self.answer_width))])
        answered = np.frombuffer(found, record, n_answers)
        counts = np.frombuffer(found, _CYCLE, offset=answered.nbytes).astype(np.int64)
        return Batch(
            _unpacked(answered["payload"], self.answer_width, n_values, is_signed=is_signed),
            answered["cycle"].astype(np.int64),
            counts[_N_STATES:],
            counts[:_N_STATES].reshape(2, 2, 2, 2),
        )


def build_batch(verilog: str, folder: Path, top: str = "top") -> BatchSimulator:
    """Return the simulator of the module ``top``, built with Verilator.

    Parameters
    ----------
    verilog
        Its ports are those of README.md's "The Verilog", or those of an engine. The RAM primitives
        of iCE40 UltraPlus are known.
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
    program = source.with_name("batch")
    with writing_source(verilog, source) as messages:
        primitives = [path for name, path in _PRIMITIVES.items() if name in verilog]
        sources = verilate([*primitives, source], top, messages)
        header = (sources / f"{VERILATOR_PREFIX}.h").read_text()
        # Verilator writes `__` as `___05F`.
        widths = {
            name.replace("___05F", "__"): int(last) + 1 for name, last in _PORT.findall(header)
        }
        defines = [f"INPUT_WIDTH={widths['i__payload']}"]
        if "load__payload" in widths:
            defines.append(f"LOAD_WIDTH={widths['load__payload']}")
        if "clk" in widths:
            defines.append("HAS_CLOCK")
        compile_design(sources, _MAIN, program, messages, defines=defines)
    return BatchSimulator(
        program, widths["i__payload"], widths["o__payload"], widths.get("load__payload", 0)
    )


def _n_bytes(width: int) -> int:
    """Return the bytes of Verilator's type for so many bits: 1, 2, 4, 8, or words of 4."""
    if width > 64:
        return -(-width // 32) * 4
    return max(1, 1 << (-(-width // 8) - 1).bit_length())


def _packed(words: ArrayLike, width: int) -> Iterable[bytes]:
    """Yield words, shape (words,) or (words, values), as Verilator holds them."""
    values = np.asarray(words)
    if not len(values):
        return
    values = values.reshape(len(values), -1)
    value_width = width // values.shape[1]
    assert value_width * values.shape[1] == width, "the values share the payload evenly"
    assert values.min() >= 0, "words are not negative"
    assert int(values.max()) >> value_width == 0, "a value fits its part of the payload"
    places = np.arange(value_width, dtype=np.uint64)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = values[start : start + _ROWS_AT_ONCE].astype(np.uint64)
        bits = np.zeros((len(rows), 8 * _n_bytes(width)), np.uint8)
        bits[:, :width] = (rows[:, :, None] >> places & np.uint64(1)).reshape(len(rows), -1)
        yield np.packbits(bits, axis=1, bitorder="little").tobytes()


def _unpacked(
    payloads: NDArray[np.uint8], width: int, n_values: int, *, is_signed: bool
) -> NDArray[np.int64]:
    """Return the values of payloads, shape (payloads, bytes), as shape (payloads, values)."""
    value_width = width // n_values
    assert value_width * n_values == width, "the values share the payload evenly"
    weights = 1 << np.arange(value_width, dtype=np.int64)
    if is_signed:
        weights[-1] = -weights[-1]
    values = np.empty((len(payloads), n_values), np.int64)
    for start in range(0, len(payloads), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        bits = np.unpackbits(payloads[rows], axis=1, count=width, bitorder="little")
        values[rows] = bits.reshape(-1, n_values, value_width) @ weights
    return values


def _failure(
    ended: subprocess.CompletedProcess[str],
    n_loads: int,
    n_inputs: int,
    n_answers: int,
    limit: int,
) -> str:
    """Return what a run that did not end well says."""
    if ended.returncode not in (3, 4, 6):
        return f"The simulator ended with code {ended.returncode}: {ended.stderr.strip()}."
    loaded, taken, answered = map(int, ended.stdout.split())
    match ended.returncode:
        case 3 if loaded < n_loads:
            fault = f"for {limit:,} cycles it took none of what is loaded, after {loaded:,} of "
            fault += f"{n_loads:,} words"
        case 3:
            fault = f"nothing moved for {limit:,} cycles, after {taken:,} of {n_inputs:,} words "
            fault += f"were taken and {answered:,} of {n_answers:,} answers came"
        case 4:
            fault = f"answer {answered:,} changed while it was on offer"
        case _:
            fault = f"an answer came behind the {n_answers:,} expected"
    return f"The hardware breaks its contract: {fault}."
