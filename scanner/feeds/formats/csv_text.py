"""The lines of a CSV list as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from scanner.model.errors import FeedFormatError

# Bytes of one line; lists have some 300. The csv module itself stops at cells of 131,072 characters: that
# limit belongs to the whole process, so it is left as it is.
_MAX_LINE = 1024 * 1024
_BLOCK = 1024 * 1024  # bytes decoded at a time: some 7,000 rows


class TextBlocks:
    """Blocks of whole lines with their ends.

    Args:
        lenient: a list of a program that writes names in whatever encoding the machine had: bytes that are no
            UTF-8 are replaced, since no hash has any.

    Attributes:
        whole: the last line has an end; known when all lines were read.

    Raises:
        FeedFormatError: not UTF-8, a NUL, or an endless line.
    """

    def __init__(self, stream: BinaryIO, *, lenient: bool = False) -> None:
        self._stream = stream
        self._errors = "replace" if lenient else "strict"
        self._number = 0  # of the line before the block
        self.whole = True

    def __iter__(self) -> Iterator[str]:
        rest = b""
        while piece := self._stream.read(_BLOCK):
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield self._text(rest + piece[:cut])
                rest = piece[cut:]
            else:
                rest += piece
            if len(rest) > _MAX_LINE:
                raise FeedFormatError(
                    f"a line longer than {_MAX_LINE} bytes", where=f"line {self._number + 1}"
                )
        self.whole = not rest
        if rest:
            yield self._text(rest)

    def _text(self, block: bytes) -> str:
        nul = block.find(b"\0")
        if nul >= 0:
            raise FeedFormatError(
                "a NUL byte in a line of text",
                where=self._line_of(block, nul),
                remedy="The list is UTF-16 (declare encoding: utf-16-le), or damaged",
            )
        try:
            text = block.decode("utf-8", self._errors)
        except UnicodeDecodeError as e:
            column = e.start - block.rfind(b"\n", 0, e.start)
            raise FeedFormatError(
                f"byte {column} of the line is not UTF-8",
                where=self._line_of(block, e.start),
                remedy="Declare the encoding, for example encoding: cp1252",
            ) from e
        self._number += block.count(b"\n")
        return text

    def _line_of(self, block: bytes, at: int) -> str:
        return f"line {self._number + 1 + block.count(bytes([10]), 0, at)}"
