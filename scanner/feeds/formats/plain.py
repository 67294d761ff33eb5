"""Plain text: one digest a line, as md5sum and its family print them or bare.

Forms of a line (coreutils' digest.c): ``<hex>``, ``<hex>  name``, ``<hex> *name``, each with a leading
backslash where the name holds escapes; ``SHA256 (name) = <hex>`` of BSD and ``--tag``, without the
blanks from OpenSSL, with base64 from ``cksum --base64``. Names are not looked at. A first line that is the
name of a kind (``MD5``, ``SHA-1``), as X-Ways exchanges lists, says what all others are.

The lines of a block are read in one go where they are all alike, and one by one where they aren't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.batches import admit_packed
from scanner.feeds.blocks import LineBlocks
from scanner.feeds.checks import count, pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.plain_lines import LENGTHS, Lines, kind_of_header, proposed, uniform
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, ImportCounts, Item
from scanner.model.hashes import KINDS


class PlainFormat:
    """One digest a line, kind told by length; 64 digits need a declaration, or a line like sha256sum's."""

    @property
    def name(self) -> str:
        return "plain"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        for number, line in enumerate(head.split(b"\n"), 1):
            line = line.strip()
            if line and not line.startswith(b"#"):
                return proposed(line, number)
        return None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        reader = _Reader(_kinds_by_length(options.hash), options.hash, counts)
        blocks = LineBlocks(stream)
        for block in blocks:
            yield from reader.items(block, blocks.number)


def _kinds_by_length(declared: str | None) -> dict[int, str]:
    """Hash kind by number of digits.

    Raises:
        FeedRefusedError: the declared kind is none of ours.
    """
    by_length = dict(LENGTHS)
    if declared is not None:
        if declared not in KINDS:
            raise FeedRefusedError(
                f"there is no hash kind '{declared}'", where="hash", remedy=f"Known kinds: {', '.join(KINDS)}"
            )
        by_length[2 * KINDS[declared].size] = declared
    return by_length


class _Reader:
    """Blocks of lines to items; equal kinds that follow one another go together."""

    def __init__(self, by_length: dict[int, str], declared: str | None, counts: ImportCounts) -> None:
        self._lines = Lines(by_length)
        self._declared = declared
        self._counts = counts
        self._met: Counter[int] = Counter()  # digests by their number of digits
        self._begun = False  # a line that says something was met
        self._kind = ""
        self._values = bytearray()

    def items(self, block: bytes, number: int) -> Iterator[Item]:
        """The items of whole lines; `number` is that of the line before them."""
        found = uniform(block, self._lines.by_length)
        if found is None:
            yield from self._one_by_one(block, number)
            return
        kind, values = found
        self._begun = True
        self._met[2 * KINDS[kind].size] += len(values) // KINDS[kind].size
        packed = admit_packed(kind, values, LISTED, self._counts)
        if packed is not None:
            yield packed

    def _one_by_one(self, block: bytes, number: int) -> Iterator[Item]:
        whole = block.endswith(b"\n")
        lines = block.split(b"\n")
        last = number + len(lines)
        for line in lines:
            number += 1
            line = line.strip(b" \t\r")
            if line and not line.startswith(b"#"):
                yield from self._line(line, number, cut=not whole and number == last)
        yield from self._flushed()

    def _line(self, line: bytes, number: int, *, cut: bool) -> Iterator[Item]:
        """One line.

        Args:
            cut: it is the last one and has no end, so that it may have been longer.
        """
        if not self._begun:
            self._begun = True
            header = kind_of_header(line)
            if header:
                self._declare(header, number)
                return
        try:
            kind, value, digits = self._lines.read(line, number)
            if cut and len(line.lstrip(b"\\")) == digits and self._all_longer(digits):
                raise FeedFormatError("fewer digits than before", where=f"line {number}")
        except FeedFormatError as e:
            if cut:
                raise _cut_short(e) from e
            pass_over(e, self._counts)
            return
        self._met[digits] += 1
        if value is None:
            count(self._counts.unsupported, kind)
            return
        if kind != self._kind:
            yield from self._flushed()
            self._kind = kind
        self._values += value

    def _all_longer(self, digits: int) -> bool:
        """Whether all digests so far are of one kind, which has more digits than this."""
        [(others, number), *more] = self._met.items() or [(0, 0)]
        return not more and number > 1 and digits < others

    def _flushed(self) -> Iterator[Item]:
        values, self._values = bytes(self._values), bytearray()
        if values:
            packed = admit_packed(self._kind, values, LISTED, self._counts)
            if packed is not None:
                yield packed

    def _declare(self, header: str, number: int) -> None:
        if self._declared is not None and self._declared != header:
            raise FeedFormatError(
                f"the first line says that these are {header}, the configuration {self._declared}",
                where=f"line {number}",
                remedy="Correct the feed's hash:, or ask the publisher what changed",
            )
        if header in KINDS:
            self._lines = Lines({2 * KINDS[header].size: header})


def _cut_short(e: FeedFormatError) -> FeedFormatError:
    return FeedFormatError(
        f"the last line has no end and is not whole ({e.what}): the list is cut short",
        where=e.where,
        remedy="Fetch the list again; each line, also the last, should end in a line feed",
    )
