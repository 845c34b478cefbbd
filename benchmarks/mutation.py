"""Break hardware in known ways, and see which checks notice. Run from the root::

    python -m benchmarks.mutation

trains the networks and writes docs/mutation.md and docs/mutation.json.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.mutation_networks import ENGINE, SKIPPING, engine_networks
from benchmarks.mutation_page import Outcome, Verdict, write_page
from nomul.cli.training import train_discretized
from nomul.hw.area import measure_area
from nomul.hw.engine import Engine
from nomul.hw.engine_settings import EngineSettings
from nomul.hw.engine_verilog import emit_engine
from nomul.hw.folding import fold
from nomul.hw.plan import Plan, plan
from nomul.hw.program import Program
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import emit
from nomul.network import CheckFailed, Network, Output
from nomul.network.files import write_complete
from nomul.network.shapes import level_width
from nomul.sim.batch import BatchSimulator, build_batch
from nomul.sim.circuit import Circuit
from nomul.sim.folded import run_folded
from nomul.sim.golden import evaluate_levels, input_levels
from nomul.sim.interpreter import execute, sample_cycles
from nomul.train import load_dataset, load_experiment
from nomul.verify.directed import directed_levels
from nomul.verify.effect import Effect, design_effects, graph_effects
from nomul.verify.formal import prove
from nomul.verify.mutants import Mutant, drawn, graph_mutants, program_mutants
from nomul.verify.netlist import NETLIST
from nomul.verify.netlist_mutants import BROKEN, LutBit, lut_bits, with_broken_bits
from nomul.verify.schemata import (
    SELECTED,
    Fault,
    choose,
    design_faults,
    read_design,
    split_design,
    write_design,
)
from nomul.verify.step import Status

WORK = Path("runs/mutation")
SEED = 0
STALLS_SEED = 1
PROOF_S = 60.0

Levels = NDArray[np.int64]


def main() -> int:
    WORK.mkdir(parents=True, exist_ok=True)
    steps = (graph_step, verilog_step, netlist_step, program_steps, engine_step, skipping_step)
    with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        outcomes = [outcome for found in pool.map(taken, steps) for outcome in found]
    rows = ",\n".join(json.dumps(dataclasses.asdict(outcome)) for outcome in outcomes)
    content = f'{{"command": "python -m benchmarks.mutation", "mutants": [\n{rows}\n]}}\n'
    write_complete(Path("docs/mutation.json"), content)
    write_complete(Path("docs/mutation.md"), write_page(outcomes))
    return 0


def taken(step: Callable[[], Iterator[Outcome]]) -> list[Outcome]:
    """Return what comes of a step, and tell how long it takes."""
    started = time.perf_counter()
    outcomes = list(step())
    print(f"{step.__name__}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return outcomes


@functools.cache
def trained(name: str) -> tuple[Network, Levels]:
    """Return an example's network, and the levels of its test part."""
    experiment = load_experiment(Path(f"examples/{name}.toml"))
    dataset = load_dataset(experiment.data.name)
    network = train_discretized(experiment, dataset).network
    return network, input_levels(network, dataset.test_features[:])


def all_samples(network: Network, test: Levels) -> tuple[Levels, int]:
    """Return the test samples and behind them the directed ones, mixed; and how many are tests."""
    directed = directed_levels(network, SEED)
    order = np.random.default_rng(SEED).permutation(len(directed))
    return np.concatenate([test, directed[order]]), len(test)


def chunks(n_test: int, n_samples: int) -> Iterator[tuple[str, slice]]:
    """Yield the test part, and then more and more of the others: most mutants need few."""
    yield "test part", slice(0, n_test)
    start, size = n_test, 512
    while start < n_samples:
        yield "directed", slice(start, start + size)
        start, size = start + size, 4 * size


def explained(effect: Effect) -> tuple[Verdict, str]:
    """Return verdict and reason for a mutant that no sample showed."""
    if not isinstance(effect, str):
        return "survived", "a SAT solver knows a sample that shows it, the directed search does not"
    if effect == "none":
        return "equivalent", "proved for all levels"
    return "survived", f"neither shown nor proved in {PROOF_S:.0f} s"


