from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.hw.devices import find_technology
from nomul.hw.plan import plan
from nomul.network import UserError
from nomul.sim.circuit import Circuit
from nomul.verify.formal import prove
from nomul.verify.netlist import NETLIST
from tests.networks import random_network

# Ten bits of levels and two of control, so all inputs can be tried; the answer is three levels of
# two bits each. No sum is so long that synthesis has to keep it.
SMALL = random_network((5, 3, 3), (4, 3, 3), output="levels", magnitude=3, seed=2, factored=True)


# One that has registers within.
DEEP = random_network((6, 4, 3), (4, 3))


@pytest.fixture(scope="module")
def netlists(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The folders of ``SMALL`` with no stage and of ``DEEP`` with two, proved."""
    folders = {}
    for network, n_stages in ((SMALL, 0), (DEEP, 2)):
        folder = tmp_path_factory.mktemp(f"stages_{n_stages}")
        step = prove(plan(network, n_stages=n_stages), "up5k", folder, 60.0)
        assert (step.status, step.differences, step.first_difference) == ("equal", 0, None)
        assert step.compared > 0
        folders[n_stages] = folder
    return folders


def changed(folder: Path, to: Path) -> tuple[Path, dict[str, Any]]:
    """Return a copy of a folder and its netlist's module, to be changed and stored."""
    shutil.copytree(folder, to)
    return to, json.loads((to / NETLIST).read_text())


INPUTS = {"i__payload": 10, "i__valid": 1, "o__ready": 1}
OUTPUTS = {"o__payload": 6, "o__valid": 1, "i__ready": 1}


def split(numbers: NDArray[np.int64], widths: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """Return the ports of which the first has the lowest bits."""
    starts = np.cumsum([0, *widths.values()])
    return {
        name: numbers >> start & (1 << width) - 1
        for (name, width), start in zip(widths.items(), starts, strict=False)
    }


def expected_answers() -> dict[str, NDArray[np.int64]]:
    """Return the outputs of ``SMALL`` for all inputs."""
    inputs = split(np.arange(1 << 12), INPUTS)
    levels = inputs["i__payload"][:, None] >> np.arange(0, 10, 2) & 3
    payload = plan(SMALL, n_stages=0).graph.evaluate(levels) @ np.array([1, 4, 16])
    ready = inputs["o__ready"] | 1 - inputs["i__valid"]
    return {"o__payload": payload, "o__valid": inputs["i__valid"], "i__ready": ready}


def answers(folder: Path) -> dict[str, NDArray[np.int64]]:
    """Return those of the netlist without a stage."""
    inputs = {
        name: (number[:, None] >> np.arange(INPUTS[name]) & 1).astype(np.bool_)
        for name, number in split(np.arange(1 << 12), INPUTS).items()
    }
    outputs = Circuit(folder / NETLIST, "top").evaluate(inputs)
    return {name: outputs[name] @ (1 << np.arange(width)) for name, width in OUTPUTS.items()}


def check(folder: Path) -> int:
    """Return how many bits of outputs differ, after a proof, and what it says was simulated."""
    expected, found = expected_answers(), answers(folder)
    n_different = sum(
        int(np.bitwise_or.reduce(expected[name] ^ found[name])).bit_count() for name in OUTPUTS
    )
    step = prove(plan(SMALL, n_stages=0), "up5k", folder, 60.0)
    assert (step.compared, step.differences) == (8, n_different)
    assert step.status == ("different" if n_different else "equal")
    if step.first_difference is not None:
        told = re.fullmatch(
            r"output (\w+)\[(\d)\]: ([01]) in the Verilog, ([01]) in the netlist, "
            r"(?:always|where (.*))",
            step.first_difference,
        )
        assert told is not None, step.first_difference
        values = dict(re.findall(r"(\w+) = 0x([0-9a-f]+)", told[5] or ""))
        place = 0
        for name, start in zip(INPUTS, (0, 10, 11), strict=True):
            place |= int(values.get(name, "0"), 16) << start
        assert expected[told[1]][place] >> int(told[2]) & 1 == int(told[3])
        assert found[told[1]][place] >> int(told[2]) & 1 == 1 - int(told[3])
        assert told[4] != told[3]
    return n_different


def test_the_small_network_answers_in_many_ways(netlists: dict[int, Path]) -> None:
    expected = expected_answers()
    assert len(set(expected["o__payload"].tolist())) == 10
    assert check(netlists[0]) == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_of_a_lut_is_found_where_it_shows(
    seed: int, netlists: dict[int, Path], tmp_path: Path
) -> None:
    folder, content = changed(netlists[0], tmp_path / "changed")
    rng = random.Random(seed)
    cells = content["modules"]["top"]["cells"].values()
    lut = rng.choice([cell for cell in cells if cell["type"] == "SB_LUT4"])
    inputs = [lut["connections"][f"I{place}"][0] for place in range(4)]
    # An entry that is read with those of the inputs that are constants.
    entry = rng.getrandbits(4)
    for place, net in enumerate(inputs):
        if net in ("0", "1"):
            entry = entry & ~(1 << place) | int(net) << place
    table = int(lut["parameters"]["LUT_INIT"], 2) ^ 1 << entry
    lut["parameters"]["LUT_INIT"] = format(table, "016b")
    (folder / NETLIST).write_text(json.dumps(content))
    check(folder)


@pytest.mark.parametrize("output", ["o__payload", "i__ready"])
def test_an_inverted_output_is_found(
    output: str, netlists: dict[int, Path], tmp_path: Path
) -> None:
    folder, content = changed(netlists[0], tmp_path / "changed")
    module = content["modules"]["top"]
    nets = module["ports"][output]["bits"]
    (lut,) = (c for c in module["cells"].values() if c["connections"].get("O") == nets[:1])
    table = lut["parameters"]["LUT_INIT"]
    lut["parameters"]["LUT_INIT"] = table.translate(str.maketrans("01", "10"))
    (folder / NETLIST).write_text(json.dumps(content))
    assert check(folder) >= 1


def test_exchanged_outputs_are_found(netlists: dict[int, Path], tmp_path: Path) -> None:
    folder, content = changed(netlists[0], tmp_path / "changed")
    content["modules"]["top"]["ports"]["o__payload"]["bits"].reverse()
    (folder / NETLIST).write_text(json.dumps(content))
    assert check(folder) >= 2


@pytest.mark.parametrize("fault", ["enable", "data"])
def test_a_wrong_register_is_named(fault: str, netlists: dict[int, Path], tmp_path: Path) -> None:
    folder, content = changed(netlists[2], tmp_path / "changed")
    module = content["modules"]["top"]
    names = {
        bit: f"{name}[{place}]"
        for name, signal in module["netnames"].items()
        if "_after_1" in name and "SB_" not in name
        for place, bit in enumerate(signal["bits"])
    }
    cells = [c for c in module["cells"].values() if c["type"] == "SB_DFFE"]
    cell, other = [c for c in cells if c["connections"]["Q"][0] in names][:2]
    if fault == "enable":
        cell["connections"]["E"] = ["1"]
    else:
        cell["connections"]["D"] = other["connections"]["D"]
    (folder / NETLIST).write_text(json.dumps(content))
    step = prove(plan(DEEP, n_stages=2), "up5k", folder, 60.0)
    assert (step.status, step.differences) == ("different", 1)
    assert step.first_difference is not None
    assert step.first_difference.startswith(f"register {names[cell['connections']['Q'][0]]}: ")


def test_what_is_not_proved_in_time_is_told(netlists: dict[int, Path]) -> None:
    step = prove(plan(DEEP, n_stages=2), "up5k", netlists[2], 0.0)
    assert (step.status, step.differences) == ("not proved", 0)
    assert re.fullmatch(r"\d+ of \d+ proved: \d+ bits of sums, .*; \d+ open after 0 s", step.detail)


@pytest.mark.parametrize(
    ("network", "device", "n_stages"),
    [
        (random_network((12, 5, 4), (3, 5), output="accumulators", factored=True), "up5k", None),
        (random_network((6, 4, 3), (4, 3, 3), output="levels", factored=True), "hx8k", 3),
        (DEEP, "ecp5", 2),
    ],
)
def test_every_kind_of_network_is_proved(
    network: Any, device: str, n_stages: int | None, tmp_path: Path
) -> None:
    small = plan(network, find_technology(device), n_stages=n_stages)
    step = prove(small, device, tmp_path, 60.0)
    assert (step.status, step.differences) == ("equal", 0), step.detail


def test_a_technology_without_a_netlist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        prove(plan(SMALL), "asic", tmp_path, 1.0)
    assert str(error.value) == "There is no netlist to prove for asic: choose up5k or ecp5."
