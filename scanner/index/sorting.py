"""Sorting more rows than fit into memory: grouped by their first byte as they come, sorted group by group."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index.columns import Numbers, Scratch
from scanner.index.exact import as_keys, sort_order

Block = tuple[Numbers, ...]
"""Rows column by column: keys first, then numbers that go with them."""

_BUFFER = 4 << 20  # bytes of keys in memory before a group is written
_MOST = 1 << 18  # rows sorted at once: some 30 MB with everything that sorting needs
_TYPES = {"I": "<u4", "q": "<i8"}


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows grouped by one byte: where each column begins in the scratch file, and each group in it."""

    columns: tuple[int, ...]
    starts: npt.NDArray[np.int64]


class SortedRows:
    """Rows of a key and numbers, given in any order and read in the order of the keys; equal keys stay in the
    order they came in.

    Args:
        width: bytes of a key.
        codes: of the numbers, `I` (32 bits) or `q` (64 bits, signed) each.
        directory: as of `Scratch`.
        raw: bytes of a key as it is given, where that is not `width`.
        prepared: makes keys of many raw ones that stand one after another; called before anything is written.
        noted: makes a last number (32 bits) of (N, raw) bytes of them.
    """

    __slots__ = (
        *("_chunks", "_directory", "_dtypes", "_keys", "_noted", "_numbers", "_prepared"),
        *("_raw", "_scratch", "_written", "width"),
    )

    def __init__(
        self,
        width: int,
        codes: str,
        directory: Path | None,
        *,
        raw: int | None = None,
        prepared: Callable[[bytes], bytes] | None = None,
        noted: Callable[[npt.NDArray[np.uint8]], Numbers] | None = None,
    ) -> None:
        self.width = width
        self._raw = raw or width
        self._prepared = prepared
        self._noted = noted
        self._keys = bytearray()
        self._numbers = tuple(array(code) for code in codes)
        all_codes = codes if noted is None else codes + "I"
        self._dtypes = [np.dtype(f"S{width}"), *(np.dtype(_TYPES[code]) for code in all_codes)]
        self._directory = directory
        self._scratch: Scratch | None = None
        self._chunks: list[_Chunk] = []
        self._written = 0

    def __len__(self) -> int:
        return self._written + len(self._keys) // self._raw

    def add(self, key: bytes, number: int) -> None:
        """Take a row of one number."""
        self._keys += key
        self._numbers[0].append(number)
        if len(self._keys) >= _BUFFER:
            self._flush()

    def add_two(self, key: bytes, first: int, second: int) -> None:
        """Take a row of two numbers."""
        self._numbers[1].append(second)
        self.add(key, first)

    def add_numbered(self, keys: bytes, first: int) -> None:
        """Take many rows whose one number counts up from `first`."""
        step = _BUFFER // self._raw * self._raw
        for at in range(0, len(keys), step):
            part = keys[at : at + step]
            count = len(part) // self._raw
            self._keys += part
            self._numbers[0].frombytes(np.arange(first, first + count, dtype="<u4").tobytes())
            first += count
            if len(self._keys) >= _BUFFER:
                self._flush()

    def _flush(self) -> None:
        """Move what is in memory into the file."""
        block = self._pending()
        self._chunks.append(self._put(block, 0))
        self._written += len(block[0])
        self._keys.clear()
        for column in self._numbers:
            del column[:]

    def _pending(self) -> Block:
        raw = bytes(self._keys)
        keys = as_keys(raw if self._prepared is None else self._prepared(raw), self.width)
        numbers = [np.frombuffer(column.tobytes(), dtype=f"<{column.typecode}") for column in self._numbers]
        if self._noted is not None:
            numbers.append(self._noted(np.frombuffer(raw, dtype=np.uint8).reshape(-1, self._raw)))
        return keys, *numbers

    def _put(self, block: Block, place: int) -> _Chunk:
        """Write rows grouped by the byte at `place`."""
        if self._scratch is None:
            self._scratch = Scratch(self._directory)
        byte = block[0].view(np.uint8).reshape(-1, self.width)[:, place]
        order = np.argsort(byte, kind="stable")  # of bytes: a counting sort
        starts = np.zeros(257, dtype=np.int64)
        np.cumsum(np.bincount(byte, minlength=256), out=starts[1:])
        columns = tuple(self._scratch.append(column[order].view(np.uint8)) for column in block)
        return _Chunk(columns, starts)

    def _read(self, chunk: _Chunk, first: int, end: int) -> Block:
        """The rows of the groups from `first` to before `end`."""
        assert self._scratch is not None
        low, high = int(chunk.starts[first]), int(chunk.starts[end])
        columns: list[Numbers] = []
        for offset, dtype in zip(chunk.columns, self._dtypes, strict=True):
            size = dtype.itemsize
            data = self._scratch.read(offset + low * size, (high - low) * size)
            columns.append(np.frombuffer(data, dtype=dtype))
        return tuple(columns)

    def blocks(self) -> Iterator[Block]:
        """All rows in order, in blocks of bounded size."""
        if not self._chunks:
            if self._keys:
                yield in_order(self._pending())
            return
        if self._keys:
            self._flush()
        yield from self._walk(self._chunks, 0)

    def unsorted(self) -> Iterator[Block]:
        """All rows in no order, in blocks of bounded size."""
        for chunk in self._chunks:
            yield self._read(chunk, 0, 256)
        if self._keys:
            yield self._pending()

    def _walk(self, chunks: Sequence[_Chunk], place: int) -> Iterator[Block]:
        sizes = np.diff(sum(chunk.starts for chunk in chunks))
        first = 0
        while first < 256:
            end, rows = first + 1, int(sizes[first])
            while end < 256 and rows + sizes[end] <= _MOST:
                rows += int(sizes[end])
                end += 1
            if rows > _MOST:
                yield from self._large(chunks, first, place)
            elif rows:
                parts = [self._read(c, first, end) for c in chunks if c.starts[end] > c.starts[first]]
                yield in_order(joined(parts))
            first = end

    def _large(self, chunks: Sequence[_Chunk], group: int, place: int) -> Iterator[Block]:
        """A group of too many rows: grouped anew by the next byte in which they differ. Lists can be made so
        that they do this to us; a digest that is listed a million times does it too."""
        chunks = [c for c in chunks if c.starts[group + 1] > c.starts[group]]
        differs = self._first_difference(chunks, group, place + 1)
        if differs is None:
            for chunk in chunks:
                yield self._read(chunk, group, group + 1)
        else:
            finer = [self._put(self._read(c, group, group + 1), differs) for c in chunks]
            yield from self._walk(finer, differs)

    def _first_difference(self, chunks: Sequence[_Chunk], group: int, place: int) -> int | None:
        example: Any = None
        differs = np.zeros(self.width, dtype=np.bool_)
        for chunk in chunks:
            rows = self._read(chunk, group, group + 1)[0].view(np.uint8).reshape(-1, self.width)
            example = rows[0] if example is None else example
            differs |= (rows != example).any(axis=0)
        found = np.flatnonzero(differs[place:])
        return place + int(found[0]) if len(found) else None