def graph_step() -> Iterator[Outcome]:
    """Network → graph: its evaluation against the golden model."""
    network, test = trained("digits")
    levels, n_test = all_samples(network, test)
    expected = evaluate_levels(network, levels).reshape(len(levels), -1)
    graph = plan(network).graph
    step = "graph, evaluated"
    survivors = []
    for mutant in drawn(graph_mutants(graph), 100, SEED):
        broken = mutant.make()
        for part, rows in chunks(n_test, len(levels)):
            if (broken.evaluate(levels[rows]) != expected[rows]).any():
                yield Outcome(step, mutant.kind, mutant.place, "killed", part)
                break
        else:
            survivors.append(mutant)
    broken_ones = [mutant.make() for mutant in survivors]
    effects = graph_effects(graph, broken_ones, network.n_inputs, PROOF_S)
    for mutant, effect in zip(survivors, effects, strict=True):
        yield Outcome(step, mutant.kind, mutant.place, *explained(effect))


def some(faults: Sequence[Fault], n_each: int) -> list[Fault]:
    """Return up to so many faults of each kind."""
    kept = [Mutant(fault.kind, fault.place, lambda f=fault: f) for fault in faults]  # type: ignore[misc]
    return [mutant.make() for mutant in drawn(kept, n_each, SEED)]


def verilog_step() -> Iterator[Outcome]:
    """Network → Verilog: simulated without stalls, which shows the latency too, and with them."""
    network, test = trained("digits")
    levels, n_test = all_samples(network, test)
    expected = evaluate_levels(network, levels).ravel()
    made = plan(network, n_stages=3)
    with TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        module = read_design(emit(Unrolled(made)), folder)
        faults = some(list(design_faults(module, is_feed_forward=True)), 50)
        simulator = build_batch(write_design(module, faults, folder), folder)

        def is_right(rows: slice, seed: int) -> bool:
            try:
                inputs = levels[rows]
                batch = simulator.run(inputs, len(inputs), limit=100, seed=seed, is_signed=False)
            except CheckFailed:
                return False
            delays = batch.answer_cycles - batch.input_cycles
            in_time = bool(seed) or bool((delays == made.latency).all())
            return in_time and bool((batch.answers[:, 0] == expected[rows]).all())

        choose(0, folder)
        assert is_right(slice(None), 0), "without a fault all is well"
        assert is_right(slice(None), STALLS_SEED), "without a fault all is well"
        runs = [(f"{part}, no stalls", rows, 0) for part, rows in chunks(n_test, len(levels))]
        # As the ladder does; what follows is beyond it.
        runs.insert(1, ("test part, stalls", slice(0, n_test), STALLS_SEED))
        runs.append(("directed, stalls", slice(n_test, None), STALLS_SEED))
        survivors = []
        for number, fault in enumerate(faults, 1):
            choose(number, folder)
            part = next((part for part, rows, seed in runs if not is_right(rows, seed)), None)
            if part is None:
                survivors.append(number)
            else:
                yield Outcome("unrolled Verilog", fault.kind, fault.place, "killed", part)
        yield from without_effect("unrolled Verilog", faults, survivors, folder)


def without_effect(
    step: str, faults: Sequence[Fault], survivors: Sequence[int], folder: Path
) -> Iterator[Outcome]:
    """Yield what is proved of the faults, by number, that nothing showed in a design."""
    proofs = design_effects(split_design(folder), SELECTED, survivors, PROOF_S)
    for number, is_proved in zip(survivors, proofs, strict=True):
        fault = faults[number - 1]
        verdict: Verdict = "equivalent" if is_proved else "survived"
        by = "proved for every state" if is_proved else "no sample shows it, and no proof"
        yield Outcome(step, fault.kind, fault.place, verdict, by)


