"""Numbers and texts in the order they come, kept in files as soon as they are many.

A list may have more entries than memory could hold, so whatever grows with it goes through here: what is in
memory of each column is one buffer.
"""

from __future__ import annotations

import os
import secrets
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.model.errors import StorageError

Numbers = npt.NDArray[Any]

BUFFER = 1 << 20  # bytes of a column in memory; some ten columns there may be
_READ = 1 << 20  # bytes read of a column at a time
_CODES = {"<u2": "H", "<u4": "I", "<u8": "Q", "<i8": "q", "|u1": "B"}


class Scratch:
    """A file without a name, gone with this object.

    Args:
        directory: where it lies; None: in memory, for lists that are known to be small.

    Raises (all methods):
        StorageError: it can't be made, written or read.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._length = 0
        try:
            self._fd = os.memfd_create("list", os.MFD_CLOEXEC) if directory is None else _nameless(directory)
        except OSError as e:
            raise self._unusable(e) from e
        weakref.finalize(self, os.close, self._fd)

    def append(self, data: Any) -> int:
        """Write a buffer at the end.

        Returns:
            where it begins.
        """
        view, start = memoryview(data).cast("B"), self._length
        try:
            while view:
                written = os.pwrite(self._fd, view, self._length)
                self._length += written
                view = view[written:]
        except OSError as e:
            raise self._unusable(e) from e
        return start

    def read(self, start: int, length: int) -> bytes:
        """Bytes that were written."""
        try:
            data = os.pread(self._fd, length, start)
        except OSError as e:
            raise self._unusable(e) from e
        if len(data) != length:
            raise self._unusable(OSError("it was cut short"))
        return data

    def chunks(self) -> Iterator[bytes]:
        """All of it, in order."""
        for start in range(0, self._length, _READ):
            yield self.read(start, min(_READ, self._length - start))

    def _unusable(self, e: OSError) -> StorageError:
        return StorageError(
            f"a scratch file of an index can't be used: {e.strerror or e}",
            where=str(self._directory or "memory"),
            remedy="Check the space and the permissions of the state directory",
        )


def _nameless(directory: Path) -> int:
    # O_TMPFILE would do it in one step, where the file system has it.
    path = directory / f".{secrets.token_hex(8)}.scratch"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    path.unlink()
    return fd


class Column:
    """Numbers of one type. Only added to, then read from the beginning any number of times.

    Args:
        dtype: one of `<u2`, `<u4`, `<u8`, `<i8`, `|u1`.
        directory: as of `Scratch`.
    """

    __slots__ = ("_directory", "_dtype", "_most", "_pending", "_scratch", "_written")

    def __init__(self, dtype: str, directory: Path | None) -> None:
        self._dtype = np.dtype(dtype)
        self._pending = array(_CODES[dtype])
        self._directory = directory
        self._scratch: Scratch | None = None
        self._most = BUFFER // self._dtype.itemsize
        self._written = 0

    @property
    def length(self) -> int:
        """How many numbers there are."""
        return self._written + len(self._pending)

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self._dtype.itemsize

    def append(self, value: int) -> None:
        self._pending.append(value)
        if len(self._pending) >= self._most:
            self._flush()

    def repeat(self, value: int, times: int) -> None:
        """Add one number many times."""
        while times > 0:
            part = min(times, self._most)
            self.extend(np.full(part, value, dtype=self._dtype))
            times -= part

    def extend(self, values: Numbers) -> None:
        """Add the numbers of an array without gaps."""
        self.extend_bytes(values.data.cast("B"))

    def extend_bytes(self, data: bytes | memoryview) -> None:
        """Add numbers as they stand in memory."""
        self._pending.frombytes(data)
        if len(self._pending) >= self._most:
            self._flush()

    def _flush(self) -> None:
        if self._scratch is None:
            self._scratch = Scratch(self._directory)
        self._scratch.append(self._pending)
        self._written += len(self._pending)
        self._pending = array(self._pending.typecode)

    def chunks(self) -> Iterator[Numbers]:
        """All numbers, in order, as arrays that can't be written."""
        if self._scratch is not None:
            for data in self._scratch.chunks():
                yield np.frombuffer(data, dtype=self._dtype)
        if self._pending:
            # A copy, for as long as a view is there the buffer can't grow.
            yield np.frombuffer(self._pending.tobytes(), dtype=self._dtype)


