"""Arrays from files that others wrote: nothing is executed, and every error is a sentence."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nomul.network.errors import UserError

__all__ = ["existing_idx", "native", "read_idx", "read_npz"]

# "The IDX file format" on the page of the MNIST database: the third byte says the type, the
# fourth the number of axes; all numbers are big-endian.
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def existing_idx(folder: Path, name: str) -> Path | None:
    """Return the IDX file of that name in ``folder``, compressed or not, if there is one."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def read_idx(path: Path) -> NDArray[Any]:
    """Return the array of an IDX file, in the machine's byte order; ``.gz`` is decompressed.

    Raises
    ------
    UserError
        If the file is not IDX, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, "gzip", error) from error
    dtype = IDX_TYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    n_axes = content[3] if dtype else 0
    start = 4 + 4 * n_axes
    if dtype is None or not n_axes or len(content) < start:
        raise UserError(
            f"{str(path)!r} is not an IDX file: it does not begin with two zero bytes, a known "
            "type and a number of axes; fetch it again."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", n_axes, offset=4))
    expected = start + int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if len(content) != expected:
        raise UserError(
            f"{str(path)!r} holds {len(content)} bytes, but its header of shape {shape} says "
            f"{expected}: fetch it again."
        )
    try:
        return native(np.frombuffer(content, dtype, offset=start).reshape(shape).copy())
    except ValueError as error:  # no values on axes of any size, or too many axes
        raise UserError(
            f"{str(path)!r} has an impossible shape ({error}): fetch it again."
        ) from error


def read_npz(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, NDArray[Any]]:
    """Return the arrays of those names; of the optional ones those that are there.

    Raises
    ------
    UserError
        If the file is not an .npz, or damaged, an array is absent or holds Python objects.
    """
    try:
        _check_archive(path)
        with np.load(path, allow_pickle=False) as file:
            present = [name for name in required + optional if name in file]
            arrays = {name: native(np.asarray(file[name])) for name in present}
    except Exception as error:  # a damaged file may raise anything
        if "allow_pickle" in str(error):
            raise UserError(
                f"{str(path)!r} holds Python objects, which could execute anything: save plain "
                "arrays of numbers with numpy.savez."
            ) from error
        raise _damaged(path, ".npz", error) from error
    absent = [name for name in required if name not in arrays]
    if absent:
        hint = f", and {' and '.join(optional)} where there are classes" if optional else ""
        raise UserError(
            f"{str(path)!r} has no array {absent[0]}: expected {', '.join(required)}{hint}."
        )
    return arrays


def _check_archive(path: Path) -> None:
    """Refuse what NumPy would take for another format, and what it did not compress.

    Other methods than its own make gigabytes of a few bytes.
    """
    with zipfile.ZipFile(path) as archive:
        methods = {entry.compress_type for entry in archive.infolist()}
    if not methods <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise zipfile.BadZipFile("it is compressed by another method than NumPy's")


def native(array: NDArray[Any]) -> NDArray[Any]:
    """Return ``array`` in the machine's byte order, and bool as uint8: what PyTorch takes."""
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _damaged(path: Path, kind: str, error: Exception) -> UserError:
    return UserError(
        f"{str(path)!r} is no {kind} file, or a damaged one ({error}): fetch or save it again."
    )