def netlist_step() -> Iterator[Outcome]:
    """Verilog → netlist: the mapped cells, evaluated."""
    network, test = trained("digits-small")
    levels, n_test = all_samples(network, test)
    expected = evaluate_levels(network, levels)
    places = np.arange(level_width(network.input.n_levels))
    payload = (levels[:, :, None] >> places & 1).reshape(len(levels), -1).astype(np.bool_)
    made = plan(network)
    with TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        measure_area(emit(Unrolled(made)), "top", "ice40", folder, fast=True)
        netlist = json.loads((folder / "top.ice40.json").read_text())
        every = [
            Mutant("LUT_INIT bit", f"{bit.cell}, bit {bit.address}", lambda b=bit: b)  # type: ignore[misc]
            for bit in lut_bits(netlist, "top")
        ]
        left = drawn(every, 600, SEED)
        for part, rows in chunks(n_test, len(levels)):
            schema = with_broken_bits(netlist, "top", [mutant.make() for mutant in left])
            (folder / "broken.json").write_text(json.dumps(schema))
            circuit = Circuit(folder / "broken.json", "top")
            is_killed = [
                _is_wrong(circuit, k, payload[rows], expected[rows], made.latency)
                for k in range(len(left))
            ]
            for mutant, killed in zip(left, is_killed, strict=True):
                if killed:
                    yield Outcome("netlist", mutant.kind, mutant.place, "killed", part)
            left = [mutant for mutant, killed in zip(left, is_killed, strict=True) if not killed]
    assert _proof(made, netlist) == "equal", "without a fault all is proved"
    for mutant in left:
        verdict, by = _OF_PROOF[_proof(made, _with_broken_bit(netlist, mutant.make()))]
        yield Outcome("netlist", mutant.kind, mutant.place, verdict, by)


_OF_PROOF: Mapping[Status, tuple[Verdict, str]] = {
    "different": ("killed", "proof"),
    "equal": ("equivalent", "proved for every state"),
    "not proved": ("survived", f"neither shown nor proved in {PROOF_S:.0f} s"),
}


def _proof(made: Plan, netlist: Mapping[str, Any]) -> Status:
    """Return what the ladder's proof, which comes behind the samples, says of a netlist."""
    with TemporaryDirectory(dir=WORK) as name:
        (Path(name) / NETLIST).write_text(json.dumps(netlist))
        return prove(made, "up5k", Path(name), PROOF_S).status


def _with_broken_bit(netlist: Mapping[str, Any], bit: LutBit) -> Mapping[str, Any]:
    broken = copy.deepcopy(netlist)
    parameters = broken["modules"]["top"]["cells"][bit.cell]["parameters"]
    table = int(parameters["LUT_INIT"], 2) ^ 1 << bit.address
    parameters["LUT_INIT"] = f"{table:016b}"
    return broken


def _is_wrong(
    circuit: Circuit,
    broken: int,
    payload: NDArray[np.bool_],
    expected: NDArray[np.int64],
    latency: int,
) -> bool:
    held = {"i__valid": 1, "o__ready": 1, BROKEN: 1 << broken}
    found = circuit.evaluate({"i__payload": payload}, latency, held)
    answers = found["o__payload"] @ (1 << np.arange(found["o__payload"].shape[1]))
    return not bool(found["o__valid"].all() and (answers == expected).all())


# A pass of the digits is dense: its loops count no lines. Those of heartbeats have all but pooling.
_OF_PASSES = ("loop count", "loop step", "start or edge", "pass flag", "idle cycles")

# Of these the interpreter knows nothing: they say when the engine may go on.
_OF_TIME = ("idle", "is_last")


def summing(network: Network) -> Network:
    """Return the network with all its last sums for an answer: a class hides what changes them."""
    return dataclasses.replace(network, output=Output("accumulators"))


def program_steps() -> Iterator[Outcome]:
    """Network → program, by the interpreter; program → Verilog, by the engine that runs it."""
    with TemporaryDirectory(dir=WORK) as name:
        simulator = build_batch(emit_engine(Engine(ENGINE)), Path(name))
        for own, kinds in (("digits", None), ("heartbeats-tiny-folded", _OF_PASSES)):
            network, test = trained(own)
            network = summing(network)
            program = fold(network, ENGINE)
            rng = np.random.default_rng(SEED)
            uniform = rng.integers(0, network.input.n_levels, (2000, network.n_inputs))
            levels = np.concatenate([test[:10], uniform])
            if own == "digits":
                directed = rng.permutation(directed_levels(network, SEED))
                levels = np.concatenate([test[:10], uniform[:10], directed])
            mutants = [
                mutant
                for mutant in drawn(program_mutants(program), 10, SEED)
                if kinds is None or mutant.kind in kinds
            ]
            for mutant in mutants:
                if not any(f", {field}" in mutant.place for field in _OF_TIME):
                    yield _interpreted(mutant, own, network, levels)
            for mutant in mutants:
                yield _run_on_engine(simulator, mutant, own, network, program, levels)


