"""The ladder: PyTorch = golden model = graph = Verilog = netlist = bitstream, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nomul.boards.catalog import Board
from nomul.boards.tool_chain import tool_chain
from nomul.hw.folding import fold
from nomul.hw.plan import Plan, plan
from nomul.hw.program import Program
from nomul.network import Network, UserError
from nomul.train.dataset import Dataset
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import MODULE_FILE
from nomul.verify.rung import Rung
from nomul.verify.samples import Samples
from nomul.verify.step import Finding

__all__ = ["FAST", "FULL", "Effort", "Subject", "rungs"]


@dataclass(frozen=True)
class Effort:
    """How much the steps compare at most; None: all samples.

    Attributes
    ----------
    evaluated
        Samples for what takes them together: PyTorch, graph, Verilog, netlists, programs, and the
        netlist and the bitstream of a board where 64 chips are simulated at once.
    folded
        Samples for the engine's Verilog.
    on_board
        Samples for the netlist and the bitstream of a board whose chip is simulated alone: that
        of an engine, and any other that has RAMs or what else is not modelled.
    proof_s
        Seconds for formal proofs.
    """

    evaluated: int | None
    folded: int | None
    on_board: int | None
    proof_s: float


FAST = Effort(1000, 200, 4, 30.0)
FULL = Effort(None, None, None, 600.0)


@dataclass(frozen=True, eq=False)
class Subject:
    """What is verified.

    Attributes
    ----------
    folded
        Whether the network is a program of the board's engine, or else unrolled.
    home
        Where the trained module's state is, if it is anywhere.
    experiment, dataset
        What the network was trained on, if that is known.
    """

    network: Network
    board: Board
    folded: bool
    home: Path
    experiment: Experiment | None = None
    dataset: Dataset | None = None

    @cached_property
    def plan(self) -> Plan:
        """How the network is unrolled.

        Raises
        ------
        UserError
            If it cannot be.
        """
        return plan(self.network, self.board.device, clock_mhz=self.board.clock_mhz)

    @cached_property
    def program(self) -> Program:
        """The network's program.

        Raises
        ------
        UserError
            If the engine does not hold it.
        """
        return fold(self.network, self.board.engine_settings)


def rungs(subject: Subject, effort: Effort) -> Iterator[Rung]:
    """Yield the steps in their order.

    Raises
    ------
    UserError
        If the network can be made no hardware of.
    """
    yield _reference(subject, effort)
    yield from _folded(subject, effort) if subject.folded else _unrolled(subject, effort)
    yield from _on_board(subject, effort)


def _reference(subject: Subject, effort: Effort) -> Rung:
    def make(folder: Path) -> None:
        state = subject.home / MODULE_FILE
        if subject.experiment is None or not state.is_file():
            raise UserError(
                f"There is no {MODULE_FILE} with its experiment.toml beside the network: "
                "`nomul train` leaves them."
            )
        (folder / MODULE_FILE).symlink_to(state.resolve())

    def check(folder: Path, samples: Samples) -> Finding:
        from nomul.verify.reference import torch_step

        experiment, dataset = subject.experiment, subject.dataset
        assert experiment is not None, "else there is nothing to check"
        assert dataset is not None, "an experiment has data"
        return torch_step(subject.network, samples, experiment, dataset, folder / MODULE_FILE)

    return Rung("PyTorch → network", make, check, (MODULE_FILE,), effort.evaluated)


def _unrolled(subject: Subject, effort: Effort) -> Iterator[Rung]:
    # Imported here: Amaranth and the simulators take their time.
    from nomul.verify.lowered import graph_step
    from nomul.verify.netlist import NETLIST, map_verilog, netlist_step
    from nomul.verify.rtl import VERILOG, emit_verilog, verilog_step

    plan, device = subject.plan, subject.board.device

    def map_(folder: Path) -> None:
        emit_verilog(plan, folder)
        map_verilog(device, folder)

    def prove(folder: Path, _: Samples) -> Finding:
        from nomul.verify.formal import prove

        name = "ecp5" if device.target.name == "ecp5" else device.name
        return prove(plan, name, folder, effort.proof_s)

    most = effort.evaluated
    yield Rung(
        "network → graph",
        _nothing,
        lambda _, samples: graph_step(plan, samples),
        samples_max=most,
        takes_directed=True,
    )
    yield Rung(
        "network → Verilog",
        lambda folder: emit_verilog(plan, folder),
        lambda folder, samples: verilog_step(plan, samples, folder),
        (VERILOG, "simulation/simulation.log"),
        most,
        takes_directed=True,
    )
    yield Rung(
        "network → netlist",
        map_,
        lambda folder, samples: netlist_step(plan, samples, folder),
        (VERILOG, NETLIST),
        most,
        takes_directed=True,
    )
    # Of the same Verilog and netlist; a proof takes no samples.
    yield Rung("Verilog = netlist, proved", _nothing, prove, (VERILOG, NETLIST), 1)


def _folded(subject: Subject, effort: Effort) -> Iterator[Rung]:
    from nomul.verify.folded import ENGINE, emit_engine_verilog, engine_step, program_step

    network, program = subject.network, subject.program
    yield Rung(
        "network → program",
        _nothing,
        lambda _, samples: program_step(network, program, samples),
        (),
        effort.evaluated,
    )
    yield Rung(
        "network → engine",
        lambda folder: emit_engine_verilog(program, folder),
        lambda folder, samples: engine_step(network, program, samples, folder),
        (ENGINE, "engine-simulation/simulation.log"),
        effort.folded,
    )


def _on_board(subject: Subject, effort: Effort) -> Iterator[Rung]:
    network, board, folded = subject.network, subject.board, subject.folded
    tools = tool_chain(board.device)

    def build(folder: Path) -> None:
        from nomul.verify.board import build_into

        build_into(folder / "build", board, subject.program if folded else subject.plan)

    def find_bitstream(folder: Path) -> None:
        if not (folder / "build" / f"{board.name}{tools.bitstream}").exists():
            raise UserError("There is no bitstream: the row above says why.")

    def check_netlist(folder: Path, samples: Samples) -> Finding:
        from nomul.verify.bitstream import board_netlist_step

        return board_netlist_step(
            network, samples, folder, board, folded=folded, alone_max=effort.on_board
        )

    def check_bitstream(folder: Path, samples: Samples) -> Finding:
        from nomul.verify.bitstream import bitstream_step

        return bitstream_step(
            network, samples, folder, board, folded=folded, alone_max=effort.on_board
        )

    suffixes = (".netlist.json", tools.bitstream, tools.constraints)
    files = (*(f"build/{board.name}{suffix}" for suffix in suffixes), "pins/simulation.log")
    most = effort.on_board if folded else effort.evaluated
    yield Rung("network → board netlist", build, check_netlist, files, most)
    yield Rung("network → bitstream", find_bitstream, check_bitstream, files, most)


def _nothing(_: Path) -> None:
    """Make nothing."""
