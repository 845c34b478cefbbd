"""The command that takes a network through the ladder, with a fault planted at each step."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nomul.cli import verify as module
from nomul.cli.training import train_into
from nomul.hw.folding import fold
from nomul.hw.plan import Plan, plan
from nomul.hw.program import Program
from nomul.network import CheckFailed, Network, UserError
from nomul.sim.verilator import is_installed
from nomul.train.experiment_file import load_experiment
from nomul.verify import ladder
from nomul.verify.ladder import Effort, Subject
from nomul.verify.netlist import NETLIST
from nomul.verify.rtl import VERILOG
from nomul.verify.rung import Rung
from tests.cli.helpers import TINY, Answer, run, write_experiment
from tests.networks import dense_layers, random_network
from tests.verify.faults import SMALL, flip_outputs, with_fault_in_graph

Capsys = pytest.CaptureFixture[str]
needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what leaves all steps out but those named, and plants a fault behind the making."""

    def chosen(*names: str, fault: Callable[[Path], None] | None = None) -> None:
        def some(subject: Subject, effort: Effort) -> Iterator[Rung]:
            for rung in ladder.rungs(subject, effort):
                if rung.name in names:
                    yield rung if fault is None else _with_fault(rung, fault)

        monkeypatch.setattr(module, "rungs", some)

    return chosen


def _with_fault(rung: Rung, fault: Callable[[Path], None]) -> Rung:
    def make(folder: Path) -> None:
        rung.make(folder)
        fault(folder)

    return dataclasses.replace(rung, make=make)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.safetensors"
    SMALL.save(path)
    return path


def check_difference(answer: Answer, network: Path, name: str) -> str:
    """See that a difference is told, written down and shown again; return its words."""
    out = network.parent / "verify"
    assert answer.exit_code == 1
    result = answer.result
    assert result == json.loads((out / "verify.json").read_text())
    (step,) = (step for step in result["steps"] if step["name"] == name)
    assert step["status"] == "different"
    assert step["differences"] > 0
    first = step["first_difference"]
    folder = out / "different"
    assert result["reproducer"] == str(folder)
    assert answer.sentence == (f"{name} differs: {first}; `nomul verify {folder}` shows it again.")
    assert Network.load(folder / "network.safetensors") == Network.load(network)
    assert json.loads((folder / "difference.json").read_text())["first_difference"] == first
    return str(first)


def check_again(capsys: Capsys, network: Path, name: str) -> None:
    again = run(capsys, "verify", network.parent / "verify" / "different", "--json")
    assert again.exit_code == 1
    (step,) = again.result["steps"]
    assert (step["name"], step["status"], step["compared"]) == (name, "different", 1)
    assert again.sentence.startswith(f"{name} differs: sample 0, ")


