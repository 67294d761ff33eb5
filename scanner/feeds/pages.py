"""Several answers of a publisher in one file: a magic line, then each page with its length before it.

Protocols that deliver a list page by page are spoken by the process that has the network, which reads no more
of a page than where the next one is; what a page says is read by the process that has none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from scanner.model.errors import FeedFormatError

MAGIC = b"HSPAGES1\n"
MAX_PAGE = 64 << 20  # bytes: publishers send some hundred KiB, a MISP event may have some tens of MiB
_LENGTH = struct.Struct(">I")


class _Sink(Protocol):
    async def write(self, data: bytes) -> None: ...


class PageWriter:
    """Writes pages into a staging file; its limits are the sink's."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self.pages = 0
        self._taken = False

    async def write(self, page: bytes) -> None:
        """Take the next page.

        Raises:
            FeedFormatError: it is larger than a page can be.
        """
        if len(page) > MAX_PAGE:
            raise FeedFormatError(f"a page of {len(page)} bytes; at most {MAX_PAGE} can be right")
        if self._taken:
            raise RuntimeError("a list comes in pages, or as one file")
        first = MAGIC if not self.pages else b""
        await self._sink.write(first + _LENGTH.pack(len(page)) + page)
        self.pages += 1

    async def take(self, piece: bytes) -> None:
        """Take the next piece of a list that is one file; it stays as it came."""
        if self.pages and not self._taken:
            raise RuntimeError("a list comes in pages, or as one file")
        self._taken = True
        self.pages = 1
        await self._sink.write(piece)


def read_pages(stream: BinaryIO) -> Iterator[bytes]:
    """The pages of a file whose magic line has been read already.

    Raises:
        FeedFormatError: it is cut short, or no file of pages.
    """
    while head := stream.read(_LENGTH.size):
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else MAX_PAGE + 1
        page = stream.read(length) if length <= MAX_PAGE else b""
        if len(page) != length:
            raise FeedFormatError(
                "the pages are cut short or damaged", where="pages", remedy="Fetch the list again"
            )
        yield page


def first_pages(descriptor: int, count: int, limit: int) -> list[bytes]:
    """The first pages of a file, whose position is at its beginning again after; blocking.

    Args:
        limit: most bytes of each.

    Raises:
        FeedFormatError: it is no file of pages, has fewer, or one is larger.
    """
    with open(descriptor, "rb", closefd=False) as file:
        try:
            found = _heads(file, count, limit) if file.read(len(MAGIC)) == MAGIC else []
        finally:
            file.seek(0)
    if len(found) != count:
        raise FeedFormatError("expected pages of a publisher's protocol", where="pages")
    return found


def _heads(file: BinaryIO, count: int, limit: int) -> list[bytes]:
    found = []
    for _ in range(count):
        head = file.read(_LENGTH.size)
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else limit + 1
        page = file.read(length) if length <= limit else b""
        if len(page) != length:
            break
        found.append(page)
    return found
