"""The encoded network file: the same network, read by an independent reader, or refused."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load, save

from nomul.network import (
    Dense,
    Input,
    InvalidNetwork,
    Lookup,
    Network,
    Output,
    UserError,
    memory_account,
)
from nomul.network import encoded as module
from nomul.network.encoded import encoded_size, read_encoded, write_encoded
from nomul.network.model import OutputKind
from tests.network.documents import lookup_example
from tests.network.strategies import graphs, networks
from tests.network.test_coding import plain_decode
from tests.network.test_memory import residual_network
from tests.networks import random_lookup, random_network


def saved(network: Network, path: Path) -> Path:
    write_encoded(network.document(), path)
    return path


def load_encoded(path: Path) -> Network:
    return Network.from_document(read_encoded(path))


def refusal(path: Path) -> str:
    """Return the sentence that refuses the file at ``path``."""
    with pytest.raises(InvalidNetwork) as refused:
        load_encoded(path)
    return str(refused.value)


def altered(path: Path, reason: str) -> str:
    return f"{path} was altered after it was written: {reason}; get a fresh copy or train again."


def read_plainly(path: Path) -> dict[str, list[Any]]:
    """Return the tensors as docs/network-file.md states them: plain Python, one byte at a time."""
    with safe_open(path, framework="numpy") as archive:
        metadata = archive.metadata()
        content = zlib.decompress(archive.get_tensor("tensors").tobytes())
        words = archive.get_tensor("words").tolist()
    assert metadata["format"] == "nomul-network-encoded"
    assert metadata["version"] == "1"
    line, _, rest = content.partition(b"\n")
    tensors: dict[str, list[Any]] = {}
    shapes: dict[str, list[int]] = {}
    models: dict[str, list[int]] = {}
    for name, entry in json.loads(line).items():
        if isinstance(entry, str):
            tensors[name], shapes[name] = tensors[entry], shapes[entry]
            continue
        dtype, shapes[name] = entry
        layer, _, role = name.rpartition(".")
        if role == "product_table" and f"{layer}.level_value" in tensors:
            values, centres = tensors[f"{layer}.level_value"], tensors[f"{layer}.centre"]
            tensors[name] = [value * centre for value in values for centre in centres]
            continue
        if role == "weight_index":
            n_bytes = max(2, shapes[f"{layer}.product_table"][1])
            own, rest = rest[:n_bytes], rest[n_bytes:]
            models[name] = shares(own)
            continue
        size, n = {"int32": 4, "float64": 8, "uint8": 1}[dtype], math.prod(shapes[name])
        own, rest = rest[: size * n], rest[size * n :]
        entries = [own[place::n] for place in range(n)]
        if dtype == "uint8":
            tensors[name] = [int.from_bytes(entry) for entry in entries]
            continue
        if dtype == "float64":
            tensors[name] = [struct.unpack("<d", entry)[0] for entry in entries]
            continue
        tensors[name], value = [], 0
        for place, entry in enumerate(entries):
            code = int.from_bytes(entry, "little")
            value = 0 if place % shapes[name][-1] == 0 else value
            value += -(code + 1) // 2 if code % 2 else code // 2
            value = (value + 2**31) % 2**32 - 2**31
            tensors[name].append(value)
    assert rest == b""
    sizes = [math.prod(shapes[name]) for name in models]
    decoded = plain_decode(words, list(models.values()), sizes)
    return tensors | dict(zip(models, decoded, strict=True))


def shares(own: bytes) -> list[int]:
    counts = [(8 + (byte - 1) % 8) * 2 ** ((byte - 1) // 8) if byte else 0 for byte in own]
    share = [1 + count * (2**24 - len(own)) // sum(counts) for count in counts]
    share[counts.index(max(counts))] += 2**24 - sum(share)
    return share


def flat(network: Network) -> dict[str, list[Any]]:
    return {name: tensor.ravel().tolist() for name, tensor in network.document().tensors.items()}


def check_round_trip(network: Network) -> None:
    with TemporaryDirectory() as folder:
        path = saved(network, Path(folder) / "network.safetensors")
        assert path.stat().st_size == encoded_size(network)
        assert load_encoded(path) == network
        assert read_plainly(path) == flat(network)


@settings(deadline=None, max_examples=60)
@given(network=networks() | graphs())
def test_a_network_comes_back_as_it_was_from_two_readers(network: Network) -> None:
    check_round_trip(network)


def test_a_graph_of_every_kind_comes_back_as_it_was() -> None:
    check_round_trip(residual_network())


@pytest.mark.parametrize("output", ["class", "levels"])
def test_lookup_layers_come_back_as_they_were(output: OutputKind) -> None:
    check_round_trip(Network.from_document(lookup_example(output)))


def test_a_table_that_lookup_layers_share_is_stored_once() -> None:
    """Random tables of 6,000 entries of a byte: the second one would be 6,000 bytes."""
    one, other = (random_lookup(6, 10, 4, 256, seed=seed) for seed in (0, 1))

    def size(second: Lookup) -> int:
        chained = dataclasses.replace(second, source="layers.0")
        network = Network(Input((4,), np.array([0.5])), (one, chained), Output("levels"))
        check_round_trip(network)
        return encoded_size(network)

    assert size(other) - size(one) > 5_500


def test_extreme_entries_come_back_as_they_were() -> None:
    least, greatest = -(2**31), 2**31 - 1
    layer = Dense(
        np.zeros((6, 2), np.uint16),
        np.array([[0, least, greatest], [0, greatest, least], [0, -1, 1], [0, 1, 0]], np.int32),
        np.array([least, greatest, least, 0, greatest, -1], np.int32),
        np.array([least, -1, 0, greatest], np.int32),
    )
    features = Input((2,), np.array([-np.finfo(float).max, -5e-324, 1 / 3]))
    check_round_trip(Network(features, (layer,), Output("levels")))


def test_the_same_network_gives_the_same_file(tmp_path: Path) -> None:
    network = random_network((3, 4, 2), (3, 5), factored=True)
    one, two = saved(network, tmp_path / "one"), saved(network, tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()


def test_a_tensor_that_layers_share_is_stored_once() -> None:
    """Random tables of 2 × 3,000 entries of 20 bits: the second one would be 15,000 bytes."""
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 1 << 20, (2, 2, 3000)).astype(np.int32)

    def size(first: NDArray[np.int32], second: NDArray[np.int32]) -> int:
        index = np.zeros((2, 2), np.uint16)
        bias = np.zeros(2, np.int32)
        return encoded_size(
            Network(
                Input((2,), np.array([0.5])),
                (
                    Dense(index, first, bias, np.zeros(1, np.int32)),
                    Dense(index, second, bias, source="layers.0"),
                ),
            )
        )

    assert size(*tables) - size(tables[0], tables[0]) > 14_000


def laplacian(n_centres: int, n_neurons: int, n_inputs: int) -> Network:
    """Return a layer whose weights are Laplacian, under the codebook of least L1 error."""
    rng = np.random.default_rng(0)
    rank = np.arange(1, n_centres + 1) / (n_centres + 1)
    centre = -np.sign(rank - 0.5) * 2 * np.log(1 - np.abs(2 * rank - 1))
    edges = (centre[1:] + centre[:-1]) / 2
    factors = {
        "level_value": np.arange(-31, 32, 2, dtype=np.int32),
        "centre": (centre * 2**12).round().astype(np.int32),
    }
    layer = Dense(
        np.searchsorted(edges, rng.laplace(size=(n_neurons, n_inputs))).astype(np.uint16),
        np.outer(*factors.values()).astype(np.int32),
        np.zeros(n_neurons, np.int32),
        **factors,
    )
    return Network(Input((n_inputs,), np.linspace(0, 1, 31)), (layer,))


def test_a_file_is_little_more_than_the_entropy_of_its_indices() -> None:
    """1,000 centres and how often each occurs, and all else, take less than 2.5 kB."""
    network = laplacian(1000, 300, 1000)
    overhead = encoded_size(network) - memory_account(network).index_entropy / 8
    assert 0 < overhead < 2500


def test_a_small_network_is_smaller_than_in_the_plain_form(tmp_path: Path) -> None:
    network = random_network((64, 8, 10), (8, 8))
    network.save(tmp_path / "plain")
    assert encoded_size(network) < (tmp_path / "plain").stat().st_size / 2


def test_what_no_reader_would_take_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network((2, 2), (2,))
    monkeypatch.setattr(module, "_DECODED_FREE", -module._DECODED_PER_BYTE * 1000)
    with pytest.raises(UserError) as refused:
        saved(network, tmp_path / "file")
    assert str(refused.value) == (
        "The network's 60 bytes are more than a reader of the encoded form takes for a file of "
        "this size: save it in the plain form."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def small() -> Network:
    return random_network((3, 4, 2), (3, 5), factored=True)


@pytest.fixture(scope="module")
def small_bytes(small: Network, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved(small, tmp_path_factory.mktemp("small") / "file").read_bytes()


def test_a_truncated_file_is_refused(small_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    for length in [*range(0, len(small_bytes), 3), len(small_bytes) - 1]:
        path.write_bytes(small_bytes[:length])
        assert refusal(path).startswith(f"{path} is truncated or no network file: ")


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
            assert load_encoded(path) == small, place
        except InvalidNetwork:
            n_refused += 1
    assert n_refused > len(small_bytes) // 8 * 0.9


def test_a_byte_that_changes_before_compression_is_refused(
    small_bytes: bytes, tmp_path: Path
) -> None:
    """What zlib's own checksum would hide from the tests above; each bit at every eighth byte."""
    content = zlib.decompress(load(small_bytes)["tensors"].tobytes())
    path = tmp_path / "changed"
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        write(path, small_bytes, tensors=zlib.compress(bytes(changed)))
        assert refusal(path).startswith(f"{path} was altered after it was written: ")


