"""Files that are on the disk when we say so: written, given their name, and the name as well.

All raise OSError, which callers tell in their own words.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that is not there yet. Its name is on disk only when its directory is: `sync_path`."""
    with os.fdopen(os.open(path, _NEW, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in place of an old one, in one step, mode 0600."""
    new = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    write_new(new, data)
    new.rename(path)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Have a file's or directory's state on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
