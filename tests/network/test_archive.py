from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nomul.network import UserError
from nomul.network.archive import read_archive, read_tensors, write_archive

TENSORS: dict[str, NDArray[Any]] = {
    "number": np.array(7, np.int64),
    "none": np.zeros(0, np.float64),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "bytes": np.array([[0, 1]], np.uint8),
}


def test_tensors_come_back_with_their_shapes_and_types(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tensors.safetensors"
    write_archive(path, "some-kind", TENSORS)
    found = read_archive(path, "some-kind")
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(found[name], tensor)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_same_tensors_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_archive(tmp_path / name, "some-kind", TENSORS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tensors.safetensors"
    write_archive(path, "some-kind", TENSORS)
    with pytest.raises(UserError) as caught:
        read_archive(path, "another-kind")
    assert str(caught.value) == (
        f"{path} is no file of format 'another-kind': its metadata say 'some-kind'."
    )
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        read_archive(path, "some-kind")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        read_archive(tmp_path / "absent", "some-kind")


def test_metadata_come_with_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "tensors.safetensors"
    write_archive(path, "some-kind", TENSORS)
    metadata, tensors = read_tensors(path)
    assert metadata == {"format": "some-kind"}
    assert tensors.keys() == TENSORS.keys()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="incomplete"):
        read_tensors(path)
