"""CSV: a header names the columns, in any order and case; the configuration maps other headers.

Rows are decoded in batches, one call for a column of equal cells; a batch with anything unusual in it
goes row by row, which also finds the line an error is on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from scanner.feeds.checks import (
    MAX_TEXT,
    admit,
    category_text,
    count,
    digest,
    kind_name,
    unsupported_name,
)
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.columns import Columns, plan, split_header
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, Entry, ImportCounts
from scanner.model.hashes import KINDS
from scanner.model.names import display

# Bytes of one line; lists have some 300. The csv module itself stops at cells of 131,072 characters: that
# limit belongs to the whole process, so it is left as it is.
_MAX_LINE = 1024 * 1024
_BATCH = 10_000  # rows: some 10 MB of cells; larger ones are not faster
_NOTHING = frozenset({"", "null", "none"})


class CsvFormat:
    """Rows below a header. Without a category column every row is `listed`."""

    @property
    def name(self) -> str:
        return "csv"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        line = head.lstrip(b"\r\n").split(b"\n", 1)[0].decode("utf-8", "replace")
        try:
            columns = plan(split_header(line, None, {})[1], {}, 1)
        except (FeedFormatError, FeedRefusedError):
            return None
        names = [kind for kind, _ in columns.hashes] + (["type", "hash"] if columns.typed else [])
        return f"its first line names the columns {', '.join(names)}"

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Entry]:
        lines = _Lines(stream)
        header = next((line for line in lines if line.strip()), "")
        delimiter, headers = split_header(header, options.delimiter, options.columns)
        rows = _Rows(plan(headers, options.columns, lines.number), counts)
        above = lines.number
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        done = above
        while batch := _next_batch(reader, lines):
            yield from rows.entries(batch, done)
            done = above + reader.line_num


class _Lines:
    """Lines of text; `number` is that of the line given last."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(_MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == _MAX_LINE and not line.endswith(b"\n"):
            raise FeedFormatError(f"a line longer than {_MAX_LINE} bytes", where=f"line {self.number}")
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as e:
            raise FeedFormatError(
                f"byte {e.start + 1} of the line is not UTF-8",
                where=f"line {self.number}",
                remedy="Declare the encoding, for example encoding: cp1252",
            ) from e


def _next_batch(reader: Iterator[list[str]], lines: _Lines) -> list[list[str]]:
    try:
        return list(islice(reader, _BATCH))
    except csv.Error as e:  # says what is wrong with the quoting, and quotes no cell
        raise FeedFormatError(f"this is not CSV: {display(str(e))}", where=f"line {lines.number}") from e


class _Rows:
    """Rows to entries."""

    def __init__(self, columns: Columns, counts: ImportCounts) -> None:
        self._columns = columns
        self._counts = counts
        self._width = len(columns.headers)
        self._uniform = not columns.unsupported and columns.typed is None

    def entries(self, rows: Sequence[list[str]], line: int) -> Iterator[Entry]:
        """The entries of a batch; `line` is the number of the line before it."""
        hashes = self._decoded(rows) if self._uniform else None
        if hashes is None:
            yield from self._one_by_one(rows, line)
            return
        kinds = [kind for kind, _ in self._columns.hashes]
        for row, values in zip(rows, zip(*hashes, strict=True), strict=True):
            entry = self._entry(row, zip(kinds, values, strict=True), line)
            if entry is not None:
                yield entry

    def _decoded(self, rows: Sequence[list[str]]) -> list[list[bytes]] | None:
        """All hash columns as bytes, or None when some cell is not simply what it should be."""
        if set(map(len, rows)) != {self._width}:
            return None
        for column in (self._columns.id, self._columns.category):
            if column is not None and max(len(row[column]) for row in rows) > MAX_TEXT:
                return None
        decoded = []
        for kind, column in self._columns.hashes:
            size = KINDS[kind].size
            cells = [row[column] for row in rows]
            if set(map(len, cells)) != {2 * size}:
                return None
            try:
                values = bytes.fromhex("".join(cells))
            except ValueError:
                return None
            if len(values) != size * len(cells):  # fromhex skips white space
                return None
            decoded.append([values[n : n + size] for n in range(0, len(values), size)])
        return decoded

    def _one_by_one(self, rows: Sequence[list[str]], line: int) -> Iterator[Entry]:
        line += 1
        for row in rows:
            if row and (len(row) > 1 or row[0].strip()):
                entry = self._row(row, line)
                if entry is not None:
                    yield entry
            line += 1 + "".join(row).count("\n")

    def _row(self, row: list[str], line: int) -> Entry | None:
        if len(row) != self._width:
            raise FeedFormatError(
                f"expected {self._width} cells as the header has, found {len(row)}", where=f"line {line}"
            )
        hashes: list[tuple[str, bytes]] = []
        for kind, column in self._columns.hashes:
            text = row[column].strip()
            if text.casefold() not in _NOTHING:
                hashes.append((kind, digest(kind, text, self._columns.where(line, column))))
        unsupported = self._count_unsupported(row)
        if self._columns.typed is not None:
            unsupported |= self._add_typed(row, self._columns.typed, line, hashes)
        if not hashes and not unsupported:
            raise FeedFormatError("a row without any hash", where=f"line {line}")
        return self._entry(row, hashes, line)

    def _count_unsupported(self, row: list[str]) -> bool:
        found = False
        for kind, column in self._columns.unsupported:
            if row[column].strip().casefold() not in _NOTHING:
                count(self._counts.unsupported, unsupported_name(kind))
                found = True
        return found

    def _add_typed(
        self, row: list[str], typed: tuple[int, int], line: int, hashes: list[tuple[str, bytes]]
    ) -> bool:
        """Take the value of a `type` and `hash` pair; returns whether it is of an unsupported kind."""
        kind, text = kind_name(row[typed[0]]), row[typed[1]].strip()
        if text.casefold() in _NOTHING:
            return False
        if not kind:
            raise FeedFormatError("a hash without a type", where=self._columns.where(line, typed[0]))
        if kind not in KINDS:
            count(self._counts.unsupported, unsupported_name(kind))
            return True
        pair = kind, digest(kind, text, self._columns.where(line, typed[1]))
        if pair not in hashes:
            hashes.append(pair)
        return False

    def _entry(self, row: list[str], hashes: Iterable[tuple[str, bytes]], line: int) -> Entry | None:
        id, category = "", LISTED
        if self._columns.id is not None:
            id = self._text(row, self._columns.id, line)
        if self._columns.category is not None:
            category = category_text(self._text(row, self._columns.category, line))
        return admit(hashes, id, category, self._counts)

    def _text(self, row: list[str], column: int, line: int) -> str:
        text = row[column].strip()
        if len(text) > MAX_TEXT:
            raise FeedFormatError(
                f"a text of {len(text)} characters, at most {MAX_TEXT} can be right",
                where=self._columns.where(line, column),
                remedy="Check which column is the id, and which the category",
            )
        return text
