"""Columns of a mapped file, read from their beginning to their end or one row at a time."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index.columns import Numbers, TextPiece, bounded
from scanner.index.layout import DamagedLayout

_ENDS = 1 << 17  # ends of texts read at a time: 1 MB


class MappedColumn:
    """A section of a mapped file, read from its beginning to its end.

    Pages are given back as soon as they were read: an index of gigabytes would count as our memory otherwise.
    """

    def __init__(self, file: mmap.mmap, offset: int, length: int, dtype: Any) -> None:
        self._file = file
        self._offset = offset
        self._dtype = np.dtype(dtype)
        self.length = length // self._dtype.itemsize

    def chunks(self, rows: int) -> Iterator[Numbers]:
        """Views of at most `rows` rows; each is read again from disk if it is used after the next was asked
        for, and good for as long as the file is mapped."""
        for start in range(0, self.length, rows):
            count = min(rows, self.length - start)
            at = self._offset + start * self._dtype.itemsize
            yield np.frombuffer(self._file, dtype=self._dtype, count=count, offset=at)
            self.forget_rows(start, start + count)

    def slice(self, start: int, stop: int) -> Numbers:
        """Rows as a view."""
        at = self._offset + start * self._dtype.itemsize
        return np.frombuffer(self._file, dtype=self._dtype, count=stop - start, offset=at)

    def view(self) -> memoryview:
        """All rows, for looking at one at a time: several times as fast as an array's."""
        whole = memoryview(self._file)[self._offset : self._offset + self.length * self._dtype.itemsize]
        view: memoryview = whole.cast(self._dtype.char)
        return view

    def forget_rows(self, start: int, stop: int) -> None:
        """Give the pages back in which some rows lie."""
        at, end = (self._offset + row * self._dtype.itemsize for row in (start, stop))
        first = at - at % mmap.PAGESIZE
        self._file.madvise(mmap.MADV_DONTNEED, first, end - first)

    def forget_all(self) -> None:
        """Give all pages back."""
        self.forget_rows(0, self.length)


class MappedTexts:
    """Texts of a mapped file: where each ends, and all of them one after another.

    Args:
        file: the mapped file.
        ends: offset of the ends, of 64 bits each.
        count: of texts.
        blob: (offset, length) of the texts.
    """

    def __init__(self, file: mmap.mmap, ends: int, count: int, blob: tuple[int, int]) -> None:
        self._ends = MappedColumn(file, ends, count * 8, "<u8")
        self._numbers = self._ends.view()
        self._blob = MappedColumn(file, *blob, "|u1")
        self._file = file
        self._offset = blob[0]
        self.length = count

    def text(self, number: int) -> bytes:
        """One text.

        Raises:
            IndexError: there is none of this number.
            DamagedLayout: it would lie outside.
        """
        start = self._numbers[number - 1] if number else 0
        end = self._numbers[number]
        if not start <= end <= self._blob.length:
            raise DamagedLayout("a text in it is damaged")
        return self._file[self._offset + start : self._offset + end]

    def has(self, text: bytes) -> bool:
        """Whether one of the texts is this one.

        Raises:
            DamagedLayout: some text would lie outside.
        """
        ends, last = np.asarray(self._numbers), self._offset + self._blob.length
        at = self._file.find(text, self._offset, last)
        while text and at >= 0:
            # They stand one after another: it is one only where one begins and ends just here.
            end = at - self._offset + len(text)
            number = int(np.searchsorted(ends, end, side="left"))
            if number < self.length and self.text(number) == text:
                return True
            at = self._file.find(text, at + 1, last)
        return False

    def lengths(self) -> Iterator[npt.NDArray[np.int64]]:
        """Of each text, in order.

        Raises:
            DamagedLayout: some would lie outside.
        """
        last = 0
        for ends in self._ends.chunks(_ENDS):
            numbers = ends.astype(np.int64)
            lengths = np.diff(numbers, prepend=last)
            last = int(numbers[-1])
            if (lengths < 0).any() or last > self._blob.length:
                raise DamagedLayout("a text in it is damaged")
            yield lengths

    def pieces(self) -> Iterator[TextPiece]:
        """As of `Texts`."""
        at = 0
        for lengths in self.lengths():
            for some in bounded(lengths):
                size = int(some.sum())
                yield some, self._blob.slice(at, at + size).data
                self._blob.forget_rows(at, at + size)
                at += size