def test_altered_words_are_refused(small_bytes: bytes, tmp_path: Path) -> None:
    """With a fresh checksum, too: what does not end where it must is no encoded file."""
    path = tmp_path / "file"
    path.write_bytes(small_bytes)
    for words in ([], [1], [0], [1, 2, 3, 4, 5, 6, 7], [2**32 - 1] * 3):
        write(path, small_bytes, words=np.array(words, np.uint32))
        assert refusal(path) in {
            altered(path, "its weight indices do not decode"),
            altered(path, "its content does not match its checksum"),
        }


def write(
    path: Path,
    content: bytes,
    *,
    listed: Any = None,
    packed: bytes | None = None,
    tensors: bytes | None = None,
    words: NDArray[Any] | None = None,
    parts: dict[str, NDArray[Any]] | None = None,
    **metadata: str,
) -> None:
    """Write the encoded file ``content`` with some of its parts replaced."""
    length = int.from_bytes(content[:8], "little")
    fields = json.loads(content[8 : 8 + length])["__metadata__"] | metadata
    found = load(content)
    line, _, rest = zlib.decompress(found["tensors"].tobytes()).partition(b"\n")
    if isinstance(listed, dict):
        line = json.dumps({k: v for k, v in (json.loads(line) | listed).items() if v}).encode()
    elif listed is not None:
        line = listed
    if tensors is None:
        tensors = zlib.compress(line + b"\n" + (rest if packed is None else packed))
    if parts is None:
        parts = {
            "tensors": np.frombuffer(tensors, np.uint8),
            "words": found["words"] if words is None else words,
        }
    path.write_bytes(save(parts, metadata=fields))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    assert refusal(path) == f"There is no network file {path}: check the path."


