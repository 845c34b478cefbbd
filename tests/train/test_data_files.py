"""Arrays from files."""

from __future__ import annotations

import gzip
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import UserError
from nomul.train.data_files import existing_idx, native, read_idx, read_npz


def refusal_of_idx(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        read_idx(path)
    return str(refused.value)


def refusal_of_npz(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        read_npz(path, ("x",), ("y",))
    return str(refused.value)


# Written by hand after the description of the format: type, axes, sizes, big-endian values.
IDX = [
    (b"\0\0\x08\1" + b"\0\0\0\3" + bytes([7, 0, 255]), np.array([7, 0, 255], np.uint8)),
    (b"\0\0\x09\1" + b"\0\0\0\2" + b"\x80\x7f", np.array([-128, 127], np.int8)),
    (b"\0\0\x0b\2" + b"\0\0\0\1\0\0\0\2" + b"\xff\xfe\1\0", np.array([[-2, 256]], np.int16)),
    (b"\0\0\x0c\1" + b"\0\0\0\1" + b"\0\1\0\0", np.array([65536], np.int32)),
    (b"\0\0\x0d\1" + b"\0\0\0\1" + struct.pack(">f", 0.5), np.array([0.5], np.float32)),
    (b"\0\0\x0e\1" + b"\0\0\0\1" + struct.pack(">d", 0.1), np.array([0.1], np.float64)),
]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "expected"),
    IDX,
    ids=lambda value: str(value.dtype) if isinstance(value, np.ndarray) else "",
)
def test_idx_is_read(content: bytes, expected: NDArray[Any], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    found = read_idx(path)
    assert found.dtype == expected.dtype
    assert found.dtype.isnative
    assert found.shape == expected.shape
    assert found.tolist() == expected.tolist()
    assert found.flags.writeable  # PyTorch warns of what is not


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(IDX[0][0][:-1])
    assert refusal_of_idx(path) == (
        f"{str(path)!r} holds 10 bytes, but its header of shape (3,) says 11: fetch it again."
    )


def test_sizes_whose_product_is_beyond_64_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\0\0\x08\4" + b"\xff\xff\xff\xff" * 4)
    assert refusal_of_idx(path).endswith(f"says {20 + (2**32 - 1) ** 4}: fetch it again.")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\1\x08\1\0\0\0\0",
        b"\0\0\x07\1\0\0\0\0",
        b"\0\0\x08\0",
        b"\0\0\x08\2\0\0\0\0",
    ],
)
def test_what_is_not_idx_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert refusal_of_idx(path) == (
        f"{str(path)!r} is not an IDX file: it does not begin with two zero bytes, a known type "
        "and a number of axes; fetch it again."
    )


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_damaged_gzip_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    whole = gzip.compress(IDX[0][0])
    path.write_bytes(whole[:-9] if damage == "cut" else b"no gzip")
    reason = {
        "cut": "Compressed file ended before the end-of-stream marker was reached",
        "other": "Not a gzipped file (b'no')",
    }[damage]
    assert refusal_of_idx(path) == (
        f"{str(path)!r} is no gzip file, or a damaged one ({reason}): fetch or save it again."
    )


def test_the_uncompressed_file_goes_first(tmp_path: Path) -> None:
    assert existing_idx(tmp_path, "file") is None
    (tmp_path / "file.gz").touch()
    assert existing_idx(tmp_path, "file") == tmp_path / "file.gz"
    (tmp_path / "file").touch()
    assert existing_idx(tmp_path, "file") == tmp_path / "file"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_is_read(save: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    save(path, x=np.arange(3, dtype=">i2"), other=np.ones(2))
    arrays = read_npz(path, ("x",), ("y",))
    assert list(arrays) == ["x"]
    assert arrays["x"].dtype == np.int16
    assert arrays["x"].dtype.isnative
    assert arrays["x"].tolist() == [0, 1, 2]


def test_an_array_that_is_absent_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, y=np.ones(2))
    assert refusal_of_npz(path) == (
        f"{str(path)!r} has no array x: expected x, and y where there are classes."
    )


class Trap:
    """Fails the test if it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def test_python_objects_are_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, x=np.array([Trap()], dtype=object))
    assert refusal_of_npz(path) == (
        f"{str(path)!r} holds Python objects, which could execute anything: save plain arrays of "
        "numbers with numpy.savez."
    )
    path.write_bytes(pickle.dumps(Trap()))
    assert "(File is not a zip file)" in refusal_of_npz(path)


def test_what_is_not_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, x=np.arange(1000))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal_of_npz(path) == (
        f"{str(path)!r} is no .npz file, or a damaged one (File is not a zip file): fetch or save "
        "it again."
    )
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    assert "(File is not a zip file)" in refusal_of_npz(path)
    path.write_bytes(b"")
    assert "(File is not a zip file)" in refusal_of_npz(path)


def test_a_member_that_is_no_array_is_text(tmp_path: Path) -> None:
    """The checks of the data set refuse it by its type."""
    path = tmp_path / "file.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", "no array")
    assert read_npz(path, ("x",))["x"].dtype.kind == "S"


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, x=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert refusal_of_npz(path) == (
        f"{str(path)!r} is no .npz file, or a damaged one (Bad CRC-32 for file 'x.npy'): fetch or "
        "save it again."
    )


def test_arrays_become_what_pytorch_takes() -> None:
    assert native(np.array([True, False])).dtype == np.uint8
    assert native(np.array([True, False])).tolist() == [1, 0]
    swapped = np.array([1.5], ">f8")
    assert native(swapped).dtype.isnative
    assert native(swapped).tolist() == [1.5]
    same = np.arange(3)
    assert native(same) is same


def test_no_values_on_impossible_axes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\0\0\x08\4" + b"\xff\xff\xff\xff" * 3 + b"\0\0\0\0")
    assert refusal_of_idx(path).startswith(f"{str(path)!r} has an impossible shape (")
    path.write_bytes(b"\0\0\x08\x80" + b"\0\0\0\1" * 128 + b"\0")
    assert refusal_of_idx(path).startswith(f"{str(path)!r} has an impossible shape (")


def npy(header: str) -> bytes:
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 64), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "-" * 9000 + "1,), }",
        "{'descr': '<f8', 'shape': ((((",
    ],
    ids=["large", "negative", "deep", "open"],
)
def test_arrays_that_are_not_what_they_say_are_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy(header) + b"\0" * 8)
    assert refusal_of_npz(path).startswith(f"{str(path)!r} is no .npz file, or a damaged one (")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_numpy_does_not_write_are_refused(method: int, tmp_path: Path) -> None:
    """These make gigabytes of a kilobyte."""
    path = tmp_path / "file.npz"
    header = "{'descr': '<u1', 'fortran_order': False, 'shape': (1000000,), }"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", npy(header) + b"\0" * 1_000_000)
    assert refusal_of_npz(path) == (
        f"{str(path)!r} is no .npz file, or a damaged one (it is compressed by another method than "
        "NumPy's): fetch or save it again."
    )
