"""What may import what, and that the tree is as tidy as it says."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.networks import random_network

ROOT = Path(__file__).parents[1]
FOLDERS = ("network", "train", "sim", "hw", "boards", "verify", "cli")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.py"))
IDS = [f"{path.parent.name}.{path.stem}" for path in MODULES]

# What each folder may import beside itself and the standard library: docs/design.md has the table.
ALLOWED = {
    "network": {"numpy", "safetensors", "constriction"},
    "train": {"numpy", "torch", "kmeans1d", "sklearn", "PIL", "nomul.network"},
    "sim": {"numpy", "cocotb", "cocotb_tools", "nomul.hw", "nomul.network"},
    "hw": {"numpy", "amaranth", "nomul.network"},
    "boards": {"numpy", "amaranth", "amaranth_boards", "serial", "nomul.hw", "nomul.network"},
    "verify": {
        "numpy",
        "torch",
        "pysat",
        *(f"nomul.{folder}" for folder in FOLDERS if folder != "cli"),
    },
    "cli": {"numpy", "torch", "matplotlib", *(f"nomul.{folder}" for folder in FOLDERS)},
}
GOLDEN = {"numpy", "nomul.network"}

# Modules whose test has another name.
TESTED_ELSEWHERE = {
    "hw/folded_geometry.py": "tests/hw/test_folding.py",
    "hw/engine_core.py": "tests/hw/test_engine.py",
    "boards/top.py": "tests/boards/test_build.py",
    "sim/bench.py": "tests/sim/test_runner.py",
}


def imported(path: Path) -> set[str]:
    """Return what a module imports anywhere in it: other folders, and packages of others."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            whole = [f"nomul.{alias.name}" for alias in node.names]
            names = whole if node.module == "nomul" else [node.module]
        else:
            continue
        for name in names:
            depth = 2 if name.startswith("nomul.") else 1
            found.add(".".join(name.split(".")[:depth]))
    return found


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_imports_only_what_its_folder_may(path: Path) -> None:
    folder = path.parent.name
    own = {f"nomul.{folder}"} | set(sys.stdlib_module_names)
    assert imported(path) - own <= ALLOWED[folder]


def test_the_golden_model_imports_numpy_and_the_network_alone() -> None:
    assert imported(ROOT / "sim" / "golden.py") - set(sys.stdlib_module_names) == GOLDEN


def test_the_tests_of_imports_see_imports(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import os.path\nfrom nomul.hw import estimate\n"
        "def late():\n    import torch.nn as nn\n    from nomul import sim\n"
    )
    assert imported(path) == {"os", "nomul.hw", "torch", "nomul.sim"}


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_has_its_name_and_what_it_promises(path: Path) -> None:
    parts = ["nomul", path.parent.name] + [path.stem] * (path.stem != "__init__")
    module = importlib.import_module(".".join(parts))
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == path.resolve()
    names = getattr(module, "__all__", [])
    assert names == sorted(
        set(names), key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    for name in names:
        assert hasattr(module, name), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_exports_no_name_of_its_modules(folder: str) -> None:
    """To import the module would put it in the place of what is exported."""
    package = importlib.import_module(f"nomul.{folder}")
    modules = {path.stem for path in (ROOT / folder).glob("*.py")}
    assert modules & set(getattr(package, "__all__", [])) == set()


def test_there_is_no_folder_that_shadows_the_installed_package() -> None:
    assert not (ROOT / "nomul").exists()
    assert all((ROOT / folder / "py.typed").is_file() for folder in FOLDERS)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_has_a_test_of_its_name(path: Path) -> None:
    name = f"{path.parent.name}/{path.name}"
    if path.stem == "__init__":
        return
    test = TESTED_ELSEWHERE.get(name, f"tests/{path.parent.name}/test_{path.name}")
    assert (ROOT / test).is_file(), test


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem
)
def test_a_test_of_a_folder_has_the_name_of_a_module(path: Path) -> None:
    folder = path.parent.name
    if folder in FOLDERS:
        assert (ROOT / folder / path.name.removeprefix("test_")).is_file()


# Hides PyTorch from the process that runs it.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from nomul.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def run_without(hidden: set[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    script = WITHOUT.format(hidden=sorted(hidden))
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "hidden"),
    [
        ("evaluate", {"torch", "kmeans1d", "amaranth", "amaranth_boards", "cocotb"}),
        ("estimate", {"torch", "kmeans1d", "amaranth", "amaranth_boards", "cocotb", "sklearn"}),
        ("verilog", {"torch", "kmeans1d", "sklearn"}),
        pytest.param("simulate", {"torch", "kmeans1d"}, marks=pytest.mark.slow),
    ],
)
def test_a_network_file_is_used_without_pytorch(
    command: str, hidden: set[str], tmp_path: Path
) -> None:
    network = tmp_path / "network.safetensors"
    random_network((64, 2, 10), (2, 2)).save(network)
    options = {"verilog": ["-o", str(tmp_path / "top.v")], "simulate": ["--samples", "8"]}
    result = run_without(hidden, command, network, *options.get(command, []))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout


@pytest.mark.parametrize("command", ["verilog", "build"])
def test_hardware_without_amaranth_names_the_command_that_installs_it(
    command: str, tmp_path: Path
) -> None:
    network = tmp_path / "network.safetensors"
    random_network((2, 2), (2,)).save(network)
    option = {"verilog": "-o", "build": "--out"}[command]
    result = run_without({"amaranth", "amaranth_boards"}, command, network, option, tmp_path / "o")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        'nomul: amaranth is not installed: run `pip install "nomul[build]"`.\n'
    )
    assert not (tmp_path / "o").exists()


def test_training_without_pytorch_names_the_command_that_installs_it(tmp_path: Path) -> None:
    experiment = ROOT / "examples" / "digits.toml"
    result = run_without({"torch"}, "train", experiment, "--out", tmp_path / "out")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == ('nomul: torch is not installed: run `pip install "nomul[train]"`.\n')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_the_code_is_clean(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
