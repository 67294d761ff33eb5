"""Holding a directory as the only process of a sort."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanner.model.errors import BusyError, StorageError
from scanner.system.locking import FileLock, LockHeld


@contextmanager
def only_one(lock_file: Path, what: str, remedy: str) -> Iterator[None]:
    """Hold a lock as long as the block lasts.

    Args:
        what: the sort of process, for errors.
        remedy: what to do where another one has it.

    Raises:
        BusyError: another one has it.
        StorageError: the lock can't be taken.
    """
    try:
        lock = FileLock.acquire(lock_file)
    except LockHeld as e:
        raise BusyError(
            f"another {what} is running on this directory (process {e.holder or 'unknown'})",
            where=str(lock_file.parent),
            remedy=remedy,
        ) from e
    except OSError as e:
        raise StorageError(
            f"the {what}'s lock can't be taken ({e.strerror})",
            where=str(lock_file),
            remedy="Look at what stands there: it must be a plain file, made by hostsweep itself",
        ) from e
    with lock:
        yield