def in_order(block: Block) -> Block:
    """Rows sorted by their keys; equal ones stay in order."""
    order = sort_order(block[0])
    return tuple(column[order] for column in block)


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks one after another."""
    if len(blocks) == 1:
        return blocks[0]
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


def taken(block: Block, which: Any) -> Block:
    """Some rows of a block, by a mask, a slice or numbers."""
    return tuple(column[which] for column in block)


def merged(left: Iterator[Block], right: Iterator[Block]) -> Iterator[Block]:
    """Two sorted streams of the same columns as one; of equal keys those of `left` come first."""
    right = (block for block in right if len(block[0]))
    waiting = next(right, None)
    for block in left:
        while waiting is not None and len(block[0]):
            count = int(np.searchsorted(waiting[0], block[0][-1:], side="left")[0])
            if not count:
                break
            take = taken(waiting, slice(count))
            before = int(np.searchsorted(block[0], take[0][-1:], side="right")[0])
            yield _inserted(taken(block, slice(before)), take)
            block = taken(block, slice(before, None))
            waiting = taken(waiting, slice(count, None)) if count < len(waiting[0]) else next(right, None)
        if len(block[0]):
            yield block
    while waiting is not None:
        yield waiting
        waiting = next(right, None)


def _inserted(block: Block, more: Block) -> Block:
    """Rows put among others, behind those of equal keys."""
    if not len(block[0]):
        return more
    at = np.searchsorted(block[0], more[0], side="right") + np.arange(len(more[0]))
    old = np.ones(len(block[0]) + len(more[0]), dtype=np.bool_)
    old[at] = False
    columns: list[Numbers] = []
    for theirs, ours in zip(block, more, strict=True):
        column = np.empty(len(old), dtype=theirs.dtype)
        column[at] = ours
        column[old] = theirs
        columns.append(column)
    return tuple(columns)
