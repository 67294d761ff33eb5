"""Reading one table of an SQLite database that somebody else made, without SQLite.

A list in this form is a program's memory image for a library written in C, with views, triggers and virtual
tables in it that the library would run. All that is needed is one plain table from one end to the other, so
its pages are read here, after sqlite.org/fileformat2.html; nothing of the schema is ever run. (The library
couldn't open the file anyhow: it insists on absolute paths, and a process that reads lists can reach nothing
but the folder it was started in.)

Pages lie in any order, so the list is copied into a folder of ours first. Each page is read at most once: a
tree that leads in circles is an error and not an endless list.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scanner.model.errors import FeedFormatError, FeedRefusedError, StorageError

MAGIC = b"SQLite format 3\0"
Value = bytes | int | float | None

_HEADER = 100  # bytes, at the beginning of the first page
_COPY = 1 << 20  # bytes copied at once
_AT_ONCE = 20_000  # rows given out together: some 4 MB
_LEAF, _INTERIOR = 0x0D, 0x05  # pages of a table's tree; those of indices are others
_MOST_OBJECTS = 500  # tables, indices and views; real ones have some 15
_MAX_ROW = 1 << 20  # bytes of a row that are looked at: hashes stand in the first hundreds
_MAX_DEPTH = 20  # of a tree: with two branches each it would hold more than any disk
# Bytes of a value by its serial type: NULL, integers, a float, 0, 1; 10 and 11 are in no file.
_LENGTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_NO_COLUMN = frozenset({"constraint", "primary", "unique", "check", "foreign"})
_TABLE = re.compile(r"\s*CREATE\s+TABLE\s[^(]*\(", re.IGNORECASE)
_ROWID = re.compile(r"\bINTEGER\s+PRIMARY\s+KEY\b", re.IGNORECASE)
_GENERATED = re.compile(r"\bAS\s*\(", re.IGNORECASE)
_WORD = re.compile(r'\s*(?:"([^"]+)"|`([^`]+)`|\[([^\]]+)\]|(\w+))')


@dataclass(frozen=True, slots=True)
class _Table:
    """Where a table begins, and its columns in the order of a row; `rowid` is the one that is its number."""

    root: int
    columns: tuple[str, ...]
    rowid: str


class ForeignDatabase:
    """An open database of somebody else's; see `opened`.

    Attributes:
        tables: the plain tables: name to columns, both in lower case. Views, virtual tables, tables without
            rowid and those with generated columns are left out.
    """

    def __init__(self, fd: int, head: bytes, size: int) -> None:
        self._fd = fd
        self._page_size = _page_size(head)
        self._usable = self._page_size - head[20]
        if head[56:60] not in (b"\0\0\0\1", bytes(4)):
            raise FeedRefusedError(
                "the database is in UTF-16", where="database", remedy="Have it exported in UTF-8"
            )
        if self._usable < 480:
            raise _damaged("its pages can't be so small")
        self._pages = size // self._page_size
        self._tables = self._schema()
        self.tables = {name: table.columns for name, table in self._tables.items()}

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[list[tuple[Value, ...]]]:
        """All rows of a table, some thousand at a time; text as bytes, what a row lacks as None.

        Raises:
            FeedFormatError: the tree of pages, or a row in it, is not as it can be.
        """
        found = self._tables[table]
        wanted = [-1 if name == found.rowid else found.columns.index(name) for name in columns]
        batch: list[tuple[Value, ...]] = []
        for page in self._leaves(found.root):
            batch += self._rows_of(page, wanted)
            if len(batch) >= _AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    # The tree

    def _leaves(self, root: int) -> Iterator[tuple[bytes, int]]:
        """Leaf pages of a table, left to right, each with where its own header begins."""
        seen = bytearray(self._pages // 8 + 1)
        waiting = [(root, 0)]
        while waiting:
            number, depth = waiting.pop()
            if not 1 <= number <= self._pages or depth > _MAX_DEPTH:
                raise _damaged("its tree of pages leads outside")
            if seen[number >> 3] >> (number & 7) & 1:
                raise _damaged("its tree of pages leads in circles")
            seen[number >> 3] |= 1 << (number & 7)
            page, start = self._page(number)
            if page[start] == _LEAF:
                yield page, start
            elif page[start] == _INTERIOR:
                waiting += [(child, depth + 1) for child in reversed(_children(page, start))]
            else:
                raise _damaged("a page is of another kind than its table")

    def _page(self, number: int) -> tuple[bytes, int]:
        page = os.pread(self._fd, self._page_size, (number - 1) * self._page_size)
        if len(page) != self._page_size:
            raise _damaged("a page is missing")
        return page, _HEADER if number == 1 else 0

    # Rows

    def _rows_of(self, leaf: tuple[bytes, int], wanted: Sequence[int]) -> list[tuple[Value, ...]]:
        page, start = leaf
        last, most = max(wanted), self._usable - 35
        rows = []
        try:
            for at in _cells(page, start, 8):
                length, at = _varint(page, at) if page[at] > 127 else (page[at], at + 1)
                rowid, at = _varint(page, at) if page[at] > 127 else (page[at], at + 1)
                if length <= most and at + length <= len(page):
                    rows.append(_values(page, at, at + length, wanted, last, rowid))
                else:
                    row = self._payload(page, at, length)
                    rows.append(_values(row, 0, len(row), wanted, last, rowid))
        except (IndexError, struct.error) as e:
            raise _damaged("a row is longer than its page") from e
        return rows

    def _payload(self, page: bytes, at: int, length: int) -> bytes:
        """The bytes of a row, of a very long one the beginning: "B-tree Cell Format" of the description."""
        if length <= self._usable - 35:
            return page[at : at + length]
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (self._usable - 4)
        local = local if local <= self._usable - 35 else least
        row, next_page = bytearray(page[at : at + local]), struct.unpack_from(">I", page, at + local)[0]
        while next_page and len(row) < min(length, _MAX_ROW):
            if not 1 <= next_page <= self._pages:
                raise _damaged("a row leads outside")
            more, _ = self._page(next_page)
            next_page = struct.unpack_from(">I", more)[0]
            row += more[4 : self._usable]
        return bytes(row[:length])

    # The schema

    def _schema(self) -> dict[str, _Table]:
        tables: dict[str, _Table] = {}
        objects = 0
        for page in self._leaves(1):
            for kind, name, root, sql in self._rows_of(page, (0, 1, 3, 4)):
                objects += 1
                if objects > _MOST_OBJECTS:
                    raise FeedRefusedError(
                        f"the database has more than {_MOST_OBJECTS} tables, indices and views",
                        where="database",
                    )
                if kind == b"table" and isinstance(root, int) and root and isinstance(name, bytes):
                    table = _table(root, sql if isinstance(sql, bytes) else b"")
                    if table is not None:
                        tables[name.decode("utf-8", "replace").lower()] = table
        return tables


@contextmanager
def opened(stream: BinaryIO, scratch: Path | None, remedy: str = "") -> Iterator[ForeignDatabase]:
    """Copy a database out of a stream and open it.

    Args:
        scratch: a folder of ours for the copy, which is gone at the end; None: where the system has such.
        remedy: what to do where it is no database at all.

    Raises:
        FeedFormatError: it is no database, damaged or cut short.
        StorageError: the copy can't be written.
    """
    data = stream.read(_COPY)
    head = data[:_HEADER]
    if len(head) < _HEADER or not head.startswith(MAGIC):
        raise FeedFormatError("expected an SQLite database", where="byte 1", remedy=remedy)
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(tempfile.TemporaryFile(dir=scratch, buffering=0))
            size = _copied(data, stream, copy)
        except OSError as e:
            raise StorageError(
                f"the list can't be copied to be read ({e.strerror})",
                where="the feeds' directory",
                remedy="An SQLite list needs room for itself once more; free some, or use a smaller list",
            ) from e
        _check_size(head, size)
        yield ForeignDatabase(copy.fileno(), head, size)


def _copied(data: bytes, stream: BinaryIO, copy: BinaryIO) -> int:
    size = 0
    while data:
        size += len(data)
        view = memoryview(data)
        while view:
            view = view[copy.write(view) :]
        data = stream.read(_COPY)
    return size


def _page_size(head: bytes) -> int:
    size = int.from_bytes(head[16:18], "big")
    return 65536 if size == 1 else size


def _check_size(head: bytes, size: int) -> None:
    page = _page_size(head)
    # The number of pages counts only if whoever wrote last has written it as well.
    pages, changed, valid_for = (int.from_bytes(head[n : n + 4], "big") for n in (28, 24, 92))
    whole = page >= 512 and page & (page - 1) == 0 and size % page == 0
    if not whole or (changed == valid_for and size != page * pages):
        raise FeedFormatError(
            "the database is cut short: its header tells of another size",
            where=f"byte {size}",
            remedy="Fetch the list again",
        )


def _children(page: bytes, start: int) -> list[int]:
    """Numbers of the pages below an inner one, left to right."""
    try:
        children = [struct.unpack_from(">I", page, at)[0] for at in _cells(page, start, 12)]
    except struct.error as e:
        raise _damaged("a cell begins behind its page") from e
    return [*children, struct.unpack_from(">I", page, start + 8)[0]]


def _cells(page: bytes, start: int, header: int) -> tuple[int, ...]:
    """Where the cells of a page begin."""
    count = struct.unpack_from(">H", page, start + 3)[0]
    if start + header + 2 * count > len(page):
        raise _damaged("a page has more cells than room")
    return struct.unpack_from(f">{count}H", page, start + header)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where the next thing begins."""
    number = data[at]
    if number < 0x80:
        return number, at + 1
    number &= 0x7F
    for place in range(at + 1, at + 8):
        number = number << 7 | (data[place] & 0x7F)
        if data[place] < 0x80:
            return number, place + 1
    number = number << 8 | data[at + 8]
    return (number - (1 << 64) if number >> 63 else number), at + 9


