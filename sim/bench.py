"""The bench: hardware against the outputs that the golden model expects, cycle by cycle.

This module runs inside the simulator: :mod:`nomul.sim.runner` hands it a task and reads the report
that it leaves. Inputs change while the clock is low, and everything is sampled
just before the rising edge, when all has settled: so simulators agree, whatever order they
evaluate an edge in.
"""

from __future__ import annotations

import os
import random
from collections import deque
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from nomul.sim.exchange import Report, Task, pack, unpack, value_width
from nomul.sim.streams import Driver, FaultError, Monitor, bursts

__all__ = ["FOLDER_VARIABLE", "PORTS", "RUNS", "drive_and_compare"]

FOLDER_VARIABLE = "NOMUL_BENCH_FOLDER"
PORTS = ("clk", "rst", "i__payload", "i__valid", "i__ready", "o__payload", "o__valid", "o__ready")
CLOCKING = ("clk", "rst")  # hardware without a register has neither
RUNS = {
    "without stalls": (False, False),
    "with an idle source": (True, False),
    "with a stalling sink": (False, True),
    "with an idle source and a stalling sink": (True, True),
}

# A stalled run takes as many samples as about so many cycles hold: a design that needs thousands
# of cycles for a sample would otherwise spend most of the time on stalls.
STALLED_CYCLES = 20_000
STALLED_SAMPLES_MIN = 8


