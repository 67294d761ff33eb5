"""Exact digests, in one read of a file.

The descriptor is shared with the process that opened it, and so is its offset: only pread is used. What
is read is bounded by what was really read, since a size on a hostile file system is only a claim.

Reading leaves the page cache as it was, where the kernel and the file system can: pages that only we wanted
are dropped at once, those that were there stay (RWF_DONTCACHE, Linux 6.14). Elsewhere nothing is dropped,
since nobody could tell the customers' pages from ours.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from scanner.hashing.media import HEADER_SIZE
from scanner.hashing.offset_file import OffsetFile

CHUNK = 1 << 20  # bytes of one read: past the point where the cost of the call matters
_READ_AHEAD = 128 << 10  # bytes: the kernel's default (VM_READAHEAD_PAGES), and that of NFS
_NOWHERE = 1 << 62  # an offset that no file system has
_RWF_DONTCACHE = 0x80  # linux/fs.h; not in Python's os yet
KEEP = 64 << 20  # bytes: a file up to this size is decoded from memory and not read again


class ReadBudgetExceeded(Exception):
    """There is more in the file than may be read of it."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read.

    Attributes:
        size: bytes read.
        digests: kind to raw digest.
        data: the whole content, None where it was too large to keep.
    """

    size: int
    digests: dict[str, bytes]
    data: bytes | None


class _Hash(Protocol):
    def update(self, data: bytes | bytearray, /) -> None: ...

    def digest(self) -> bytes: ...


def new_hashes(kinds: Sequence[str]) -> dict[str, _Hash]:
    """Empty hashes of the named kinds (md5, sha1, sha256, sha512).

    They identify files here and protect nothing: FIPS builds of OpenSSL allow MD5 only when told so.
    """
    return {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}


class Reader:
    """Reads at an offset, without leaving pages behind. Remembers the devices that can't do that."""

    def __init__(self) -> None:
        self._refusing: set[int] = set()
        self._always_waiting: set[int] = set()

    def read(self, fd: int, device: int, wanted: int, offset: int) -> bytes | bytearray:
        """At most `wanted` bytes of a file on a device (st_dev).

        Raises:
            OSError: reading failed.
        """
        if device not in self._refusing:
            buffer = bytearray(wanted)
            try:
                n = os.preadv(fd, [buffer], offset, _RWF_DONTCACHE)
            except OSError as e:
                if e.errno != errno.EOPNOTSUPP:
                    raise
                self._refusing.add(device)
            else:
                del buffer[n:]
                return buffer
        elif wanted > _READ_AHEAD:
            _ask(fd, wanted, offset)
        return os.pread(fd, wanted, offset)

    def early(self, fd: int, device: int, wanted: int, offset: int) -> bytearray | None:
        """Have the kernel read what is needed soon, without waiting for it.

        Returns:
            at most `wanted` bytes that are there already. Fewer say nothing of the file's end, and to read
            them again may take long. None where there are none yet, and on any error: reading tells it.
        """
        if wanted <= 0:
            return None
        if device not in self._refusing and device not in self._always_waiting:
            buffer = bytearray(wanted)
            try:
                # The kernel starts reading before it says that we would have to wait (filemap_get_pages in
                # mm/filemap.c), and remembers to drop those pages.
                n = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT | _RWF_DONTCACHE)
            except BlockingIOError:
                return None
            except OSError as e:
                if e.errno == errno.EOPNOTSUPP:
                    self._learn(fd, device)
            else:
                del buffer[n:]
                return buffer
        if device in self._refusing:
            _ask(fd, wanted, offset)
        return None

    def _learn(self, fd: int, device: int) -> None:
        """Which of two flags a device does not have: a read where no file is asks for nothing but that."""
        try:
            os.preadv(fd, [bytearray(1)], _NOWHERE, _RWF_DONTCACHE)
        except OSError as e:
            if e.errno == errno.EOPNOTSUPP:
                self._refusing.add(device)
                return
        self._always_waiting.add(device)


def _ask(fd: int, wanted: int, offset: int) -> None:
    """Have the kernel begin to read, to stay in the page cache as all does that is read there."""
    # One call asks for no more than one step of read-ahead (force_page_cache_ra in mm/readahead.c).
    with suppress(OSError):
        for at in range(offset, offset + wanted, _READ_AHEAD):
            os.posix_fadvise(fd, at, min(_READ_AHEAD, offset + wanted - at), os.POSIX_FADV_WILLNEED)


def _chunks(
    reader: Reader, fd: int, device: int, header: bytes, size_hint: int
) -> Iterator[bytes | bytearray]:
    """What follows the header, to the end of the file."""
    offset = len(header)
    early: bytes | bytearray | None = None
    while True:
        # One byte more than expected: a short read is the end of a regular file, without another call.
        wanted = max(HEADER_SIZE, min(CHUNK, size_hint + 1 - offset))
        chunk = early or reader.read(fd, device, wanted, offset)
        ended = len(chunk) < wanted and not early
        offset += len(chunk)
        early = None
        if not ended and offset < size_hint:
            # Read while the caller hashes what it gets now.
            early = reader.early(fd, device, min(CHUNK, size_hint - offset), offset)
        if chunk:
            yield chunk
        if ended:
            return


def read_and_hash(
    reader: Reader,
    fd: int,
    kinds: Sequence[str],
    header: bytes,
    ended: bool,
    *,
    device: int,
    size_hint: int,
    budget: int,
    keep: int = KEEP,
) -> Content:
    """Read a file to its end, once.

    Args:
        fd: open for reading; its offset is neither used nor moved.
        kinds: exact kinds wanted, may be none.
        header: its first bytes, read before.
        ended: the header is all there is.
        device: where the file lies, as fstat says.
        size_hint: what fstat says; only the size of the reads depends on it, never how much is read.
        budget: most bytes that may be read.
        keep: largest content to be kept for decoding, in bytes.

    Raises:
        ReadBudgetExceeded: the file is longer than the budget.
        OSError: reading failed.
    """
    hashes = new_hashes(kinds)
    size = 0
    kept: list[bytes | bytearray] = [header]
    rest = iter(()) if ended else _chunks(reader, fd, device, header, size_hint)
    for chunk in chain((header,), rest):
        size += len(chunk)
        if size > budget:
            raise ReadBudgetExceeded(f"more than {budget} bytes")
        for value in hashes.values():
            value.update(chunk)
        if chunk is not header and size <= keep:
            kept.append(chunk)
    data = b"".join(kept) if size <= keep else None
    return Content(size, {kind: value.digest() for kind, value in hashes.items()}, data)


def open_for_decoding(reader: Reader, fd: int, content: Content) -> io.BytesIO | io.BufferedReader:
    """The content as a file, without reading again what is in memory."""
    if content.data is not None:
        return io.BytesIO(content.data)
    device = os.fstat(fd).st_dev
    # As much as was hashed: decoding never sees more.
    raw = OffsetFile(content.size, lambda at, length: reader.read(fd, device, length, at))
    return io.BufferedReader(raw, CHUNK)
