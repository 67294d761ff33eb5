"""The file a list is written to while it comes: ours alone, complete and durable, or gone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiofiles

from scanner.model.errors import FeedRefusedError, FeedTransportError, StorageError

_COPY = 1024 * 1024  # bytes copied at once


def too_large(limit: int) -> FeedRefusedError:
    return FeedRefusedError(
        f"the list has more than {limit} bytes", remedy="If it is right, raise the feed's max_bytes"
    )


class Staging:
    """A list on its way to disk; `bytes` and `sha256` are of what came so far."""

    def __init__(self, file: Any, path: Path, limit: int) -> None:
        self._file = file
        self._path = path
        self._limit = limit
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            FeedRefusedError: there are more than may be.
            StorageError: they can't be written.
        """
        self.bytes += len(data)
        if self.bytes > self._limit:
            raise too_large(self._limit)
        view = memoryview(data)
        with storage_errors(self._path):
            while view:  # a disk that is all but full takes a part
                view = view[await self._file.write(view) :]
        await asyncio.to_thread(self._digest.update, data)

    async def restart(self) -> None:
        """Forget what came so far.

        Raises:
            StorageError: the file can't be emptied.
        """
        self.bytes = 0
        self._digest = hashlib.sha256()
        with storage_errors(self._path):
            await self._file.seek(0)
            await self._file.truncate()


@asynccontextmanager
async def staged(path: Path, limit: int) -> AsyncIterator[Staging]:
    """Make the file anew, mode 0600; on leaving it is synced to disk, or removed after any error.

    Raises:
        StorageError: it can't be made or synced.
    """
    with storage_errors(path):
        await asyncio.to_thread(path.unlink, missing_ok=True)
        file = await aiofiles.open(path, "xb", buffering=0, opener=_private)
    try:
        try:
            yield Staging(file, path, limit)
            with storage_errors(path):
                await asyncio.to_thread(os.fsync, file.fileno())
        finally:
            await file.close()
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """What goes wrong with our own files, as StorageError."""
    try:
        yield
    except OSError as e:
        raise StorageError(
            f"the feeds' directory can't be used ({e.strerror or type(e).__name__})",
            where=str(path),
            remedy="Check free space, permissions and the disk",
        ) from e


def file_tag(st: os.stat_result) -> str:
    """An entity tag for a local file: changes with every change of it."""
    return f'"{st.st_ino}-{st.st_size}-{st.st_mtime_ns}-{st.st_ctime_ns}"'


def written_meanwhile(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether an open file may have been written to between two looks at it.

    That another file was put in its place is none of it, although its inode changes: it loses a name.
    """
    if file_tag(before) == file_tag(after):
        return False
    as_it_was = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return not (as_it_was and after.st_nlink < before.st_nlink)


def open_local(source: Path) -> int:
    """Open a local list for `copy_local`; a pipe in its place doesn't hold us up.

    Raises:
        FeedTransportError: it can't be read.
    """
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise _unreadable(e) from e


def copy_local(fd: int, target: Path, limit: int, known_tag: str) -> tuple[str, int, str] | None:
    """Copy a local list from its descriptor, which is closed at the end; blocking.

    Returns:
        (tag, bytes, SHA-256 in hexadecimal), or None when the tag is the known one.

    Raises:
        FeedTransportError: it can't be read, is no regular file, or changed meanwhile.
        FeedRefusedError: it is too large.
        StorageError: the copy can't be written.
    """
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise FeedTransportError(
                "this is no regular file",
                remedy="Name a file that exists; the url of a drop folder ends with /",
            )
        if known_tag and file_tag(before) == known_tag:
            return None
        size, digest = _copy(fd, target, limit)
        if written_meanwhile(before, os.fstat(fd)):
            target.unlink(missing_ok=True)
            raise FeedTransportError(
                "the file changed while it was read", remedy="Put new lists in place by renaming"
            )
        return file_tag(before), size, digest
    finally:
        os.close(fd)


def _copy(fd: int, target: Path, limit: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    try:
        with storage_errors(target):
            target.unlink(missing_ok=True)
            out = os.fdopen(_private(str(target), os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")
        with out:
            while data := _read(fd):
                size += len(data)
                if size > limit:
                    raise too_large(limit)
                digest.update(data)
                with storage_errors(target):
                    out.write(data)
            with storage_errors(target):
                out.flush()
                os.fsync(out.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return size, digest.hexdigest()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _COPY)
    except OSError as e:
        raise _unreadable(e) from e


def _unreadable(e: OSError) -> FeedTransportError:
    return FeedTransportError(
        f"the file can't be read ({e.strerror})", remedy="Name a file that exists and may be read"
    )