class Blocks:
    """Rows of several numbers, column by column: added to, then read in order any number of times.

    Args:
        dtypes: of the columns.
        directory: as of `Scratch`.
    """

    def __init__(self, dtypes: Sequence[str], directory: Path | None) -> None:
        self._dtypes = [np.dtype(dtype) for dtype in dtypes]
        self._directory = directory
        self._scratch: Scratch | None = None
        self._places: list[tuple[int, list[int]]] = []
        self.length = 0

    def put(self, *columns: Numbers) -> None:
        """Add rows: arrays of one length and of the columns' types."""
        if self._scratch is None:
            self._scratch = Scratch(self._directory)
        count = len(columns[0])
        if count:
            offsets = [self._scratch.append(np.ascontiguousarray(c).view(np.uint8)) for c in columns]
            self._places.append((count, offsets))
            self.length += count

    def blocks(self) -> Iterator[tuple[Numbers, ...]]:
        """The rows as they were put."""
        for count, offsets in self._places:
            assert self._scratch is not None
            yield tuple(
                np.frombuffer(self._scratch.read(offset, count * dtype.itemsize), dtype=dtype)
                for offset, dtype in zip(offsets, self._dtypes, strict=True)
            )

    def column(self, number: int) -> Iterator[Numbers]:
        """One of the columns, in order."""
        size = self._dtypes[number].itemsize
        for count, offsets in self._places:
            assert self._scratch is not None
            data = self._scratch.read(offsets[number], count * size)
            yield np.frombuffer(data, dtype=self._dtypes[number])


class Texts:
    """Texts as bytes, one after another, and their lengths."""

    __slots__ = ("_lengths", "blob")

    def __init__(self, directory: Path | None) -> None:
        self._lengths = Column("<u4", directory)
        self.blob = Column("|u1", directory)

    @property
    def length(self) -> int:
        """Number of texts."""
        return self._lengths.length

    def append(self, text: bytes) -> None:
        self._lengths.append(len(text))
        self.blob.extend_bytes(text)

    def append_empty(self, times: int) -> None:
        if times:
            self._lengths.repeat(0, times)

    def lengths(self) -> Iterator[npt.NDArray[np.int64]]:
        """Of each text, in order."""
        for lengths in self._lengths.chunks():
            yield lengths.astype(np.int64)

    def pieces(self) -> Iterator[TextPiece]:
        """All texts, in order, in pieces of bounded size."""
        blob = _Bytes(self.blob.chunks())
        for lengths in self.lengths():
            for some in bounded(lengths):
                yield some, blob.take(int(some.sum()))


TextPiece = tuple[npt.NDArray[np.int64], bytes | memoryview]
"""The lengths of some texts, and the texts one after another."""


class _Bytes:
    """A stream of bytes out of chunks."""

    def __init__(self, chunks: Iterable[Numbers]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def take(self, length: int) -> bytes:
        parts, missing = [self._rest], length - len(self._rest)
        while missing > 0:
            parts.append(next(self._chunks).tobytes())
            missing -= len(parts[-1])
        data = b"".join(parts)
        self._rest = data[length:]
        return data[:length]


def bounded(lengths: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Lengths cut into runs of some megabyte of text."""
    run = (np.cumsum(lengths) - lengths) // _READ
    for part in np.split(lengths, np.flatnonzero(np.diff(run)) + 1):
        if len(part):
            yield part


def kept_texts(piece: TextPiece, keep: npt.NDArray[np.bool_]) -> TextPiece:
    """A piece without some of its texts."""
    lengths, data = piece
    if keep.all():
        return piece
    ends = np.cumsum(lengths)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(np.int8)))
    starts = np.concatenate(([0], ends))
    runs = [data[starts[a] : starts[b]] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return lengths[keep], b"".join(runs)
