"""The examples of README and docs run as they stand, one after the other, in an empty folder."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nomul.cli.result_row import read_rows
from nomul.cli.results import results_page
from nomul.hw.devices import TECHNOLOGIES
from nomul.hw.lowering import METHODS
from nomul.train.experiment import Experiment
from nomul.train.experiment_file import load_variants
from nomul.train.layer_settings import LAYER_KINDS, LookupSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def test_command_line_quick_start_runs(folder: Path) -> None:
    (block,) = blocks(README, "sh")
    outputs = [run(shlex.split(line), folder) for line in block.splitlines()]
    train, evaluate, estimate, verilog, simulate, build = outputs
    assert re.search(r"^mismatches_torch_golden +0$", train, re.MULTILINE)
    assert re.search(r"^samples +360$", evaluate, re.MULTILINE)
    assert re.search(r"^fits +True$", estimate, re.MULTILINE)
    assert (folder / "digits.v").read_text().count("endmodule") == 1, verilog
    assert re.search(r"^mismatches +0$", simulate, re.MULTILINE)
    assert re.search(r"^multipliers +0$", build, re.MULTILINE)
    assert (folder / "runs/digits/icebreaker.bin").stat().st_size > 100_000


def test_python_quick_start_runs(folder: Path) -> None:
    (block,) = blocks(README, "python")
    output = run([sys.executable, "-c", block], folder)
    assert "cycles, one sample per cycle" in output
    assert "module classifier(" in output


def test_data_example_runs(folder: Path) -> None:
    (block,) = blocks((ROOT / "docs/data.md").read_text(), "python")
    assert run([sys.executable, "-c", block], folder) == "(80, 8) 2\n"


def test_example_of_an_own_network_runs(folder: Path) -> None:
    (block,) = blocks((ROOT / "docs/experiments.md").read_text(), "python")
    assert float(run([sys.executable, "-c", block], folder)) > 0.5


def test_experiment_example_loads(tmp_path: Path) -> None:
    first, lookups = blocks((ROOT / "docs/experiments.md").read_text(), "toml")
    path = tmp_path / "example.toml"
    path.write_text(first)
    assert [variant.codebook.size for variant in load_variants(path)] == [1000, 33]
    path.write_text(lookups)
    assert load_variants(path)[0].network.layers == (LookupSettings(1000, 4),)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda p: p.stem)
def test_examples_load(path: Path) -> None:
    assert load_variants(path)


def test_every_key_is_documented() -> None:
    text = (ROOT / "docs/experiments.md").read_text()
    documented = set(
        re.findall(r"`((?:data|input|network|codebook|training|hardware)\.\w+)`", text)
    )
    assert documented == {
        f"{section.name}.{entry.name}"
        for section in dataclasses.fields(Experiment)
        for entry in dataclasses.fields(getattr(Experiment(), section.name))
    }


def test_every_layer_kind_is_documented_with_its_keys() -> None:
    text = (ROOT / "docs/experiments.md").read_text()
    for name, kind in LAYER_KINDS.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*)\|$", text, re.MULTILINE)
        keys = {entry.name for entry in dataclasses.fields(kind)}
        if name != "conv_transpose":  # "the same" as the row above, and one more
            assert set(re.findall(r"`(\w+)`", row.split("|")[0])) == keys


def test_results_come_from_the_examples() -> None:
    rows = json.loads((ROOT / "docs/results.json").read_text())
    assert rows
    for row in rows:
        path = row["command"].split()[2]
        assert (ROOT / path).is_file()
        known = {described(variant) for variant in load_variants(ROOT / path)}
        kind = row["codebook"]
        if not kind.startswith("lookups "):
            kind = kind.split()[0]
        assert (row["levels"], kind, row["scope"]) in known


def described(variant: Experiment) -> tuple[int, str, str]:
    """Return levels, kind of codebook or all lookups, and scope."""
    network, codebook = variant.network, variant.codebook
    lookups = [layer for layer in network.layers if isinstance(layer, LookupSettings)]
    if not lookups:
        return network.levels, codebook.kind, codebook.scope
    assert len(lookups) == len(network.layers)
    sizes = ", ".join(f"{layer.fan_in} x {layer.neurons}" for layer in lookups)
    return network.levels, f"lookups {sizes}", "neuron"


def test_the_page_of_results_is_what_the_command_writes() -> None:
    rows = read_rows(ROOT / "docs/results.json")
    assert (ROOT / "docs/results.md").read_text() == results_page(rows)


def test_every_technology_and_method_is_documented() -> None:
    design = (ROOT / "docs/design.md").read_text()
    for name in TECHNOLOGIES:
        assert f"`{name}`" in README, name
    for method in METHODS:
        assert f"`{method}` (" in README, method
        assert f"\n| `{method}` |" in design, method


def test_modules_that_the_design_names_exist() -> None:
    named = re.findall(r"`((?:hw|train)/\w+\.py)`", (ROOT / "docs/design.md").read_text())
    assert named
    for path in named:
        assert (ROOT / path).is_file(), path


def test_network_file_example_runs(folder: Path) -> None:
    (block,) = blocks((ROOT / "docs/network-file.md").read_text(), "python")
    run([sys.executable, "-c", block], folder)
    assert (folder / "tiny.safetensors").exists()


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