def _values(
    data: bytes, start: int, end: int, wanted: Sequence[int], last: int, rowid: int
) -> tuple[Value, ...]:
    """The values of the wanted columns, -1 for the row's number; "Record Format" of the description.

    Args:
        start, end: of the row in `data`.
        last: the greatest of `wanted`.
    """
    size, at = _varint(data, start) if data[start] > 127 else (data[start], start + 1)
    offset = body = start + size
    values: list[Value] = []  # up to the last wanted
    while at < body and len(values) <= last:
        serial, at = _varint(data, at) if data[at] > 127 else (data[at], at + 1)
        begin = offset
        offset += (serial - 12) >> 1 if serial >= 12 else _LENGTHS[serial]
        if offset > end:
            raise _damaged("a value is longer than its row, or than any that is read")
        values.append(data[begin:offset] if serial >= 12 else _number(data, serial, begin, offset))
    if last == 0 and len(wanted) == 1:  # all that most lists need
        return (values[0] if values else None,)
    there = len(values)
    return tuple([rowid if n < 0 else values[n] if n < there else None for n in wanted])


def _number(data: bytes, serial: int, begin: int, end: int) -> Value:
    if serial == 7:
        return float(struct.unpack_from(">d", data, begin)[0])
    if serial in (8, 9):
        return serial - 8
    return int.from_bytes(data[begin:end], "big", signed=True) if serial else None


