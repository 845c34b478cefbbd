"""The encoded network file: the same network, its weight indices entropy-coded.

docs/network-file.md, "Encoded form", states its meaning.
"""

from __future__ import annotations

import io
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from nomul.network.archive import reproducible
from nomul.network.coding import count_codes, decode_indices, encode_indices, model_size
from nomul.network.document import Document, parsed
from nomul.network.errors import InvalidNetwork, UserError
from nomul.network.file import ENCODED_FORMAT as FORMAT
from nomul.network.file import digest, read_parts
from nomul.network.files import write_complete
from nomul.network.memory import index_counts
from nomul.network.model import Network

__all__ = [
    "FORMAT",
    "VERSION",
    "decode_document",
    "encoded_size",
    "read_encoded",
    "write_encoded",
]

VERSION = "1"

# What a reader allocates is bounded by what the file really holds: no small one exhausts a machine.
_LIST_MAX = 1 << 20
_AXES_MAX = 33
_DECODED_FREE = 1 << 26
_DECODED_PER_BYTE = 256

_CENTRES_MAX = 65_536
_FACTORS = ("level_value", "centre")
_INDEX_DTYPES = ("uint8", "uint16")
_DTYPES = ("int32", "float64")
_ROLE_DTYPES = {"weight_index": _INDEX_DTYPES, "level_table": ("uint8",)}
_Spec = tuple[np.dtype[Any], tuple[int, ...]]


class _DamagedError(Exception):
    """The file is not what ``write_encoded`` writes; says in half a sentence why."""


def write_encoded(document: Document, path: Path) -> None:
    """Write a document that has passed the rules to ``path``, complete or not at all.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    write_complete(path, _encode(document))


def encoded_size(network: Network) -> int:
    """Return the bytes of the encoded file of ``network``, all of them."""
    return len(_encode(network.document()))


def read_encoded(path: Path) -> Document:
    """Return the document that the encoded file at ``path`` holds, unchecked but for its checksum.

    Raises
    ------
    InvalidNetwork
        If the file is absent, truncated, foreign, newer or altered.
    """
    return decode_document(path, *read_parts(path))


def decode_document(
    path: Path, metadata: dict[str, str], parts: dict[str, NDArray[Any]]
) -> Document:
    """Return the document that the metadata and the tensors of an encoded file hold.

    Raises
    ------
    InvalidNetwork
        If they are foreign, newer or altered; ``path`` is named in the sentence.
    """
    _check_version(metadata, path)
    try:
        tensors = _decode(parts)
        if metadata.get("sha256") != digest(metadata["network"], tensors):
            raise _DamagedError("its content does not match its checksum")
        try:
            description = parsed(metadata["network"])
        except ValueError as error:
            raise _DamagedError("its description is not JSON") from error
    except _DamagedError as error:
        raise InvalidNetwork(
            f"{path} was altered after it was written: {error}; get a fresh copy or train again."
        ) from error
    return Document(description, tensors)


def _check_version(metadata: dict[str, str], path: Path) -> None:
    if metadata.get("format") != FORMAT or "network" not in metadata:
        raise InvalidNetwork(
            f"{path} is a safetensors file, but no encoded network file: its metadata does not "
            f"say format = {FORMAT!r}."
        )
    version = metadata.get("version", "")
    if version != VERSION:
        raise InvalidNetwork(
            f"{path} is an encoded network file of version {version!r}, and this nomul reads "
            f"version {VERSION!r}: install a nomul that knows it, or save the network again."
        )


def _encode(document: Document) -> bytes:
    tensors = document.tensors
    entries: dict[str, Any] = {}
    packed: list[bytes] = []
    indices: list[tuple[NDArray[Any], NDArray[np.uint8]]] = []
    first: dict[tuple[Any, bytes], str] = {}
    for name in sorted(tensors, key=_by_role):
        tensor = tensors[name]
        entries[name] = [tensor.dtype.name, list(tensor.shape)]
        if _role(name) == "weight_index":
            n_centres = tensors[_sibling(name, "product_table")].shape[1]
            codes = count_codes(index_counts(tensor, model_size(n_centres)))
            packed.append(codes.tobytes())
            indices.append((tensor, codes))
        elif not _is_product(name, tensors):
            content = _pack(tensor)
            same = first.setdefault(((tensor.dtype.name, tensor.shape), content), name)
            if same == name:
                packed.append(content)
            else:
                entries[name] = same
    listed = json.dumps(entries, separators=(",", ":")).encode()
    deflated = zlib.compress(listed + b"\n" + b"".join(packed), 9)
    parts: dict[str, NDArray[Any]] = {
        "tensors": np.frombuffer(deflated, np.uint8),
        "words": encode_indices(indices),
    }
    n_decoded = sum(tensor.nbytes for tensor in tensors.values())
    if len(listed) >= _LIST_MAX or n_decoded > _decoded_max(parts):
        raise UserError(
            f"The network's {n_decoded:,} bytes are more than a reader of the encoded form takes "
            "for a file of this size: save it in the plain form."
        )
    text = json.dumps(document.description)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "network": text,
        "sha256": digest(text, tensors),
    }
    return reproducible(save(parts, metadata=metadata))


def _decode(parts: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return all tensors; what they may take together is checked before any is made."""
    forms = {name: (part.dtype.name, part.ndim) for name, part in parts.items()}
    if forms != {"tensors": ("uint8", 1), "words": ("uint32", 1)}:
        raise _DamagedError("it does not consist of tensors and words")
    entries, packed = _inflate(parts["tensors"].tobytes())
    specs = _read_specs(entries)
    if sum(map(_n_bytes, specs.values())) > _decoded_max(parts):
        raise _DamagedError("it lists larger tensors than a file of its size may hold")
    tensors: dict[str, NDArray[Any]] = {}
    models: dict[str, NDArray[np.uint8]] = {}
    for name, (dtype, shape) in specs.items():
        if isinstance(entries[name], str):
            tensors[name] = tensors[entries[name]]
        elif _is_product(name, tensors):
            value, centre = (tensors[_sibling(name, factor)] for factor in _FACTORS)
            if (*value.shape, *centre.shape) != shape:
                raise _DamagedError(f"its {name} has not the shape of its factors")
            tensors[name] = np.outer(value.astype(np.int64), centre).astype(np.int32)
        elif _role(name) == "weight_index":
            models[name] = np.frombuffer(_take(packed, _model_bytes(name, tensors)), np.uint8)
        else:
            tensors[name] = _unpack(_take(packed, _n_bytes(specs[name])), dtype, shape)
    if packed.read(1):
        raise _DamagedError("its tensors are longer than it lists them")
    if not all(codes.any() for codes in models.values()):
        raise _DamagedError("it has weight indices of which none occurs")
    try:
        decoded = decode_indices(
            parts["words"], [(*specs[name], codes) for name, codes in models.items()]
        )
        return tensors | dict(zip(models, decoded, strict=True))
    except ValueError as error:
        raise _DamagedError("its weight indices do not decode") from error


