"""MISP's export of attributes as CSV (`restSearch` with ``returnFormat=csv``), and why `hashes.csv` is none.

Cells are quoted as RFC 4180 says, and a comment may hold line breaks. Which columns there are depends on the
request; four of them must be.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from scanner.feeds.checks import pass_over
from scanner.feeds.formats.base import FormatOptions
from scanner.feeds.formats.misp_attribute import Event, attribute_of, mapped_category
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import ImportCounts, Item

# Bytes of one line. A cell ends at 131,072 characters by the csv module's own limit.
_MAX_LINE = 1 << 20
_NEEDED = ("uuid", "type", "value", "to_ids")
_MAX_COLUMNS = 200
# Of a cache that tells other feeds which events they share: the MD5 of the text of each value, not of a file.
_CACHE = re.compile(rb"[0-9a-f]{32},[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*(\n|$)", re.IGNORECASE)


class MispCsvFormat:
    """Every attribute acts by default; which column is its category, the feed's `columns:` say."""

    @property
    def name(self) -> str:
        return "misp-csv"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return None

    def proposes(self, head: bytes) -> str | None:
        line = head.lstrip(b"\r\n").split(b"\n", 1)[0]
        if _CACHE.match(line):
            return "it is the hashes.csv of a MISP feed"
        names = _names(line.decode("utf-8", "replace"))
        return "its first line names the columns of MISP's attributes" if set(_NEEDED) <= set(names) else None

    def parse(self, stream: BinaryIO, options: FormatOptions, counts: ImportCounts) -> Iterator[Item]:
        first = stream.readline(_MAX_LINE)
        if _CACHE.match(first):
            raise FeedRefusedError(
                "this is the hashes.csv of a MISP feed: its values are digests of the values of attributes, "
                "not of files, and would match nothing",
                remedy="Give the feed's directory, with exchange: misp",
            )
        names = _names(_decoded(first, 1))
        missing = [name for name in _NEEDED if name not in names]
        if missing or len(names) > _MAX_COLUMNS:
            raise FeedFormatError(f"expected a header with {', '.join(_NEEDED)}", where="line 1")
        member = mapped_category(options.columns, {*names, "Tag"})
        for number, row in _rows(stream, len(names)):
            record = dict(zip(names, row, strict=True))
            tags = [tag for tag in record.get("attribute_tag", "").split(",") if tag]
            record.pop("timestamp", None)  # the date's form differs, and a whole list needs none
            try:
                attribute = attribute_of(record, tags, member, counts)
            except FeedFormatError as e:
                pass_over(FeedFormatError(e.what, where=f"line {number}"), counts)
                continue
            if attribute is not None:
                yield attribute.item(Event(), counts)


def _names(line: str) -> list[str]:
    try:
        return [name.strip().casefold() for name in next(csv.reader([line]), [])]
    except csv.Error:
        return []


def _rows(stream: BinaryIO, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line they end on."""
    reader = csv.reader(_lines(stream), strict=True)
    try:
        for row in reader:
            number = reader.line_num + 1
            if not row:
                continue
            if len(row) != columns:
                raise FeedFormatError(f"expected {columns} cells, found {len(row)}", where=f"line {number}")
            yield number, row
    except csv.Error as e:  # its text quotes nothing, but says nothing either
        raise FeedFormatError(
            "here the quoting is broken, a cell too long or the list cut short",
            where=f"line {reader.line_num + 1}",
        ) from e


def _lines(stream: BinaryIO) -> Iterator[str]:
    number = 1
    while line := stream.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE:
            raise FeedFormatError(f"a line of more than {_MAX_LINE} bytes", where=f"line {number}")
        yield _decoded(line, number)


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as e:
        raise FeedFormatError("the text is not UTF-8", where=f"line {number}") from e
