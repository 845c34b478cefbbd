"""Files and folders appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nomul.network.errors import UserError
from nomul.network.files import staged_file, staged_folder, write_complete


class Interrupted(Exception):
    """What the tests raise in the middle of a block."""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.parametrize("content", ["", "two\nlines", b"", b"\x00\xff"])
def test_what_was_written_is_read(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_complete(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(path.parent) == ["file"]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_complete(path, "a long old text")
    write_complete(path, "new")
    assert path.read_text() == "new"


@pytest.mark.usefixtures("open_umask")
def test_a_file_gets_the_users_permissions(tmp_path: Path) -> None:
    write_complete(tmp_path / "file", "")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_complete(path, "old")
    with suppress(Interrupted), staged_file(path) as temporary:
        temporary.write_text("half of the n")
        raise Interrupted
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_the_old_file_is_there_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_complete(path, "old")
    with staged_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_file_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "below"
    with pytest.raises(UserError) as refused:
        write_complete(path, "")
    assert str(refused.value) == f"Cannot write {path}: {path.parent} is not a folder."


def test_a_folder_cannot_be_written_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(UserError) as refused:
        write_complete(path, "")
    assert str(refused.value) == f"Cannot write {path}: it is there and no regular file."
    assert names(tmp_path) == ["folder"]


def test_a_folder_appears_with_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "results"
    with staged_folder(folder) as stage:
        (stage / "a").write_text("1")
        (stage / "b").mkdir()
        (stage / "b" / "c").write_text("2")
        assert not folder.exists()
    assert (folder / "a").read_text() == "1"
    assert (folder / "b" / "c").read_text() == "2"
    assert names(folder.parent) == ["results"]


def test_a_folder_keeps_what_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "a").write_text("old")
    (folder / "other").write_text("kept")
    with staged_folder(folder) as stage:
        (stage / "a").write_text("new")
    assert (folder / "a").read_text() == "new"
    assert (folder / "other").read_text() == "kept"


def test_a_folder_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    (folder / "a" / "mine").mkdir(parents=True)
    with pytest.raises(UserError) as refused, staged_folder(folder) as stage:
        (stage / "a").write_text("new")
    assert str(refused.value) == f"Cannot write into {folder}: Is a directory."
    assert names(folder / "a") == ["mine"]


def test_an_interrupted_block_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "a").write_text("old")
    with suppress(Interrupted), staged_folder(folder) as stage:
        (stage / "a").write_text("new")
        raise Interrupted
    assert (folder / "a").read_text() == "old"
    assert names(tmp_path) == ["results"]


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    with pytest.raises(UserError) as refused, staged_folder(folder):
        pass
    assert str(refused.value) == f"Cannot write into {folder}: File exists."


def test_a_file_cannot_be_written_into_as_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.write_text("a file")
    with pytest.raises(UserError) as refused, staged_folder(folder):
        pass
    assert str(refused.value) == f"Cannot write into {folder}: it is not a folder."
    assert names(tmp_path) == ["results"]
