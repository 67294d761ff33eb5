"""Bytes of a file at an offset, for parsers that follow other people's offsets.

Nothing is read beyond the end, a wrong offset gives nothing, and what may be searched is counted: a file of
gigabytes costs no more than its first search.
"""

from __future__ import annotations

import io
import os
from typing import IO

from scanner.hashing.offset_file import OffsetFile

STEPS = 500_000  # of all walks through a file: the blocks of 100 MB of GIF
SEARCHED = 64 << 20  # bytes searched in a file: as much as is kept of one in memory
_STEP = 4 << 20  # bytes read at once while searching in what is not in memory


class Source:
    """A file's content, in memory or behind a seekable stream.

    Args:
        stream: the content; its position is moved.
        data: the same content, where it is in memory.
    """

    def __init__(self, stream: IO[bytes], data: bytes | None = None) -> None:
        self._stream = stream
        self._data = data
        self._steps = STEPS  # left: a walk takes one for each thing it passes, and ends when there are none
        self.size = len(data) if data is not None else stream.seek(0, os.SEEK_END)

    def read(self, at: int, length: int) -> bytes:
        """At most so many bytes from an offset; none for an offset outside."""
        if at < 0 or length <= 0 or at >= self.size:
            return b""
        if self._data is not None:
            return self._data[at : at + length]
        self._stream.seek(at)
        return self._stream.read(min(length, self.size - at))

    def step(self) -> bool:
        """Take one of the steps; False if there are none left."""
        self._steps -= 1
        return not self.spent

    @property
    def spent(self) -> bool:
        """Whether a walk ended because no steps were left."""
        return self._steps < 0

    def number(self, at: int, length: int, order: str = "big") -> int:
        """An unsigned number at an offset; 0 outside."""
        return int.from_bytes(self.read(at, length), "little" if order == "little" else "big")

    def find(self, needle: bytes, start: int, end: int) -> int:
        """Where bytes are found first in a part of the content; -1 if nowhere."""
        end = min(end, self.size)
        if self._data is not None:
            return self._data.find(needle, start, end)
        while start < end:
            chunk = self.read(start, min(_STEP, end - start))
            found = chunk.find(needle)
            if found >= 0:
                return start + found
            if len(chunk) < len(needle):
                break
            start += max(1, len(chunk) - len(needle) + 1)
        return -1

    def window(self, at: int, end: int | None = None) -> IO[bytes]:
        """A part of the content as a file of its own, without a copy."""
        length = min(self.size, self.size if end is None else end) - at
        part = OffsetFile(max(0, length), lambda offset, wanted: self.read(at + offset, wanted))
        return io.BufferedReader(part, 1 << 16)
