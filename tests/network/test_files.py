"""Files and folders appear complete or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


def left_behind(tmp_path: Path, block: str) -> list[str]:
    """Let a process be killed in the middle of a block, and return what it leaves."""
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from nomul.network.files import staged_file, staged_folder\n"
        f"with {block} as stage:\n"
        "    (stage / 'half' if stage.is_dir() else stage).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "results")], check=False)
    assert ended.returncode == -signal.SIGKILL
    return names(tmp_path)


def test_what_a_killed_process_left_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    (left,) = left_behind(tmp_path, "staged_folder(Path(sys.argv[1]))")
    assert left.startswith(".results.nomul-")
    with staged_folder(tmp_path / "results") as stage:
        assert names(tmp_path) == [stage.name]
    assert left_behind(tmp_path, "staged_file(Path(sys.argv[1]) / 'a')") == ["results"]
    (left,) = names(tmp_path / "results")
    assert left.startswith(".a.nomul-")
    write_complete(tmp_path / "results" / "a", "whole")
    assert names(tmp_path / "results") == ["a"]


def test_what_another_process_is_making_stays(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "results") as first, staged_folder(tmp_path / "results") as stage:
        assert names(tmp_path) == sorted([first.name, stage.name])
        (first / "a").write_text("1")
        (stage / "b").write_text("2")
    assert names(tmp_path / "results") == ["a", "b"]


@pytest.mark.parametrize("name", [".results.nomul-mine", ".results.nomul-previous1", ".results-o"])
def test_a_folder_of_the_users_own_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with staged_folder(tmp_path / "results"):
        pass
    assert names(tmp_path) == sorted([name, "results"])
