"""Named tensors in a ``.safetensors`` file: nothing is executed when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nomul.network.errors import UserError
from nomul.network.files import write_complete

__all__ = ["read_archive", "read_tensors", "reproducible", "write_archive"]


def write_archive(path: Path, kind: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write ``tensors`` to ``path``, complete or not at all.

    Parameters
    ----------
    kind
        What the file is, for :func:`read_archive`.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    # Not ascontiguousarray, which gives a number an axis.
    ordered = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    write_complete(path, reproducible(save(ordered, metadata={"format": kind})))


def read_archive(path: Path, kind: str) -> dict[str, NDArray[Any]]:
    """Return the tensors of the file at ``path``.

    Raises
    ------
    UserError
        If it is absent, truncated or of another kind.
    """
    try:
        metadata, tensors = read_tensors(path)
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({error}): get a fresh copy or train again."
        ) from error
    found = metadata.get("format")
    if found != kind:
        raise UserError(f"{path} is no file of format {kind!r}: its metadata say {found!r}.")
    return tensors


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return the metadata and the tensors of a safetensors file of any kind.

    Raises
    ------
    ValueError
        If it is absent, truncated or no such file, or has tensors of types that NumPy has not.
    """
    try:
        with safe_open(path, framework="numpy") as archive:
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
            return archive.metadata() or {}, tensors
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def reproducible(content: bytes) -> bytes:
    """Return a safetensors file with its metadata in order: the library writes it in any."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