def _table(root: int, sql: bytes) -> _Table | None:
    """A table from the statement that made it; None where its rows are not stored as those of plain ones."""
    text = sql.decode("utf-8", "replace")
    found = _TABLE.match(text)
    if found is None:
        return None
    parts, rest = _split(text[found.end() :])
    columns: list[str] = []
    rowid = ""
    for part in parts:
        word = _WORD.match(part)
        if word is None or _GENERATED.search(part[word.end() :]):
            return None
        name = next(group for group in word.groups() if group).lower()
        if word[4] and name in _NO_COLUMN:
            continue
        if _ROWID.search(part):
            rowid = name
        columns.append(name)
    return None if "without" in rest.lower() else _Table(root, tuple(columns), rowid)


def _split(text: str) -> tuple[list[str], str]:
    """What stands between the commas of a list up to its closing bracket, and what follows it."""
    parts, depth, start, quote = [], 0, 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote = character
        elif character == "(":
            depth += 1
        elif character == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
        elif character == ")":
            if not depth:
                return [*parts, text[start:at]], text[at + 1 :]
            depth -= 1
    return [], "without an end"


def _damaged(what: str) -> FeedFormatError:
    return FeedFormatError(
        f"the SQLite database is damaged: {what}",
        where="database",
        remedy="Fetch the list again; if it stays so, tell the publisher",
    )
