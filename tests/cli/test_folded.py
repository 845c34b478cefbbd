"""The commands of the folded engine, against a board that is a stand-in at a socket."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nomul.boards import build as builds
from nomul.boards.build import BuildReport
from nomul.boards.catalog import Board, find_board
from nomul.boards.engine_protocol import program_requests, signature
from nomul.boards.protocol import FrameDecoder
from nomul.hw.folding import fold
from nomul.hw.program import Program
from nomul.hw.program_image import load_words
from nomul.network import Network, UserError
from nomul.sim.golden import evaluate
from nomul.sim.interpreter import sample_cycles
from nomul.train.data import load_dataset
from tests.boards.engine_stand_in import EngineStandIn, StandInLine, served
from tests.cli.helpers import digits_network, picture_network, run, run_without
from tests.networks import random_network

Capsys = pytest.CaptureFixture[str]
SETTINGS = find_board("icebreaker").engine_settings


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return digits_network(tmp_path)


def stand_in(path: Path) -> EngineStandIn:
    return EngineStandIn(fold(Network.load(path), SETTINGS), signature(SETTINGS))


def test_fold_tells_cycles_and_use(tmp_path: Path, capsys: Capsys) -> None:
    path = digits_network(tmp_path, picture_network())
    answer = run(capsys, "fold", path, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    cycles = sample_cycles(fold(picture_network(), SETTINGS))
    products = 2 * 9 * 2 * 2 + 3 * 8
    assert answer.result == {
        "board": "icebreaker",
        "lanes": 16,
        "most_cycles_per_sample": cycles,
        "least_samples_per_second": round(12e6 / cycles, 1),
        "least_products_per_cycle": round(products / cycles, 2),
        "least_lane_use": round(products / cycles / 16, 4),
        "memory": {
            "levels_held": {"used": 16 + 8, "available": 6144},
            "weight_words": {"used": 12 + 8, "available": 16384},  # each pass begins with a group
            "product_tables": {"used": 2, "available": 15},
            "threshold_sets": {"used": 2, "available": 192},
            "biases": {"used": 2 + 3, "available": 256},
            "program_words": {"used": 1 + 2 * 40, "available": 1024},
        },
    }


def test_fold_prints_a_line_for_each_memory(network: Path, capsys: Capsys) -> None:
    result = run(capsys, "fold", network, "--json", "--board", "ice40-hx8k").result
    lines = run(capsys, "fold", network, "--board", "ice40-hx8k").output.splitlines()
    found = dict(line.split(maxsplit=1) for line in lines)
    memory = result.pop("memory")
    assert found == {key: str(value) for key, value in result.items()} | {
        name: f"{entries['used']:,} of {entries['available']:,}" for name, entries in memory.items()
    }


def test_fold_writes_the_frames_that_load_the_program(
    network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    path = tmp_path / "new" / "digits.program"
    answer = run(capsys, "fold", network, "-o", path, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    content = path.read_bytes()
    assert (answer.result["program"], answer.result["bytes"]) == (str(path), len(content))
    program = fold(Network.load(network), SETTINGS)
    assert FrameDecoder().feed(content) == list(program_requests(program))
    assert [entry.name for entry in path.parent.iterdir()] == ["digits.program"]


@pytest.mark.parametrize("command", ["fold", "build", "program", "run"])
def test_a_network_that_does_not_fit_is_refused_before_anything_happens(
    command: str, tmp_path: Path, capsys: Capsys
) -> None:
    path = digits_network(tmp_path, random_network((64, 300, 10), (2, 2)))
    out = tmp_path / "out"
    options: dict[str, list[object]] = {
        "fold": ["-o", out],
        "build": ["--folded", "--out", out],
        "program": ["--port", "/dev/no-such-port"],
        "run": ["--port", "/dev/no-such-port"],
    }
    answer = run(capsys, command, path, *options[command])
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == (
        "The network needs 310 biases, and the engine has 256, 54 too few: what helps is fewer "
        "channels or neurons, or an engine with more biases; the engine of ulx3s-85f holds the "
        "network as it is."
    )
    assert not out.exists()
    named = run(capsys, "fold", path, "--board", "ulx3s-85f")
    assert (named.exit_code, named.errors) == (0, "")


@pytest.mark.parametrize("command", ["fold", "program", "run"])
def test_an_unknown_board_is_named(command: str, network: Path, capsys: Capsys) -> None:
    port = () if command == "fold" else ("--port", "loop://")
    answer = run(capsys, command, network, "--board", "icebraker", *port)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence.startswith("Unknown board 'icebraker': did you mean 'icebreaker'?")


@pytest.mark.parametrize("command", ["program", "run"])
def test_a_port_is_needed_and_must_be_there(command: str, network: Path, capsys: Capsys) -> None:
    answer = run(capsys, command, network)
    assert answer.exit_code == 2
    assert answer.sentence == (
        f"The following arguments are required: --port: see `nomul {command} --help`."
    )
    answer = run(capsys, command, network, "--port", "/dev/no-such-port")
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == ("Cannot open the port /dev/no-such-port: No such file or directory.")


def test_a_program_is_loaded_over_the_port(network: Path, capsys: Capsys) -> None:
    board = stand_in(network)
    with served(StandInLine(board)) as port:
        answer = run(capsys, "program", network, "--port", port, "--json")
    assert answer.exit_code == 0
    n_bytes = answer.result["bytes"]
    assert answer.errors == f"{n_bytes:,} bytes go to {port}: about {-(-n_bytes // 11520)} s.\n"
    assert list(answer.result) == ["port", "bytes", "seconds"]
    assert board.runs
    assert sorted((*place, word) for place, word in board.loaded.items()) == sorted(
        load_words(board.program)
    )


@pytest.mark.parametrize(
    ("change", "exit_code", "sentence"),
    [
        (lambda board: setattr(board, "signature", 7), 2, "The program is for an engine of other"),
        (lambda board: setattr(board, "reply", lambda _: b"x"), 2, "What answers is no folded"),
    ],
    ids=["foreign", "no engine"],
)
def test_a_refusal_is_one_sentence(
    change: object, exit_code: int, sentence: str, network: Path, capsys: Capsys
) -> None:
    board = stand_in(network)
    assert callable(change)
    change(board)
    with served(StandInLine(board)) as port:
        answer = run(capsys, "program", network, "--port", port)
    said, _, explained = answer.errors.partition("\n")
    assert "bytes go to" in said
    assert (answer.exit_code, answer.output) == (exit_code, "")
    assert explained.startswith(f"nomul: {sentence}")
    assert explained.count("\n") == 1


def test_a_line_that_changes_what_is_sent_fails_the_check(network: Path, capsys: Capsys) -> None:
    board = stand_in(network)
    reply = board.reply

    def changed(request: bytes) -> bytes | None:
        return reply(request[:-1] + b"\0" if request[1] == 3 else request)

    board.reply = changed  # type: ignore[method-assign]
    with served(StandInLine(board)) as port:
        answer = run(capsys, "program", network, "--port", port)
    assert answer.exit_code == 1
    assert answer.errors.splitlines()[-1] == (
        "nomul: What arrived is not what was sent, so the board does not run it: load the program "
        "again."
    )


def test_samples_are_brought_and_compared(network: Path, capsys: Capsys) -> None:
    board = stand_in(network)
    board.runs = True
    dataset = load_dataset("digits")
    assert dataset.test_classes is not None
    answers = evaluate(Network.load(network), dataset.test_features[:20])
    with served(StandInLine(board)) as port:
        answer = run(capsys, "run", network, "--port", port, "--samples", 20, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    result = answer.result
    assert result.pop("seconds") > 0
    assert result == {
        "port": port,
        "samples": 20,
        "mismatches": 0,
        "correct": int((answers == dataset.test_classes[:20]).sum()),
        "cycles": 0,
    }


def test_other_answers_than_the_golden_models_fail_the_check(
    network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    other = random_network((64, 3, 10), (2, 2), seed=1)
    (tmp_path / "other").mkdir()
    board = stand_in(digits_network(tmp_path / "other", other))
    board.runs = True
    features = load_dataset("digits").test_features[:20]
    expected, got = evaluate(Network.load(network), features), evaluate(other, features)
    wrong = np.flatnonzero(expected != got)
    with served(StandInLine(board)) as port:
        answer = run(capsys, "run", network, "--port", port, "--samples", 20, "--json")
    assert answer.exit_code == 1
    assert answer.result["mismatches"] == len(wrong) > 0
    first = wrong[0]
    assert answer.sentence == (
        f"The board differs from the golden model: sample {first}, answer 0: expected "
        f"{expected[first]}, got {got[first]}."
    )


def test_samples_for_a_board_without_a_program_are_refused(network: Path, capsys: Capsys) -> None:
    with served(StandInLine(stand_in(network))) as port:
        answer = run(capsys, "run", network, "--port", port)
    assert (answer.exit_code, answer.output) == (2, "")
    assert answer.sentence == "The board has no program yet: load one with `nomul program`."


@pytest.mark.parametrize("name", ["icesugar", "ulx3s-25f"])
def test_a_build_puts_the_program_beside_the_bitstream(
    name: str, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    kept = []

    def build_engine(board: Board, out: Path, program: Program) -> BuildReport:
        kept.append(program)
        out.mkdir()
        bitstream = out / f"{board.name}.bin"
        bitstream.write_bytes(b"bits")
        seconds = {"synthesis": 1.0}
        return BuildReport(
            board.name, "up5k", 1, 2, 3, 4, 5, 6, 0, 0, 20.0, 12.0, bitstream, 4, seconds
        )

    monkeypatch.setattr(builds, "build_engine", build_engine)
    out = tmp_path / "out"
    answer = run(capsys, "build", network, "--board", name, "--folded", "--out", out, "--json")
    assert (answer.exit_code, answer.errors) == (0, "")
    assert answer.result["bitstream"] == str(out / f"{name}.bin")
    assert answer.result["program"] == str(out / f"{name}.program")
    frames = (out / f"{name}.program").read_bytes()
    program = fold(Network.load(network), find_board(name).engine_settings)
    assert FrameDecoder().feed(frames) == list(program_requests(program))
    assert list(program_requests(kept[0])) == list(program_requests(program))
    # The weights of the other one are in the bitstream.
    files = {"icesugar": ["bin", "flash.bin", "program"], "ulx3s-25f": ["bin", "program"]}[name]
    assert {path.name for path in out.iterdir()} == {f"{name}.{suffix}" for suffix in files}
    if name == "icesugar":
        image = (out / "icesugar.flash.bin").read_bytes()
        assert answer.result["flash"] == str(out / "icesugar.flash.bin")
        assert image == b"bits" + b"\xff" * (0x40000 - 4) + frames


def test_a_build_that_fails_writes_no_program(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    def build_engine(*_: object) -> BuildReport:
        raise UserError("It does not fit.")

    monkeypatch.setattr(builds, "build_engine", build_engine)
    answer = run(capsys, "build", network, "--folded", "--out", tmp_path / "out")
    assert (answer.exit_code, answer.sentence) == (2, "It does not fit.")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [["--pipeline", "2"], ["--clock", "20"], ["--lower", "layers.0=plain"]]
)
def test_a_folded_build_takes_no_option_of_unrolling(
    options: list[str], network: Path, tmp_path: Path, capsys: Capsys
) -> None:
    answer = run(capsys, "build", network, "--folded", "--out", tmp_path / "out", *options)
    assert answer.exit_code == 2
    assert answer.sentence == (
        "--pipeline, --clock and --lower say how a network is unrolled, and --folded that it is "
        "not: leave them out, or it."
    )


def test_a_machine_without_pyserial_is_told_what_installs_it(network: Path) -> None:
    answer = run_without(("serial",), "program", network, "--port", "loop://")
    assert answer.exit_code == 2
    assert answer.sentence == 'serial is not installed: run `pip install "nomul[build]"`.'


def test_networks_are_folded_and_loaded_without_pytorch_and_amaranth(network: Path) -> None:
    hidden = ("torch", "amaranth", "amaranth_boards")
    assert run_without((*hidden, "serial"), "fold", network).exit_code == 0
    answer = run_without(hidden, "program", network, "--port", "loop://")
    assert answer.errors.endswith(
        "What answers is no folded engine: check that the board runs one.\n"
    )
