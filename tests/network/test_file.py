"""The network file: written, read by an independent reader, and refused where it is damaged."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load, save

from nomul.network import InvalidNetwork, Network, UserError
from nomul.sim.golden import evaluate
from tests.network.reader import answer, enter
from tests.network.strategies import graphs, networks
from tests.networks import random_network


def write(
    path: Path,
    *,
    description: Any = None,
    text: str | None = None,
    tensors: dict[str, NDArray[Any]] | None = None,
    **metadata: str,
) -> None:
    """Write a network file without a checksum, some of its parts replaced."""
    document = random_network((3, 4, 2), (3, 5), factored=True).document()
    network = json.dumps(document.description if description is None else description)
    fields = {"format": "nomul-network", "version": "1", "network": text or network} | metadata
    path.write_bytes(save(document.tensors if tensors is None else tensors, metadata=fields))


def refusal(path: Path) -> str:
    """Return the sentence that refuses the file at ``path``."""
    with pytest.raises(InvalidNetwork) as refused:
        Network.load(path)
    return str(refused.value)


@settings(deadline=None, max_examples=60)
@given(network=networks() | graphs(max_size=3), seed=st.integers(0, 1000))
def test_a_reader_of_the_description_alone_gives_the_same_answers(
    network: Network, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-2.0, 8.0, (3, *network.input.shape)).round(2)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        network.save(path)
        with safe_open(path, framework="numpy") as archive:
            metadata = archive.metadata()
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    assert metadata["format"] == "nomul-network"
    assert metadata["version"] == "1"
    description = json.loads(metadata["network"])
    answers = [
        answer(description, tensors, enter(description, tensors, sample)) for sample in features
    ]
    assert evaluate(network, features).tolist() == answers


@settings(deadline=None, max_examples=60)
@given(network=networks() | graphs())
def test_a_saved_network_loads_as_it_was(network: Network) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        network.save(path)
        assert Network.load(path) == network


def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    network = random_network((1, 1), (2,))
    network.save(str(tmp_path / "network.safetensors"))
    assert Network.load(str(tmp_path / "network.safetensors")) == network


def test_a_file_without_a_checksum_is_read(tmp_path: Path) -> None:
    write(tmp_path / "file")
    assert Network.load(tmp_path / "file") == random_network((3, 4, 2), (3, 5), factored=True)


def test_a_network_cannot_be_saved_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "network.safetensors"
    with pytest.raises(UserError) as refused:
        random_network((1, 1), (2,)).save(path)
    assert str(refused.value) == f"Cannot write {path}: {path.parent} is not a folder."


@pytest.fixture(scope="module")
def small() -> Network:
    return random_network((2, 1, 2), (2, 2))


@pytest.fixture
def small_bytes(small: Network, tmp_path: Path) -> bytes:
    small.save(tmp_path / "network.safetensors")
    return (tmp_path / "network.safetensors").read_bytes()


def test_a_file_cut_at_any_byte_is_refused(small_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    for length in range(len(small_bytes)):
        path.write_bytes(small_bytes[:length])
        assert "is truncated or no network file" in refusal(path), length


def test_a_file_with_more_at_its_end_is_refused(small_bytes: bytes, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(small_bytes + b"\0")
    assert "is truncated or no network file" in refusal(tmp_path / "long")


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_never_changes_the_network(
    small: Network, small_bytes: bytes, tmp_path: Path, bit: int
) -> None:
    """Every eighth byte for each bit: each byte of the file is flipped once."""
    path = tmp_path / "flipped"
    n_refused = 0
    for place in range(bit, len(small_bytes), 8):
        flipped = bytearray(small_bytes)
        flipped[place] ^= 1 << bit
        path.write_bytes(bytes(flipped))
        try:
            assert Network.load(path) == small, place
        except InvalidNetwork:
            n_refused += 1
    assert n_refused > len(small_bytes) // 8 * 0.9


def test_every_flipped_byte_of_a_tensor_is_refused(small_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "flipped"
    start = 8 + int.from_bytes(small_bytes[:8], "little")
    for place in range(start, len(small_bytes)):
        flipped = bytearray(small_bytes)
        flipped[place] ^= 1
        path.write_bytes(bytes(flipped))
        assert refusal(path) == (
            f"{path} was altered after it was written: its content does not match its checksum; "
            "get a fresh copy or train again."
        )


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    assert refusal(path) == f"There is no network file {path}: check the path."
    assert refusal(tmp_path) == f"There is no network file {tmp_path}: check the path."


@pytest.mark.parametrize("content", [b"", b"[network]\n", bytes(1000), b"\xff" * 8])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    sentence = refusal(path)
    start = f"{path} is truncated or no network file: it cannot be read as safetensors ("
    assert sentence.startswith(start)
    assert sentence.endswith(").")


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"format": "pt"}, {"format": "nomul-network"}, {"network": "{}", "version": "1"}],
)
def test_foreign_safetensors_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(save({"weight": np.zeros(3, np.float32)}, metadata=metadata))
    assert refusal(path) == (
        f"{path} is a safetensors file, but no network file: its metadata does not say "
        "format = 'nomul-network'."
    )


@pytest.mark.parametrize("version", ["2", "1.1", "", "one"])
def test_a_file_of_another_version_is_refused(tmp_path: Path, version: str) -> None:
    path = tmp_path / "newer"
    write(path, version=version)
    assert refusal(path) == (
        f"{path} is a network file of version {version!r}, and this nomul reads version '1': "
        "install a nomul that knows it, or save the network again."
    )


def test_a_newer_file_is_refused_for_its_version_whatever_else_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "newer", version="2", text="not JSON", sha256="0", tensors={})
    assert "is a network file of version '2'" in refusal(tmp_path / "newer")


@pytest.mark.parametrize(
    "text",
    ["not JSON", "{", "[" * 100_000, '{"a":' * 100_000, "[" * 990 + "]" * 990, "9" * 5000, "\0"],
    ids=["words", "open", "deep-list", "deep-object", "closed-list", "digits", "null"],
)
def test_a_description_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "damaged"
    write(path, text=text)
    assert refusal(path) == f"{path} is damaged: its description is not JSON."


@pytest.mark.parametrize("depth", [1, 10, 100, 300, 800, 900, 950, 1000, 3000])
def test_deep_nesting_anywhere_is_refused(tmp_path: Path, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for text in (
        f'{{"input": {{"shape": {deep}}}, "layers": [], "output": {{}}}}',
        f'{{"input": {{"shape": [3]}}, "layers": {deep}, "output": {{}}}}',
        '{"input": {"shape": [3]}, "layers": [{"kind": "dense", "input": '
        f'{deep}}}], "output": {{"kind": "class"}}}}',
        '{"input": {"shape": [3]}, "layers": [{"kind": "dense", "input": "input"}], '
        f'"output": {{"kind": "accumulators", "scale": {deep}, "offset": 0}}}}',
    ):
        write(tmp_path / "deep", text=text)
        assert refusal(tmp_path / "deep")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "null", '"1"'])
def test_a_scale_that_is_no_finite_number_is_refused(tmp_path: Path, number: str) -> None:
    description = random_network((3, 2), (3,), output="accumulators").document().description
    text = json.dumps(description).replace('"scale": 1.0', f'"scale": {number}')
    write(tmp_path / "file", text=text)
    assert refusal(tmp_path / "file").startswith("The output's scale must be a finite number, not")


def test_a_description_is_checked_by_the_rules(tmp_path: Path) -> None:
    write(tmp_path / "file", description={"layers": []})
    assert refusal(tmp_path / "file") == (
        "The network's description must be an object with the keys input, layers and output."
    )


@pytest.mark.parametrize("shape", [[2**62], [2**31, 2**31], [2**64], [0], [1, 2, 3]])
def test_a_tensor_of_a_claimed_shape_that_it_does_not_fill_is_refused(
    tmp_path: Path, shape: list[int]
) -> None:
    write(tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["layers.0.bias"]["shape"] = shape
    changed = json.dumps(header).encode()
    path = tmp_path / "claimed"
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + length :])
    assert "is truncated or no network file" in refusal(path)


def test_a_header_of_a_claimed_length_is_refused(small_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "claimed"
    for length in (2**63, 2**64 - 1, 2**40, len(small_bytes) + 1):
        path.write_bytes(length.to_bytes(8, "little") + small_bytes[8:])
        assert "is truncated or no network file" in refusal(path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "I64", "F32", "BOOL", "U64"])
def test_a_tensor_of_another_dtype_is_refused(tmp_path: Path, dtype: str) -> None:
    write(tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    size = {"BF16": 2, "F8_E4M3": 1, "I64": 8, "F32": 4, "BOOL": 1, "U64": 8}[dtype]
    header["layers.0.bias"] |= {"dtype": dtype, "shape": [16 // size]}
    changed = json.dumps(header).encode()
    path = tmp_path / "claimed"
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + length :])
    assert refusal(path)


def test_the_tensors_are_those_of_the_description(tmp_path: Path) -> None:
    network = random_network((3, 4, 2), (3, 5), factored=True)
    network.save(tmp_path / "file")
    dtypes = {
        name: str(tensor.dtype) for name, tensor in load((tmp_path / "file").read_bytes()).items()
    }
    layer = {
        "weight_index": "uint8",
        "product_table": "int32",
        "bias": "int32",
        "level_value": "int32",
        "centre": "int32",
    }
    assert dtypes == {"input.thresholds": "float64", "layers.0.thresholds": "int32"} | {
        f"layers.{number}.{name}": dtype
        for number, (name, dtype) in itertools.product((0, 1), layer.items())
    }
