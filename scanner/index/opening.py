"""Opening a snapshot file: the right key, the checksum, and whose error it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanner.index import layout
from scanner.index.keyed import ListKey
from scanner.index.layout import DamagedLayout, Meta
from scanner.model.errors import ListKeyError, SnapshotError

_READ = 1 << 20  # bytes read at a time for the checksum


def right_key(meta: Meta, key: ListKey | None, path: Path) -> ListKey | None:
    """The key that the list was made with, None where it was made without one."""
    if not meta.key:
        return None
    if key is not None and key.id == meta.key:
        return key
    what = "and that key is not here" if key is None else "and the key here is another one"
    raise ListKeyError(
        f"the index snapshot is stored under a key, {what}",
        where=str(path),
        remedy="Put the key back (sync.key_file, else lists.key in the feeds' directory), or sync the feed",
    )


def file_checksum(fd: int) -> bytes:
    """SHA-256 of all behind the header. Read, not mapped: a bad sector is then an error and not a SIGBUS,
    and the pages don't count as this process's memory."""
    digest = hashlib.sha256()
    buffer = bytearray(_READ)
    view, position = memoryview(buffer), layout.HEADER_SIZE
    while got := os.preadv(fd, [buffer], position):
        digest.update(view[:got])
        position += got
    return digest.digest()


@contextmanager
def as_snapshot_error(path: Path) -> Iterator[None]:
    """The one place where what a file has wrong becomes the user's error."""
    try:
        yield
    except (DamagedLayout, IndexError) as e:
        what = str(e) if isinstance(e, DamagedLayout) else "a number in it leads nowhere"
        raise SnapshotError(
            f"the index snapshot can't be used: {what}",
            where=str(path),
            remedy="Fetch the feed again, and check the disk it lies on",
        ) from e
    except OSError as e:
        raise SnapshotError(
            f"the index snapshot can't be opened: {e.strerror or e}",
            where=str(path),
            remedy="Fetch the feed again",
        ) from e
