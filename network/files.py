"""Output that is complete or not there at all.

What is being made lies beside its place under a name of its own, locked. Where a process is killed
its locks are gone: so whoever writes to the same place next can tell, and clears away.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nomul.network.errors import UserError

__all__ = ["staged_file", "staged_folder", "write_complete"]


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds.

    Raises
    ------
    UserError
        If ``path`` is there and no regular file, or its folder cannot be created or written.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"Cannot write {path}: it is there and no regular file.")
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, lock = _made_beside(path, _make_file)
    except FileExistsError as error:
        raise UserError(f"Cannot write {path}: {path.parent} is not a folder.") from error
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from error
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)
        os.close(lock)


def write_complete(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` in one step: a reader sees the old file or the whole new one.

    Raises
    ------
    UserError
        If the folder of ``path`` cannot be created or written.
    """
    data = content.encode() if isinstance(content, str) else content
    with staged_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; move what lies in it into ``folder`` if the block succeeds.

    Each file appears in ``folder`` complete. If the block fails, ``folder`` stays as it was.

    Raises
    ------
    UserError
        If ``folder`` cannot be created or written.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"Cannot write into {folder}: it is not a folder.")
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage, lock = _made_beside(folder, _make_folder)
    except OSError as error:
        raise UserError(f"Cannot write into {folder}: {error.strerror}.") from error
    try:
        yield stage
        try:
            folder.mkdir(exist_ok=True)
            for entry in sorted(stage.iterdir()):
                entry.replace(folder / entry.name)
        except OSError as error:
            raise UserError(f"Cannot write into {folder}: {error.strerror}.") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(lock)


def _made_beside(path: Path, make: Callable[[str, Path], Path]) -> tuple[Path, int]:
    """Return a new temporary path beside ``path``, and the handle that holds its lock."""
    prefix = f".{path.name}.nomul-"
    _clear_away(prefix, path.parent)
    while True:
        made = make(prefix, path.parent)
        # Between the two lines another process may take it for one that was left, and remove it.
        with suppress(FileNotFoundError):
            lock = os.open(made, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: nothing is cleared away there
                fcntl.flock(lock, fcntl.LOCK_EX)
            if made.exists():
                return made, lock
            os.close(lock)


def _make_file(prefix: str, folder: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=prefix, dir=folder)
    os.close(handle)
    return Path(name)


def _make_folder(prefix: str, folder: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix, dir=folder))


def _clear_away(prefix: str, folder: Path) -> None:
    """Remove the temporary files and folders of that prefix that no process holds any more."""
    with suppress(OSError):
        for path in folder.iterdir():
            if re.fullmatch(re.escape(prefix) + r"[a-z0-9_]{8}", path.name):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):  # it is another's, or gone
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(lock)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
