"""CSV: a header names the columns, in any order and case; the configuration maps other headers.

Rows are decoded in batches, one call for a column of equal cells; a batch with anything unusual in it
goes row by row, which also finds the line an error is on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.columns import Columns, plan, split_header
from scanner.feeds.formats.csv_batches import batches
from scanner.feeds.formats.csv_rows import Rows
from scanner.feeds.formats.csv_text import TextBlocks
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import ImportCounts, Item

SIGNATURES: Mapping[str, frozenset[str]] = {
    "icse": frozenset({"md5", "sha1", "image id", "is distributed", "victim identified", "baseline"}),
    "griffeye": frozenset({"md5", "category", "initial category", "mime type"}),
    "hashkeeper": frozenset({"file_id", "hashset_id", "file_name", "hash"}),
    "rds": frozenset(
        {"sha-1", "md5", "productcode", "specialcode"}
    ),  # NIST's RDSv2, no format of this module
}
"""Tables whose columns are known by their headers, in lower case: a list that has these is not any CSV."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A table whose columns are known.

    Attributes:
        columns, values: as the options of the same name; the configuration goes before them.
        delimiter: between columns; None: found out.
        ragged: rows may have more or fewer cells than the header.
        lenient: names in it may be in any encoding.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    delimiter: str | None = None
    ragged: bool = False
    lenient: bool = False

    def mapping(self, options: FormatOptions) -> dict[str, str]:
        """The headers of the layout and of the configuration."""
        taken = {spec.partition(":")[0] for spec in options.columns.values()}
        return {name: f for name, f in self.columns.items() if f not in taken} | dict(options.columns)

    def meanings(self, options: FormatOptions) -> dict[str, dict[str, str]]:
        """What values mean, by field and by what is written, in lower case."""
        found: dict[str, dict[str, str]] = {}
        for source in (self.values, options.values):
            for name, meant in source.items():
                found.setdefault(name, {}).update((k.strip().casefold(), v) for k, v in meant.items())
        return found


class CsvFormat:
    """Rows below a header. Without a category column every row is `listed`."""

    layout = Layout()

    @property
    def name(self) -> str:
        return "csv"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        headers = self._headers(head)
        names = {header.casefold() for header in headers}
        if any(signature <= names for signature in SIGNATURES.values()):
            return None
        try:
            columns = plan(headers, {}, 1)
        except (FeedFormatError, FeedRefusedError):
            return None
        fields = [hashed.kind for hashed in columns.hashes] + (["type", "hash"] if columns.typed else [])
        return f"its first line names the columns {', '.join(fields)}"

    def _headers(self, head: bytes) -> list[str]:
        line = head.lstrip(b"\r\n").split(b"\n", 1)[0].decode("utf-8", "replace")
        return split_header(line, self.layout.delimiter, {})[1]

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        text = TextBlocks(stream, lenient=self.layout.lenient)
        table = _Table(iter(text), self.layout, options)
        columns = table.columns
        rows = Rows(columns, self.layout.meanings(options), counts, ragged=self.layout.ragged)
        for batch, line in batches(table.below, table.delimiter, len(columns.headers), table.above):
            yield from rows.items(batch, line)
        if not text.whole:
            _check_end(rows, columns)


class _Table:
    """The header of a list, and what is below it.

    Attributes:
        above: lines before the rows.
        below: the rows, in blocks of whole lines.
    """

    def __init__(self, blocks: Iterator[str], layout: Layout, options: FormatOptions) -> None:
        self.above = 0
        text, first = "", ""
        while not first.strip() and (text or (text := next(blocks, ""))):
            first, end, text = text.partition("\n")
            first += end
            self.above += 1
        mapping = layout.mapping(options)
        delimiter = options.delimiter or layout.delimiter
        if options.header:
            self.delimiter, headers = split_header(first, delimiter, mapping)
        else:
            self.delimiter, cells = split_header(first, delimiter, {})
            headers = [str(n) for n in range(1, len(cells) + 1)]
            text, self.above = first + text, self.above - 1
        self.columns = plan(headers, mapping, max(self.above, 1))
        self.below = chain((text,), blocks) if text else blocks


def _check_end(rows: Rows, columns: Columns) -> None:
    """Of a list whose last line has no end: it may have been longer.

    Raises:
        FeedFormatError: its last row is not whole.
    """
    problem = rows.malformed
    last = len(columns.headers) - 1
    if problem is None and len(rows.last) <= last:
        problem = FeedFormatError(f"it has {len(rows.last)} cells of {last + 1}")
    if problem is None and any(h.column == last for h in columns.hashes) and not "".join(rows.last[last:]):
        problem = FeedFormatError("its last cell is empty, of a column of hashes")
    if problem is not None:
        raise FeedFormatError(
            f"the last row has no line end and is not whole ({problem.what}): the list is cut short",
            where=problem.where or "the last line",
            remedy="Fetch the list again; each line, also the last, should end in a line feed",
        )
