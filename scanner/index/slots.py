"""The slot tables of perceptual values, made from the values in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.index.columns import Blocks
from scanner.index.exact import Keys
from scanner.index.shapes import Shape

_ROWS = 1 << 18  # rows added together: 12 MB of slot values
MOST = 1 << 23  # rows sorted together: 64 MB, and as much again while they are put together


class SlotBuilder:
    """Takes the values of a list in order; gives its tables.

    Args:
        shape: of the tables.
        scratch: as of `Scratch`.
    """

    def __init__(self, shape: Shape, scratch: Path | None) -> None:
        self._shape = shape
        self._values = Blocks(["<u4"] * len(shape.widths), scratch)
        self._pending: list[npt.NDArray[np.uint8]] = []
        self._starts: list[npt.NDArray[np.uint32]] = []

    def add(self, keys: Keys) -> None:
        """Take the next values."""
        self._pending.append(np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), -1))
        if sum(map(len, self._pending)) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._values.put(*self._shape.keys(np.concatenate(self._pending)))
            self._pending.clear()

    def words(self) -> Iterator[memoryview]:
        """The rows of all slots; to be used up before `starts` is asked for."""
        self._flush()
        for slot, width in enumerate(self._shape.widths):
            check = np.uint32(width - self._shape.bucket_bits)
            counts = np.zeros(self._shape.buckets, dtype=np.int64)
            for values in self._values.column(slot):
                counts += np.bincount(values >> check, minlength=len(counts))
            starts = np.zeros(len(counts) + 1, dtype="<u4")
            np.cumsum(counts, out=starts[1:])
            self._starts.append(starts)
            for first, end in ranges(starts):
                yield from self._range(slot, check, first, end, int(starts[end] - starts[first]))

    def _range(self, slot: int, check: np.uint32, first: int, end: int, rows: int) -> Iterator[memoryview]:
        """The rows of some buckets of a slot, sorted by bucket and then by row."""
        bits = np.uint32(self._shape.check_bits)
        mask = (np.uint32(1) << check) - np.uint32(1)
        whole = np.empty(0 if end == first + 1 else rows, dtype=np.uint64)
        at = row = 0
        for values in self._values.column(slot):
            words = np.arange(row, row + len(values), dtype=np.uint32)
            words <<= bits
            words |= values & mask
            row += len(values)
            buckets = values >> check
            if rows < self._values.length:
                chosen = np.flatnonzero((buckets >= first) & (buckets < end))
                words, buckets = words.take(chosen), buckets.take(chosen)
            if end == first + 1:
                yield words.view(np.uint8).data  # of one bucket they come in order, however many they are
                continue
            part = whole[at : at + len(words)]
            part[:] = buckets
            part <<= np.uint64(32)
            part |= words
            at += len(words)
        if len(whole):
            whole.sort()
            yield np.ascontiguousarray(whole.view("<u4")[::2]).view(np.uint8).data

    def starts(self) -> Iterator[memoryview]:
        """Where the buckets of all slots begin."""
        for starts in self._starts:
            yield starts.view(np.uint8).data


def ranges(starts: npt.NDArray[np.uint32], most: int = MOST) -> Iterator[tuple[int, int]]:
    """Buckets in runs of at most `most` rows, but for single buckets with more."""
    first, last = 0, len(starts) - 1
    while first < last:
        # As a number of the table's own type: for another one the whole table is converted.
        bound = starts.dtype.type(min(int(starts[first]) + most, int(starts[-1])))
        end = int(np.searchsorted(starts, bound, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end