def _decoded_max(parts: dict[str, NDArray[Any]]) -> int:
    return _DECODED_FREE + _DECODED_PER_BYTE * sum(part.nbytes for part in parts.values())


def _inflate(deflated: bytes) -> tuple[dict[str, Any], io.BytesIO]:
    """Return the list of tensors and a stream of what it lists."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(deflated)  # at most 1032 bytes for each
    except zlib.error as error:
        raise _DamagedError("its tensors do not decompress") from error
    end = content.find(b"\n", 0, _LIST_MAX)
    if not inflater.eof or inflater.unused_data or end < 0:
        raise _DamagedError("its tensors do not decompress to a list and what it lists")
    try:
        entries = parsed(content[:end])
    except ValueError as error:
        raise _DamagedError("its list of tensors is not JSON") from error
    if not isinstance(entries, dict):
        raise _DamagedError("its list of tensors is no object")
    stream = io.BytesIO(content)
    stream.seek(end + 1)
    return entries, stream


def _read_specs(entries: dict[str, Any]) -> dict[str, _Spec]:
    """Return each listed tensor's dtype and shape; a name stands for an earlier, equal tensor."""
    specs: dict[str, _Spec] = {}
    for name, entry in entries.items():
        if not name.isascii():
            raise _DamagedError(f"its list of tensors names {name!r}")
        dtypes = _dtypes(name)
        match entry:
            case str() if (
                entry in specs
                and dtypes == _dtypes(entry) != _INDEX_DTYPES
                and isinstance(entries[entry], list)
            ):
                specs[name] = specs[entry]
            case [str(dtype), [_, *_] as shape] if (
                dtype in dtypes
                and len(shape) <= _AXES_MAX
                and all(type(n) is int and 0 < n < 1 << 32 for n in shape)
            ):
                specs[name] = np.dtype(dtype), tuple(shape)
            case _:
                raise _DamagedError(f"its list of tensors has no dtype and shape for {name!r}")
    return specs


def _dtypes(name: str) -> tuple[str, ...]:
    return _ROLE_DTYPES.get(_role(name), _DTYPES)


def _take(packed: io.BytesIO, size: int) -> bytes:
    content = packed.read(size)
    if len(content) != size:
        raise _DamagedError("its tensors are shorter than it lists them")
    return content


def _model_bytes(name: str, tensors: dict[str, NDArray[Any]]) -> int:
    table = tensors.get(_sibling(name, "product_table"))
    if table is None or table.ndim != 2 or table.shape[1] > _CENTRES_MAX:
        raise _DamagedError(f"its {name} has no product table before it")
    return model_size(table.shape[1])


def _pack(tensor: NDArray[Any]) -> bytes:
    """Return the bytes of a tensor so that they compress well.

    Integers become differences along the last axis, modulo 2^32, the signed 0, -1, 1, -2, ...
    numbered 0, 1, 2, 3, ...; then all lowest bytes of the entries come first, and so on.
    """
    if tensor.dtype == np.int32:
        step = np.diff(tensor.astype(np.int64), axis=-1, prepend=0).astype(np.int32)
        tensor = (step << 1) ^ (step >> 31)
    flat = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).reshape(-1, 1)
    return flat.view(np.uint8).T.tobytes()


def _unpack(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
    entries = planes.T.copy().view(dtype.newbyteorder("<")).reshape(shape).astype(dtype)
    if dtype != np.int32:
        return entries
    code = entries.view(np.uint32)
    step = (code >> 1) ^ -(code & 1)
    return np.cumsum(step, axis=-1, dtype=np.uint32).view(np.int32)


def _n_bytes(spec: _Spec) -> int:
    return spec[0].itemsize * math.prod(spec[1])


def _role(name: str) -> str:
    return name.rpartition(".")[2]


def _sibling(name: str, role: str) -> str:
    return f"{name.rpartition('.')[0]}.{role}"


def _by_role(name: str) -> tuple[str, int, str]:
    """Order tensors of a kind together, factors before tables, and tables before indices."""
    return _role(name), len(name), name


def _is_product(name: str, tensors: dict[str, NDArray[Any]]) -> bool:
    """Whether the tensor follows from its factors, and so is not stored."""
    return _role(name) == "product_table" and all(
        _sibling(name, factor) in tensors for factor in _FACTORS
    )
