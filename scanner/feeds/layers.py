"""Streams on top of streams: what a list passes through before a format sees it."""

from __future__ import annotations

import hashlib
import io
from typing import Any, Protocol

from scanner.model.errors import FeedRefusedError

BUFFER = 256 * 1024  # bytes read at once; beyond it reading is no faster


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Layer(io.RawIOBase):
    """A source of bytes as a raw stream; io.BufferedReader puts readline and peek on top."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer unless the end comes first: what is peeked at must not depend on short reads."""
        filled = 0
        while filled < len(buffer) and (data := self.next(len(buffer) - filled)):
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def next(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end only."""
        raise NotImplementedError


class Counted(Layer):
    """Passes bytes on, hashing and counting them, until there are more than may be.

    Attributes:
        bytes: passed on so far.
        digest: their SHA-256.
    """

    def __init__(self, source: Readable, limit: int, what: str, *, hashed: bool = False) -> None:
        self._source = source
        self._limit = limit
        self._what = what
        self._hashed = hashed
        self.bytes = 0
        self.digest = hashlib.sha256()

    def next(self, size: int) -> bytes:
        try:
            data = self._source.read(size)
        except OSError as e:
            raise unreadable(e) from e
        self.bytes += len(data)
        if self.bytes > self._limit:
            raise FeedRefusedError(
                f"{self._what} more than {self._limit} bytes",
                remedy="If it is right, raise the feed's max_bytes",
            )
        if self._hashed:
            self.digest.update(data)
        return data


def unreadable(e: OSError) -> FeedRefusedError:
    return FeedRefusedError(
        f"the list can't be read ({e.strerror or type(e).__name__})",
        remedy="Name a file that exists and may be read",
    )