class Checker:
    """Compares outputs, in order, with those that the accepted inputs ask for."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.due: deque[tuple[int, int]] = deque()
        self.accepted: list[int] = []
        self.latencies: set[int] = set()
        self.wrong: dict[int, str] = {}

    def accept(self, cycle: int) -> None:
        self.due.append((len(self.accepted), cycle))
        self.accepted.append(cycle)

    def compare(self, cycle: int, word: str) -> None:
        if not self.due:
            raise FaultError(f"output {len(self.accepted)} came, which no input had asked for")
        number, start = self.due.popleft()
        self.latencies.add(cycle - start)
        if word != self.words[number]:
            self.wrong[number] = word

    def intervals(self) -> set[int]:
        """Cycles between accepted inputs."""
        return {b - a for a, b in zip(self.accepted, self.accepted[1:], strict=False)}


def check_ports(dut: Any, task: Task) -> int:
    """Return the width of one output value, in bits.

    Raises
    ------
    FaultError
        If a port is missing, or a payload has not the width that the network asks for.
    """
    for name in PORTS:
        if not hasattr(dut, name) and not (name in CLOCKING and task.latency_cycles == 0):
            raise FaultError(f"the top module has no port {name}")
    n_outputs = task.expected.shape[1]
    width = len(dut.o__payload)
    each = value_width(task.n_values) if task.n_values else max(1, width // n_outputs)
    for name, found, wanted in (
        ("i__payload", len(dut.i__payload), task.levels.shape[1] * value_width(task.n_levels)),
        ("o__payload", width, n_outputs * each),
    ):
        if found != wanted:
            raise FaultError(f"{name} has {found} bits, where the network asks for {wanted}")
    if not task.n_values:
        # Without this, a sum that overflows would agree with its own truncation.
        widest = int(np.where(task.expected < 0, ~task.expected, task.expected).max())
        if widest.bit_length() + 1 > each:
            raise FaultError(
                f"o__payload has {each} bits for an accumulator, where the samples ask for "
                f"{widest.bit_length() + 1}"
            )
    return each


async def run(dut: Any, task: Task, width: int, *, idle: bool, stall: bool) -> Checker:
    """Drive the samples once and return what was seen.

    Raises
    ------
    FaultError
        If a rule of the streams is broken, or nothing moves any more.
    """
    rng = random.Random(f"{task.seed} {idle} {stall}")  # noqa: S311
    n_samples = len(task.levels)
    if idle or stall:
        fitting = STALLED_CYCLES // task.initiation_interval
        n_samples = min(n_samples, max(STALLED_SAMPLES_MIN, fitting))
    longest = task.latency_cycles + task.initiation_interval + 1
    patience = 100 + 4 * longest
    driver = Driver(
        dut,
        pack(task.levels[:n_samples], value_width(task.n_levels)),
        bursts(rng, longest) if idle else repeat(False),
    )
    monitor = Monitor(dut, bursts(rng, longest) if stall else repeat(False), patient=stall)
    checker = Checker(pack(task.expected[:n_samples], width))

    half_period = Timer(1, "step")
    clk, rst = (getattr(dut, name, None) for name in CLOCKING)

    def put(port: Any, value: int) -> None:
        if port is not None:
            port.value = value

    dut.i__valid.value = dut.o__ready.value = 0
    dut.i__payload.value = "0" * len(dut.i__payload)
    put(rst, 1)
    for _ in range(2):
        put(clk, 0)
        await half_period
        put(clk, 1)
        await half_period
    put(rst, 0)

    cycle = moved = 0
    # The longest wait again after the last output: nothing more may come.
    while monitor.n_given < n_samples or cycle - moved <= longest:
        driver.drive()
        monitor.drive()
        put(clk, 0)
        await half_period
        if driver.takes():
            checker.accept(cycle)
            moved = cycle
        word = monitor.gives()
        if word is not None:
            checker.compare(cycle, word)
            moved = cycle
        put(clk, 1)
        await half_period
        cycle += 1
        if cycle - moved > patience:
            raise FaultError(_standstill(driver, monitor, patience))
    return checker


def _standstill(driver: Driver, monitor: Monitor, patience: int) -> str:
    if monitor.awaiting_offer and driver.n_taken:
        return (
            f"no output was offered in {patience} cycles while o__ready was low: "
            "o__valid must not wait for it"
        )
    if driver.n_taken == monitor.n_given:
        return (
            f"i__ready stayed low for {patience} cycles while sample {driver.n_taken} was offered"
        )
    return (
        f"{driver.n_taken} samples went in, {monitor.n_given} outputs came, "
        f"and then nothing moved for {patience} cycles"
    )


def _measured(quantity: str, found: set[int], promised: int) -> int:
    if found != {promised}:
        cycles = " to ".join(str(n) for n in sorted({min(found), max(found)}))
        raise FaultError(
            f"the measured {quantity} is {cycles}, the promised one {promised} (cycles)"
        )
    return promised


def _difference(expected: list[int], found: list[int | str]) -> str:
    output = next(k for k, value in enumerate(expected) if value != found[k])
    place = f", output {output}" if len(expected) > 1 else ""
    return f"{place}: expected {expected[output]}, got {found[output]}"


@cache
def _load() -> tuple[Path, Task, Report]:
    folder = Path(os.environ[FOLDER_VARIABLE])
    return folder, Task.load(folder), Report()


@cocotb.test()
@cocotb.parametrize(name=list(RUNS))
async def drive_and_compare(dut: Any, name: str) -> None:
    """Hold the hardware to its streams, its outputs and, without stalls, its timing."""
    folder, task, report = _load()
    idle, stall = RUNS[name]
    place = ""
    try:
        width = check_ports(dut, task)
        place = f"{name}, "
        checker = await run(dut, task, width, idle=idle, stall=stall)
        if checker.wrong and not report.first_mismatch:
            number, word = next(iter(checker.wrong.items()))
            report.first_mismatch = f"{name}, sample {number}" + _difference(
                task.expected[number].tolist(), unpack(word, width, signed=not task.n_values)
            )
        report.mismatches = sorted({*report.mismatches, *checker.wrong})
        if not (idle or stall):
            report.latency_cycles = _measured("latency", checker.latencies, task.latency_cycles)
            report.initiation_interval = _measured(
                "initiation interval", checker.intervals(), task.initiation_interval
            )
    except FaultError as fault:
        report.fault = report.fault or f"{place}{fault}"
    report.finished.append(name)
    report.save(folder)
    assert report.fault is None, report.fault
