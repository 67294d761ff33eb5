"""Whole lines of text in blocks, for formats that read many lines at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from scanner.model.errors import FeedFormatError

_BLOCK = 1 << 20  # bytes: some 30,000 digests; larger blocks are not faster

# Bytes of a line that are held: a name of PATH_MAX is 4 KiB, escaped 8 KiB. Of a longer line the
# beginning and the end are kept, since a digest stands in one of them.
_HEAD = 64 * 1024
_TAIL = 1024


class LineBlocks:
    """Blocks of whole lines, long ones shortened in the middle; the last line may lack its end.

    Attributes:
        number: of the line before the block given last.

    Raises:
        FeedFormatError: a NUL or a carriage return inside a line: its lines end otherwise, and all
            but the first digest would be lost unseen.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._next = 0
        self.number = 0

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while piece := self._stream.read(_BLOCK):
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield self._checked(rest + piece[:cut])
                rest = piece[cut:]
            else:
                rest = self._shortened(rest + piece)
        if rest:
            yield self._checked(rest)

    def _checked(self, block: bytes) -> bytes:
        self.number = self._next
        if b"\0" in block or block.count(b"\r") != block.count(b"\r\n") + block.endswith(b"\r"):
            self._refuse_odd(block)
        self._next += block.count(b"\n")
        return block

    def _shortened(self, line: bytes) -> bytes:
        if len(line) <= _HEAD + _TAIL:
            return line
        if b"\0" in line or b"\r" in line[:-1]:
            self._refuse_odd(line[:-1])
        return line[:_HEAD] + line[-_TAIL:]

    def _refuse_odd(self, block: bytes) -> None:
        for number, line in enumerate(block.split(b"\n"), self._next + 1):
            if b"\0" in line:
                raise FeedFormatError(
                    "a NUL byte in a line of text",
                    where=f"line {number}",
                    remedy="The list is UTF-16 (declare encoding: utf-16-le), or was made with -z; lines must"
                    " end in a line feed",
                )
            if b"\r" in line.rstrip(b" \t\r"):
                raise FeedFormatError(
                    "a carriage return inside a line",
                    where=f"line {number}",
                    remedy="Lines must end in a line feed (LF or CR LF)",
                )
