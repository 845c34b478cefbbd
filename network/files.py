"""Output that is complete or not there at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except FileExistsError as error:
        raise UserError(f"Cannot write {path}: {path.parent} is not a folder.") from error
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


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
        stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