def test_equal_steps_are_rows_of_a_table(
    network: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    choose("PyTorch → network", "network → graph", "network → netlist")
    answer = run(capsys, "verify", network, "--board", "icesugar")
    assert (answer.exit_code, answer.errors) == (0, "")
    title, _, header, *rows = answer.output.splitlines()
    assert title == f"{network} on MuseLab iCESugar, 1,000 samples of random levels"
    assert header.split() == ["step", "compared", "differences", "seconds"]
    torch_row, graph, netlist, _, title, _, *covered = rows
    assert title == "What 1,000 samples exercise"
    assert [line.partition(":")[0] for line in covered] == ["layers.0", "layers.1"]
    assert torch_row.startswith("PyTorch → network ")
    assert " skipped " in torch_row
    for row in (graph, netlist):
        assert row.split()[:6] == [*row.split()[:3], "1,000", "samples", "0"]
    result = json.loads((network.parent / "verify" / "verify.json").read_text())
    assert result["effort"] == "fast"
    assert result["reproducer"] is None
    assert [step["status"] for step in result["steps"]] == ["skipped", "equal", "equal"]
    assert list(result["steps"][0]) == [
        *("name", "compared", "differences", "seconds", "status"),
        *("unit", "detail", "first_difference"),
    ]
    assert {path.name for path in network.parent.iterdir()} == {"network.safetensors", "verify"}


def test_a_terminal_shows_the_step_that_is_taken(
    network: Path, choose: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    choose("network → graph")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    answer = run(capsys, "verify", network)
    assert answer.errors == f"{'network → graph':<26} ...\r"
    assert " ..." not in answer.output
    assert run(capsys, "verify", network, "--json").errors == ""


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A network of digits beside its experiment and the state of its module."""
    folder = tmp_path / "run"
    folder.mkdir()
    train_into(load_experiment(write_experiment(tmp_path, TINY)), folder)
    return folder / "network.safetensors"


def test_a_trained_network_is_compared_with_pytorch_on_its_own_data(
    trained: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    choose("PyTorch → network")
    answer = run(capsys, "verify", trained, "--full", "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    (step,) = answer.result["steps"]
    assert (step["status"], step["compared"], step["differences"]) == ("equal", 360, 0)
    assert answer.result["samples"].startswith("360 test samples of digits, and ")
    assert answer.result["effort"] == "full"


def test_a_network_that_is_not_what_was_trained_differs(
    trained: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    choose("PyTorch → network")
    network = Network.load(trained)
    first, last = dense_layers(network)
    bias = last.bias.copy()
    bias[3] += 1
    changed = dataclasses.replace(network, layers=(first, dataclasses.replace(last, bias=bias)))
    changed.save(trained)
    answer = run(capsys, "verify", trained, "--json")
    words = check_difference(answer, trained, "PyTorch → network")
    assert words.startswith("sample 0, layers.1, neuron 3, first at layers.1, neuron 3 (") or (
        words.startswith("sample 0, layers.1, neuron 3: expected ")
    )
    assert answer.result["steps"][0]["differences"] == 360
    check_again(capsys, trained, "PyTorch → network")


def test_data_of_other_features_are_refused(network: Path, capsys: Capsys) -> None:
    answer = run(capsys, "verify", network, "--data", "digits")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence.startswith("The network takes features of shape (3,), and 'digits' has")
    assert not (network.parent / "verify").exists()


def test_a_changed_graph_differs(
    network: Path,
    choose: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capsys,
) -> None:
    def wrong(*arguments: Any, **options: Any) -> Plan:
        right = plan(*arguments, **options)
        return dataclasses.replace(right, graph=with_fault_in_graph(right.graph)[0])

    monkeypatch.setattr(ladder, "plan", wrong)
    choose("network → graph")
    answer = run(capsys, "verify", network, "--json")
    words = check_difference(answer, network, "network → graph")
    assert ", first at layers.0, neuron " in words
    check_again(capsys, network, "network → graph")


@needs_verilator
def test_a_changed_verilog_differs(
    network: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    def fault(folder: Path) -> None:
        text = (folder / VERILOG).read_text()
        assert text.count("assign o__payload = ") == 1
        text = text.replace("assign o__payload = ", "assign o__payload = ~")
        (folder / VERILOG).write_text(text)

    choose("network → Verilog", fault=fault)
    answer = run(capsys, "verify", network, "--json")
    words = check_difference(answer, network, "network → Verilog")
    expected, found = (int(word.split()[-1]) for word in words.split(": ")[1].split(","))
    assert words.startswith("sample 0, layers.1, neuron 0, without stalls: ")
    assert found == ~expected
    check_again(capsys, network, "network → Verilog")


def test_a_flipped_table_of_the_netlist_differs(
    network: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    choose("network → netlist", fault=lambda folder: flip_outputs(folder / NETLIST))
    answer = run(capsys, "verify", network, "--json")
    words = check_difference(answer, network, "network → netlist")
    assert words.startswith("sample 0, layers.1, neuron ")
    different = network.parent / "verify" / "different"
    assert {path.name for path in different.iterdir()} == {
        *("difference.json", "network.safetensors", "samples.npz", VERILOG, NETLIST),
    }
    check_again(capsys, network, "network → netlist")


def test_a_changed_program_differs(
    network: Path,
    choose: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capsys,
) -> None:
    def wrong(*arguments: Any) -> Program:
        program = fold(*arguments)
        biases = program.biases.copy()
        biases[-1] += 1
        return dataclasses.replace(program, biases=biases)

    monkeypatch.setattr(ladder, "fold", wrong)
    choose("network → program")
    answer = run(capsys, "verify", network, "--folded", "--json")
    words = check_difference(answer, network, "network → program")
    assert words.startswith("sample 0, layers.1, neuron 2: expected ")
    check_again(capsys, network, "network → program")


def test_what_is_equal_again_is_said_so(
    network: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    choose("network → netlist", fault=lambda folder: flip_outputs(folder / NETLIST))
    assert run(capsys, "verify", network).exit_code == 1
    different = network.parent / "verify" / "different"
    flip_outputs(different / NETLIST)
    answer = run(capsys, "verify", different)
    assert (answer.exit_code, answer.errors) == (0, "")
    header, row = answer.output.splitlines()
    assert header.split() == ["step", "compared", "differences", "seconds"]
    assert row.split()[:6] == ["network", "→", "netlist", "1", "samples", "0"]


def test_a_network_that_fits_no_board_skips_what_needs_one(
    tmp_path: Path, choose: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.setenv("ICEPACK", "no-such-program")
    path = tmp_path / "network.safetensors"
    random_network((3, 2), (2,)).save(path)
    choose("network → board netlist", "network → bitstream")
    answer = run(capsys, "verify", path, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    netlist, bitstream = answer.result["steps"]
    assert netlist["status"] == bitstream["status"] == "skipped"
    assert "ICEPACK" in netlist["detail"]
    assert bitstream["detail"] == "There is no bitstream: the row above says why."


def test_a_network_that_an_engine_does_not_hold_is_refused_with_a_board_that_does(
    tmp_path: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    path = tmp_path / "network.safetensors"
    random_network((5, 40, 3), (2, 2)).save(path)
    choose("network → program")
    answer = run(capsys, "verify", path, "--folded", "--board", "ice40-hx8k")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "The network needs 40 sets of thresholds, and the engine has 32, 8 too few: what helps is "
        "training without batch_norm, which has one set a layer, or an engine with more; the "
        "engine of icebreaker and icesugar holds the network as it is."
    )
    assert list(tmp_path.iterdir()) == [path]
    for board in ("icebreaker", "icesugar"):
        named = run(capsys, "verify", path, "--folded", "--board", board, "--json")
        assert (named.exit_code, named.errors) == (0, "")
        assert [step["status"] for step in named.result["steps"]] == ["equal"]


@pytest.mark.slow
@needs_verilator
def test_the_whole_ladder_is_equal(trained: Path, capsys: Capsys) -> None:
    answer = run(capsys, "verify", trained, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    *steps, bitstream = answer.result["steps"]
    assert len(steps) == 6
    assert [step["status"] for step in steps] == ["equal"] * 6
    if shutil.which("icebox_vlog"):
        assert bitstream["status"] == "equal"
    else:
        assert bitstream["status"] == "skipped"
        assert "apt install" in bitstream["detail"]


def test_a_step_that_cannot_be_taken_again_is_said_so(
    network: Path,
    choose: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capsys,
) -> None:
    choose("network → Verilog", fault=lambda folder: (folder / VERILOG).write_text("module top("))
    assert run(capsys, "verify", network).exit_code == 1
    monkeypatch.setattr("nomul.sim.verilator.check_verilator", _missing)
    different = network.parent / "verify" / "different"
    answer = run(capsys, "verify", different)
    assert answer.exit_code == 2
    assert answer.sentence == "network → Verilog cannot be taken again here: It is not there."


def _missing() -> None:
    raise UserError("It is not there.")


@pytest.mark.parametrize(
    ("name", "content"), [("samples.npz", b"PK"), ("difference.json", b'{"step": "none"}')]
)
def test_a_damaged_reproducer_is_refused(
    name: str, content: bytes, network: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    choose("network → netlist", fault=lambda folder: flip_outputs(folder / NETLIST))
    assert run(capsys, "verify", network).exit_code == 1
    different = network.parent / "verify" / "different"
    (different / name).write_bytes(content)
    answer = run(capsys, "verify", different)
    assert (answer.exit_code, answer.output) == (2, "")
    assert str(different) in answer.sentence


def test_a_build_that_fails_its_checks_fails_them_again(
    network: Path, choose: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    def fail(*_: Any) -> None:
        raise CheckFailed("The netlist has multipliers.")

    monkeypatch.setattr("nomul.verify.board.build", fail)
    choose("network → board netlist")
    assert run(capsys, "verify", network).exit_code == 1
    answer = run(capsys, "verify", network.parent / "verify" / "different")
    assert answer.exit_code == 1
    assert answer.sentence == "network → board netlist differs: The netlist has multipliers.."


def test_directed_samples_are_compared_where_all_are(
    network: Path, choose: Callable[..., None], capsys: Capsys
) -> None:
    choose("network → graph")
    fast, full = (
        run(capsys, "verify", network, effort, "--json") for effort in ("--fast", "--full")
    )
    assert fast.result["steps"][0]["compared"] == 1000
    assert full.result["steps"][0]["compared"] > 10_000
    assert full.result["samples"].endswith(" that lead hardware to its edges")
