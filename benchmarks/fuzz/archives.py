"""Changes to network files that keep the safetensors form, the coder's and the checksum."""

from __future__ import annotations

import json
import math
import zlib
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import numpy as np

from benchmarks.fuzz.mutation import Bytes, changed_json
from nomul.network.file import digest

__all__ = ["change_encoded", "change_module", "change_network"]

_ITEM_BYTES = {"U8": 1, "I8": 1, "BOOL": 1, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4}
_ITEM_BYTES |= {"F32": 4, "I64": 8, "U64": 8, "F64": 8, "F8_E4M3": 1, "C64": 8}
_NUMPY = {"U8": "u1", "U16": "<u2", "I32": "<i4", "U32": "<u4", "F64": "<f8"}
_SIZES = (0, 1, 2, 3, 5, 8, 64, 255, 256, 1_000, 1 << 13)
_HUGE = (1 << 16, 1 << 24, (1 << 24) + 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63)


@dataclass
class _Tensor:
    dtype: str
    shape: list[int]
    content: bytes

    def fit(self) -> None:
        """Make the content as long as dtype and shape say, if that is no more than 64 KiB."""
        n_bytes = _ITEM_BYTES[self.dtype] * math.prod(self.shape)
        if 0 <= n_bytes <= 1 << 16:
            whole = self.content or b"\0"
            self.content = (whole * (n_bytes // len(whole) + 1))[:n_bytes]


@dataclass
class _Archive:
    metadata: dict[str, str]
    tensors: dict[str, _Tensor]


def change_network(data: bytes, rng: Random, change: Bytes) -> bytes:
    """Return a network file with some of its parts changed; most have a right checksum, or none."""
    archive = _read(data)
    if archive is None or rng.random() < 0.1:
        return change(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        match rng.randrange(10):
            case 0 | 1 | 2 | 3:
                _change_description(archive, rng, change)
            case 4:
                key = rng.choice(("format", "version", "network", "sha256", "x"))
                value = archive.metadata.get(key, "")
                archive.metadata[key] = change(value.encode()).decode(errors="replace")
            case _:
                _change_tensor(archive, rng, change)
    if rng.random() < 0.8:
        archive.metadata.pop("sha256", None)
    elif all(tensor.dtype in _NUMPY for tensor in archive.tensors.values()):
        with suppress(UnicodeEncodeError):
            archive.metadata["sha256"] = _plain_digest(archive)
    return _write(archive, rng)


def change_encoded(data: bytes, rng: Random, change: Bytes) -> bytes:
    """Return an encoded network file with some of its parts changed; most have a right checksum."""
    archive = _read(data)
    if archive is None or archive.tensors.keys() != {"tensors", "words"} or rng.random() < 0.05:
        return change(data)
    packed, words = archive.tensors["tensors"], archive.tensors["words"]
    try:
        listed, _, rest = zlib.decompressobj().decompress(packed.content, 1 << 20).partition(b"\n")
        entries = json.loads(listed)
    except (zlib.error, ValueError, RecursionError):
        return change(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        match rng.randrange(10):
            case 0 | 1 | 2:
                entries = changed_json(entries, rng)
            case 3 | 4 | 5:
                rest = change(rest)
            case 6:
                words.content = change(words.content)
                words.content = words.content[: len(words.content) // 4 * 4]
                words.shape = [len(words.content) // 4]
            case 7 | 8:
                _change_description(archive, rng, change)
            case _:
                _change_tensor(archive, rng, change)
    packed.content = zlib.compress(json.dumps(entries).encode() + b"\n" + rest)
    packed.shape = [len(packed.content)]
    if rng.random() < 0.9:
        _sign_encoded(archive)
    return _write(archive, rng)


def change_module(data: bytes, rng: Random, change: Bytes) -> bytes:
    """Return a module's state with some of its parts changed."""
    archive = _read(data)
    if archive is None or rng.random() < 0.1:
        return change(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.1:
            archive.metadata["format"] = change(b"nomul-module").decode(errors="replace")
        else:
            _change_tensor(archive, rng, change)
    return _write(archive, rng)


def _change_description(archive: _Archive, rng: Random, change: Bytes) -> None:
    text = archive.metadata.get("network", "")
    try:
        archive.metadata["network"] = json.dumps(changed_json(json.loads(text), rng))
    except (ValueError, RecursionError):
        archive.metadata["network"] = change(text.encode()).decode(errors="replace")


def _change_tensor(archive: _Archive, rng: Random, change: Bytes) -> None:
    if not archive.tensors:
        archive.tensors["input.thresholds"] = _Tensor("F64", [1], b"\0" * 8)
    name = rng.choice(list(archive.tensors))
    tensor = archive.tensors[name]
    match rng.randrange(8):
        case 0 | 1:
            tensor.content = change(tensor.content)
            tensor.fit()
        case 2 | 3 if tensor.shape:
            axis = rng.randrange(len(tensor.shape))
            tensor.shape[axis] = rng.choice((*_SIZES, *_SIZES, *_HUGE, tensor.shape[axis] + 1))
            tensor.fit()
        case 4:
            tensor.dtype = rng.choice(list(_ITEM_BYTES))
            tensor.fit()
        case 5:
            tensor.shape[rng.randrange(len(tensor.shape) + 1) : 0] = [rng.choice((0, 1, 1, 2))] * (
                rng.choice((1, 1, 1, 40))
            )
            tensor.fit()
        case 6:
            del archive.tensors[name]
        case _:
            number, _, role = name.rpartition(".")
            roles = ("bias", "thresholds", "centre", "level_value", "weight_index", role)
            other = rng.choice(("input", "layers.0", "layers.1", "layers.99", number))
            archive.tensors[f"{other}.{rng.choice(roles)}"] = _Tensor(
                tensor.dtype, list(tensor.shape), tensor.content
            )


def _read(data: bytes) -> _Archive | None:
    """Return a well-formed file in parts, None where a part has no meaning."""
    try:
        length = int.from_bytes(data[:8], "little")
        header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__").items()}
        tensors = {}
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            if entry["dtype"] not in _ITEM_BYTES:
                return None
            shape = [int(size) for size in entry["shape"]]
            tensors[name] = _Tensor(entry["dtype"], shape, body[first:last])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    return _Archive(metadata, tensors)


def _write(archive: _Archive, rng: Random) -> bytes:
    header: dict[str, object] = {"__metadata__": archive.metadata}
    body = b""
    for name, tensor in archive.tensors.items():
        last = len(body) + len(tensor.content)
        header[name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [len(body), last],
        }
        body += tensor.content
    if rng.random() < 0.05:
        header = changed_json(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _plain_digest(archive: _Archive) -> str:
    tensors = {}
    for name, tensor in archive.tensors.items():
        whole = np.frombuffer(tensor.content[: len(tensor.content) // 8 * 8], np.uint8)
        array = whole.view(_NUMPY[tensor.dtype])
        if array.size == math.prod(tensor.shape) and len(tensor.shape) <= 32:
            array = array.reshape(tensor.shape)
        tensors[name] = array
    return digest(archive.metadata.get("network", ""), tensors)


def _sign_encoded(archive: _Archive) -> None:
    """Give an encoded file the checksum of what it holds, if it decodes."""
    from nomul.network import encoded

    with suppress(Exception):  # whatever it is, the target meets it again
        parts = {
            name: np.frombuffer(tensor.content, _NUMPY[tensor.dtype])
            for name, tensor in archive.tensors.items()
        }
        text = archive.metadata["network"]
        archive.metadata["sha256"] = digest(text, encoded._decode(parts))
