"""A file for decoders, over whatever gives bytes at an offset."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer  # in the standard library from Python 3.12 on


class OffsetFile(io.RawIOBase):
    """Read-only and seekable; owns nothing.

    Args:
        size: bytes; a decoder never sees more.
        read: bytes at an offset, at most so many: `read(offset, length)`, with a length above 0.
    """

    def __init__(self, size: int, read: Callable[[int, int], bytes | bytearray]) -> None:
        self._size = size
        self._read = read
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning of the file")
        self._offset = base + offset
        return self._offset

    def tell(self) -> int:
        return self._offset

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._offset)
        found = self._read(self._offset, wanted) if wanted > 0 else b""
        view[: len(found)] = found
        self._offset += len(found)
        return len(found)
