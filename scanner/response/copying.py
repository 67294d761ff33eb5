"""Copying bytes while hashing them, and what must reach the disk before the next step."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scanner.model.errors import SourceError, VaultError, VaultFullError
from scanner.model.hashes import EXACT_KINDS

_BLOCK = 1 << 20  # bytes in one read: large enough that calls don't matter, small enough to hold in memory

# EFBIG: a file size limit (RLIMIT_FSIZE, or the file system's own) is a lack of room like the others.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ContentChangedError(SourceError):
    """The bytes read are not the bytes that were hashed before."""


def no_room(error: OSError) -> bool:
    """Whether a write failed for lack of room."""
    return error.errno in _NO_ROOM


@contextmanager
def own_storage(where: Path) -> Iterator[None]:
    """The one place where an OSError becomes an error of the vault.

    Reading customers' files inside such a block is safe: `copy_hashed` has turned its read errors into
    SourceError already, so a customer's broken disk is never blamed on the vault.

    Raises:
        VaultFullError: no room.
        VaultError: anything else the file system said.
    """
    try:
        yield
    except OSError as e:
        reason = e.strerror or str(e)
        if no_room(e):
            raise VaultFullError(
                f"the vault is full ({reason})", where=str(where), remedy="Make room or purge resolved items"
            ) from e
        raise VaultError(
            f"the vault can't be used ({reason})",
            where=str(where),
            remedy="Check the directory's owner, mode and disk with `hostsweep doctor`",
        ) from e


def copy_hashed(
    source_fd: int, target_fd: int | None, expected: Mapping[str, bytes], size: int
) -> dict[str, bytes]:
    """Copy a whole file and hash what was written.

    Reads by offset, so the descriptor's own position stays, and never more than one byte beyond `size`: a
    file that somebody keeps growing ends as "changed", not as an endless copy.

    Args:
        source_fd: read from its first byte.
        target_fd: written to from its position; None to only hash.
        expected: kind to digest; what must come out.
        size: length in bytes that must come out.

    Returns:
        kind to raw digest: sha256 and every exact kind of `expected`.

    Raises:
        ContentChangedError: another length or another digest came out.
        SourceError: the source can't be read.
        OSError: the target can't be written.
    """
    hashes = {k: hashlib.new(k, usedforsecurity=False) for k in {"sha256", *expected} if k in EXACT_KINDS}
    total = 0
    for block in _blocks(source_fd, size + 1):
        total += len(block)
        if total > size:
            break
        for h in hashes.values():
            h.update(block)
        if target_fd is not None:
            _write_all(target_fd, block)
    found = {kind: h.digest() for kind, h in hashes.items()}
    if total != size or any(found[k] != expected[k] for k in found if k in expected):
        raise ContentChangedError("the content is not what was hashed before")
    return found


def _blocks(fd: int, limit: int) -> Iterator[bytes]:
    offset = 0
    while offset < limit:
        try:
            block = os.pread(fd, min(_BLOCK, limit - offset), offset)
        except OSError as e:
            raise SourceError(f"the file can't be read ({e.strerror})") from e
        if not block:
            return
        offset += len(block)
        yield block


def _write_all(fd: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view) :]


def fsync_directories(fds: Iterable[int]) -> None:
    """Bring directories' entries to the disk.

    A file system that can't sync a directory (some FUSE ones: EINVAL) orders its changes itself or not at
    all; there is nothing more to be done there.

    Raises:
        OSError: EIO and the like.
    """
    for fd in fds:
        try:
            os.fsync(fd)
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise


def fsync_path(directory: Path) -> None:
    """Bring one of our own directories' entries to the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync_directories([fd])
    finally:
        os.close(fd)
