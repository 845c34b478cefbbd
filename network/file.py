"""The network file: one ``.safetensors``; docs/network-file.md states its meaning."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from nomul.network.archive import read_tensors, reproducible
from nomul.network.document import Document, parsed
from nomul.network.errors import InvalidNetwork
from nomul.network.files import write_complete

__all__ = [
    "ENCODED_FORMAT",
    "FORMAT",
    "VERSION",
    "digest",
    "read_document",
    "read_parts",
    "write_document",
]

FORMAT = "nomul-network"
ENCODED_FORMAT = "nomul-network-encoded"
VERSION = "1"


def write_document(document: Document, path: Path) -> None:
    """Write a document that has passed the rules to ``path``, complete or not at all.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    text = json.dumps(document.description)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "network": text,
        "sha256": digest(text, document.tensors),
    }
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in document.tensors.items()}
    write_complete(path, reproducible(save(tensors, metadata=metadata)))


def read_document(path: Path) -> Document:
    """Read what the file at ``path`` says, unchecked but for format, version and checksum.

    Raises
    ------
    InvalidNetwork
        If the file is absent, truncated, foreign, newer or altered.
    """
    metadata, tensors = read_parts(path)
    if metadata.get("format") == ENCODED_FORMAT:
        from nomul.network.encoded import decode_document

        return decode_document(path, metadata, tensors)
    _check_version(metadata, path)
    text = metadata["network"]
    if "sha256" in metadata and metadata["sha256"] != digest(text, tensors):
        raise InvalidNetwork(
            f"{path} was altered after it was written: its content does not match its checksum; "
            "get a fresh copy or train again."
        )
    try:
        description = parsed(text)
    except ValueError as error:
        raise InvalidNetwork(f"{path} is damaged: its description is not JSON.") from error
    return Document(description, tensors)


def read_parts(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return the metadata and the tensors of a network file, encoded or not.

    Raises
    ------
    InvalidNetwork
        If the file is absent or truncated.
    """
    if not path.is_file():
        raise InvalidNetwork(f"There is no network file {path}: check the path.")
    try:
        return read_tensors(path)
    except ValueError as error:
        raise InvalidNetwork(
            f"{path} is truncated or no network file: it cannot be read as safetensors ({error})."
        ) from error


def _check_version(metadata: dict[str, str], path: Path) -> None:
    if metadata.get("format") != FORMAT or "network" not in metadata:
        raise InvalidNetwork(
            f"{path} is a safetensors file, but no network file: its metadata does not say "
            f"format = {FORMAT!r}."
        )
    version = metadata.get("version", "")
    if version != VERSION:
        raise InvalidNetwork(
            f"{path} is a network file of version {version!r}, and this nomul reads version "
            f"{VERSION!r}: install a nomul that knows it, or save the network again."
        )


def digest(text: str, tensors: dict[str, NDArray[Any]]) -> str:
    """SHA-256 over the description and, by name, each tensor's name, dtype, shape and bytes."""
    hashed = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        hashed.update(f"{name} {tensor.dtype.name} {list(tensor.shape)}".encode())
        hashed.update(np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes())
    return hashed.hexdigest()