def test_a_plain_network_file_is_not_an_encoded_one(small: Network, tmp_path: Path) -> None:
    path = tmp_path / "plain"
    small.save(path)
    assert refusal(path) == (
        f"{path} is a safetensors file, but no encoded network file: its metadata does not say "
        "format = 'nomul-network-encoded'."
    )


@pytest.mark.parametrize("version", ["2", "1.1", ""])
def test_a_file_of_another_version_is_refused(
    small_bytes: bytes, tmp_path: Path, version: str
) -> None:
    path = tmp_path / "newer"
    write(path, small_bytes, version=version, parts={})
    assert refusal(path) == (
        f"{path} is an encoded network file of version {version!r}, and this nomul reads version "
        "'1': install a nomul that knows it, or save the network again."
    )


def test_a_checksum_that_does_not_match_is_refused(small_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, small_bytes, sha256="0" * 64)
    assert refusal(path) == altered(path, "its content does not match its checksum")
    write(path, small_bytes, network="{}")
    assert refusal(path) == altered(path, "its content does not match its checksum")


HUGE = 2**31
DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "parts": (
        {"parts": {"words": np.zeros(1, np.uint32)}},
        "it does not consist of tensors and words",
    ),
    "part dtype": (
        {"words": np.zeros(1, np.int32)},
        "it does not consist of tensors and words",
    ),
    "no zlib": ({"tensors": b"hello"}, "its tensors do not decompress"),
    "cut zlib": (
        {"tensors": zlib.compress(b"{}\n")[:-1]},
        "its tensors do not decompress to a list and what it lists",
    ),
    "more than zlib": (
        {"tensors": zlib.compress(b"{}\n") + b"\0"},
        "its tensors do not decompress to a list and what it lists",
    ),
    "no line": (
        {"tensors": zlib.compress(b"{}")},
        "its tensors do not decompress to a list and what it lists",
    ),
    "long line": (
        {"tensors": zlib.compress(b" " * (1 << 20) + b"{}\n")},
        "its tensors do not decompress to a list and what it lists",
    ),
    "no JSON": ({"listed": b"{"}, "its list of tensors is not JSON"),
    "deep JSON": ({"listed": b"[" * 100_000}, "its list of tensors is not JSON"),
    "digits": ({"listed": b"9" * 5000}, "its list of tensors is not JSON"),
    "no name": (
        {"listed": {"\ud800": ["int32", [1]]}},
        "its list of tensors names '\\ud800'",
    ),
    "a list": ({"listed": b"[]"}, "its list of tensors is no object"),
    "huge tensor": (
        {"listed": {"layers.0.bias": ["int32", [HUGE, HUGE]]}},
        "it lists larger tensors than a file of its size may hold",
    ),
    "huge indices": (
        {"listed": {"layers.0.weight_index": ["uint8", [1 << 27]]}},
        "it lists larger tensors than a file of its size may hold",
    ),
    "repeated tensor": (
        {
            "listed": {"layers.0.bias": ["int32", [1 << 25]]}
            | {f"again.{number}": "layers.0.bias" for number in range(2)}
        },
        "it lists larger tensors than a file of its size may hold",
    ),
    "larger than there is": (
        {"listed": {"layers.0.bias": ["int32", [1 << 20]]}},
        "its tensors are shorter than it lists them",
    ),
    "short": ({"packed": b""}, "its tensors are shorter than it lists them"),
    "long": ({"listed": {"layers.1.bias": None}}, "its tensors are longer than it lists them"),
    "not the outer product": (
        {"listed": {"layers.0.product_table": ["int32", [3, 6]]}},
        "its layers.0.product_table has not the shape of its factors",
    ),
    "indices without a table": (
        {"listed": {"layers.7.weight_index": ["uint8", [1]]}},
        "its layers.7.weight_index has no product table before it",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
def test_what_the_writer_does_not_write_is_refused(
    small_bytes: bytes, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "file"
    write(path, small_bytes, **changes)
    assert refusal(path) == altered(path, reason)


@pytest.mark.parametrize(
    "entry",
    [
        "layers.9.bias",
        "layers.1.bias",
        "layers.0.thresholds",
        ["int64", [4]],
        ["uint8", [4]],
        ["int32", []],
        ["int32", [0]],
        ["int32", [-1]],
        ["int32", [4.0]],
        ["int32", [True]],
        ["int32", [1 << 32]],
        ["int32", [1] * 34],
        ["int32"],
        [4],
        7,
        {"dtype": "int32"},
    ],
    ids=str,
)
def test_a_listed_tensor_needs_a_dtype_and_a_shape(
    small_bytes: bytes, tmp_path: Path, entry: object
) -> None:
    path = tmp_path / "file"
    write(path, small_bytes, listed={"layers.0.bias": entry})
    reason = "its list of tensors has no dtype and shape for 'layers.0.bias'"
    assert refusal(path) == altered(path, reason)


def test_weight_indices_are_never_those_of_another_layer(
    small_bytes: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    for entry in ("layers.0.weight_index", "layers.0.bias", ["int32", [2, 4]]):
        write(path, small_bytes, listed={"layers.1.weight_index": entry})
        reason = "its list of tensors has no dtype and shape for 'layers.1.weight_index'"
        assert refusal(path) == altered(path, reason)


@pytest.mark.parametrize("name", ["layers.1.bias", "layers.1.thresholds", "layers.9.level_table"])
def test_no_tensor_is_that_of_the_weight_indices(
    small_bytes: bytes, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "file"
    listed = {"layers.0.weight_index": None, name: None}
    write(path, small_bytes, listed=listed)
    entry = {"layers.0.weight_index": ["uint8", [4, 3]], name: "layers.0.weight_index"}
    write(path, path.read_bytes(), listed=entry)
    reason = f"its list of tensors has no dtype and shape for {name!r}"
    assert refusal(path) == altered(path, reason)


@pytest.mark.parametrize("entry", [["int32", [4, 8]], ["uint16", [4, 8]], "layers.0.bias"], ids=str)
def test_a_level_table_is_of_bytes(small_bytes: bytes, tmp_path: Path, entry: object) -> None:
    path = tmp_path / "file"
    write(path, small_bytes, listed={"layers.1.level_table": entry})
    reason = "its list of tensors has no dtype and shape for 'layers.1.level_table'"
    assert refusal(path) == altered(path, reason)


def test_a_model_in_which_nothing_occurs_is_refused(small_bytes: bytes, tmp_path: Path) -> None:
    content = zlib.decompress(load(small_bytes)["tensors"].tobytes()).partition(b"\n")[2]
    path = tmp_path / "file"
    write(path, small_bytes, packed=content[:-5] + bytes(5))
    assert refusal(path) == altered(path, "it has weight indices of which none occurs")