def _interpreted(mutant: Mutant[Program], own: str, network: Network, levels: Levels) -> Outcome:
    step, broken = "program, interpreted", mutant.make()
    place = f"{own}: {mutant.place}"
    n_samples = 1000 if own == "digits" else 100
    expected = evaluate_levels(network, levels[:n_samples])[:, broken.output_order]
    try:
        answers = execute(broken, levels[:n_samples]).answers
    except (IndexError, ValueError) as error:
        return Outcome(step, mutant.kind, place, "killed", type(error).__name__)
    if not np.array_equal(answers, expected):
        return Outcome(step, mutant.kind, place, "killed", "answers")
    return Outcome(step, mutant.kind, place, "survived", f"{n_samples} samples")


def _run_on_engine(
    simulator: BatchSimulator,
    mutant: Mutant[Program],
    own: str,
    network: Network,
    sound: Program,
    levels: Levels,
) -> Outcome:
    step, broken = "program, on the engine", mutant.make()
    place = f"{own}: {mutant.place}"
    for n_samples in (4, 200, 4000):
        try:
            result = run_folded(simulator, network, broken, levels[:n_samples], seed=STALLS_SEED)
        except (CheckFailed, IndexError, AssertionError) as error:
            return Outcome(step, mutant.kind, place, "killed", str(error))
        if result.mismatches:
            return Outcome(step, mutant.kind, place, "killed", "answers")
        if result.cycles_per_sample != sample_cycles(sound):
            return Outcome(step, mutant.kind, place, "killed", "time")
    return Outcome(step, mutant.kind, place, "survived", f"{len(levels[:n_samples]):,} samples")


def engine_step() -> Iterator[Outcome]:
    """Program → Verilog: the engine itself, with programs that use what it has."""
    return broken_engine("engine's Verilog", ENGINE)


def skipping_step() -> Iterator[Outcome]:
    """Program → Verilog: an engine that skips zeros."""
    return broken_engine("engine's Verilog, zeros skipped", SKIPPING)


def broken_engine(step: str, settings: EngineSettings) -> Iterator[Outcome]:
    """Yield what becomes of an engine's mutants."""
    runs = []
    rng = np.random.default_rng(SEED)
    for own in ("digits", "heartbeats-tiny-folded"):
        network, test = trained(own)
        runs.append((own, network, fold(network, settings), test[:12]))
    for own, network in engine_networks(settings).items():
        levels = rng.integers(0, network.input.n_levels, (6, network.n_inputs))
        levels[1::2] *= rng.integers(0, 2, levels[1::2].shape)
        runs.append((own, network, fold(network, settings), levels))
    with TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        module = read_design(emit_engine(Engine(settings)), folder)
        faults = some(list(design_faults(module, is_feed_forward=False)), 20)
        simulator = build_batch(write_design(module, faults, folder), folder)

        def caught() -> str | None:
            for own, network, program, levels in runs:
                try:
                    found = run_folded(simulator, network, program, levels, seed=STALLS_SEED)
                except CheckFailed as error:
                    return f"{own}: {error}"
                if found.first_mismatch:
                    return f"{own}: {found.first_mismatch}"
            return None

        choose(0, folder)
        assert caught() is None, "without a fault all is well"
        survivors = []
        for number, fault in enumerate(faults, 1):
            choose(number, folder)
            by = caught()
            if by is None:
                survivors.append(number)
            else:
                yield Outcome(step, fault.kind, fault.place, "killed", by)
        yield from without_effect(step, faults, survivors, folder)


if __name__ == "__main__":
    sys.exit(main())
