"""Rows of a CSV list to entries: column by column where all of a batch are alike, else row by row."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from scanner.feeds.batches import admit_rows, unhexed
from scanner.feeds.checks import (
    MAX_TEXT,
    admit,
    category_text,
    count,
    kind_name,
    pass_over,
    unsupported_name,
)
from scanner.feeds.formats.columns import Columns, HashColumn
from scanner.feeds.formats.csv_batches import Batch
from scanner.feeds.times import told_ns
from scanner.feeds.written import BASE64, HEX, decoded
from scanner.model.errors import FeedFormatError
from scanner.model.feeds import LISTED, About, Entry, ImportCounts, Item
from scanner.model.hashes import KINDS

_NOTHING = frozenset({"", "null", "none"})
_SEPARATORS = str.maketrans(";|", ",,")  # between labels


class Rows:
    """Reads rows.

    Args:
        values: for a field what the list writes, in lower case, to what is meant.
        ragged: rows may have fewer or more cells than the header.

    Attributes:
        malformed: what is wrong with the row read last, None where it is as it should be.
        last: the row read last.
    """

    def __init__(
        self,
        columns: Columns,
        values: Mapping[str, Mapping[str, str]],
        counts: ImportCounts,
        *,
        ragged: bool = False,
    ) -> None:
        self._columns = columns
        self._counts = counts
        self._width = len(columns.headers)
        self._values = values
        self._ragged = ragged
        # What a batch at once is for: nothing but hashes, of known kinds, with an id and a category.
        self._simple = columns.typed is None and not columns.told
        self.malformed: FeedFormatError | None = None
        self.last: Sequence[str] = ()

    def items(self, batch: Batch, line: int) -> Iterator[Item]:
        """The items of a batch; `line` is the number of the line before it."""
        self.last = batch.last()
        hashes = self._hashes(batch) if self._simple and batch.width == self._width else None
        texts = self._texts(batch) if hashes is not None else None
        if hashes is None or texts is None:
            yield from self._one_by_one(batch.rows(), line)
            return
        self.malformed = None
        for kind, column in self._columns.unsupported:
            number = sum(cell.strip().casefold() not in _NOTHING for cell in batch.column(column))
            if number:
                name = unsupported_name(kind)
                self._counts.unsupported[name] = self._counts.unsupported.get(name, 0) + number
        yield from admit_rows(hashes, *texts, self._counts)

    def _hashes(self, batch: Batch) -> tuple[tuple[str, bytes], ...] | None:
        """All hash columns, or None when some cell is not simply what it should be."""
        found = []
        for hashed in self._columns.hashes:
            values = _all_decoded(hashed, batch.column(hashed.column))
            if values is None:
                return None
            found.append((hashed.kind, values))
        return tuple(found)

    def _texts(self, batch: Batch) -> tuple[Sequence[str], Sequence[str]] | None:
        """Categories and ids, or None where one is too long."""
        ids: Sequence[str] = ()
        if self._columns.category is not None:
            cells = batch.column(self._columns.category)
            meant = {cell: category_text(self._meant("category", cell.strip())) for cell in set(cells)}
            if max(map(len, meant)) > MAX_TEXT:
                return None
            categories = [meant[cell] for cell in cells]
        else:
            categories = [LISTED] * len(batch.column(0))
        if self._columns.id is not None:
            ids = list(map(str.strip, batch.column(self._columns.id)))
            if max(map(len, ids)) > MAX_TEXT:
                return None
        return categories, ids

    def _one_by_one(self, rows: Sequence[list[str]], line: int) -> Iterator[Entry]:
        line += 1
        for row in rows:
            if row and (len(row) > 1 or row[0].strip()):
                self.malformed = None
                try:
                    entry = self._row(row, line)
                except FeedFormatError as e:
                    self.malformed, entry = e, None
                    pass_over(e, self._counts)
                if entry is not None:
                    yield entry
            line += 1 + "".join(row).count("\n")

    def _row(self, row: list[str], line: int) -> Entry | None:
        if len(row) != self._width:
            if not self._ragged:
                raise FeedFormatError(
                    f"expected {self._width} cells as the header has, found {len(row)}", where=f"line {line}"
                )
            row = [*row, *[""] * (self._width - len(row))]
        hashes: list[tuple[str, bytes]] = []
        for hashed in self._columns.hashes:
            text = row[hashed.column].strip()
            if text.casefold() not in _NOTHING:
                where = self._columns.where(line, hashed.column)
                hashes.append((hashed.kind, decoded(hashed.kind, text, hashed.form, where)))
        typed = self._typed(row, line) if self._columns.typed is not None else None
        unsupported = [
            kind
            for kind, column in self._columns.unsupported
            if row[column].strip().casefold() not in _NOTHING
        ]
        if isinstance(typed, str):
            unsupported.append(typed)
        elif typed is not None and typed not in hashes:
            hashes.append(typed)
        if not hashes and not unsupported:
            raise FeedFormatError("a row without any hash", where=f"line {line}")
        entry = self._entry(row, line, hashes)
        for kind in unsupported:  # counted last: the row may be wrong in another way
            count(self._counts.unsupported, unsupported_name(kind))
        return entry

    def _typed(self, row: list[str], line: int) -> tuple[str, bytes] | str | None:
        """The value of a `type` and `hash` pair; the kind alone where it can't be matched."""
        assert self._columns.typed is not None
        named, column, form = self._columns.typed
        text = row[column].strip()
        if text.casefold() in _NOTHING:
            return None
        kind = kind_name(self._meant("type", row[named].strip()))
        if not kind:
            raise FeedFormatError("a hash without a type", where=self._columns.where(line, named))
        if kind not in KINDS:
            return kind
        return kind, decoded(kind, text, form, self._columns.where(line, column))

    def _entry(self, row: list[str], line: int, hashes: Sequence[tuple[str, bytes]]) -> Entry | None:
        id, category, key, changed, about = "", LISTED, "", 0, None
        if self._columns.id is not None:
            id = self._text(row, self._columns.id, line)
        if self._columns.category is not None:
            text = self._text(row, self._columns.category, line)
            category = category_text(self._meant("category", text))
        if self._columns.told:
            told = {field: self._text(row, column, line) for field, column in self._columns.told.items()}
            key = told.get("key", "")
            changed = self._time(told, "changed", line)
            about = self._about(told, line)
        return admit(hashes, id, category, self._counts, key=key, changed_ns=changed, about=about)

    def _about(self, told: Mapping[str, str], line: int) -> About | None:
        labels = self._meant("labels", told.get("labels", "")).translate(_SEPARATORS).split(",")
        about = About(
            severity=self._meant("severity", told.get("severity", "")),
            labels=tuple(label.strip() for label in labels if label.strip()),
            added_ns=self._time(told, "added", line),
            removed_ns=self._time(told, "removed", line),
            source=self._meant("source", told.get("source", "")),
        )
        return about if about != About() else None

    def _time(self, told: Mapping[str, str], field: str, line: int) -> int:
        text = told.get(field, "")
        if text.casefold() in _NOTHING:
            return 0
        found = told_ns(text)
        if found is not None:
            return found
        if field == "added":  # nothing depends on it, and exports have it as the machine's locale has it
            return 0
        raise FeedFormatError(
            "expected a time in ISO 8601 (UTC where nothing else is said) or as a number of seconds",
            where=self._columns.where(line, self._columns.told[field]),
        )

    def _meant(self, field: str, text: str) -> str:
        meanings = self._values.get(field)
        return meanings.get(text.casefold(), text) if meanings else text

    def _text(self, row: list[str], column: int, line: int) -> str:
        text = row[column].strip()
        if len(text) > MAX_TEXT:
            raise FeedFormatError(
                f"a text of {len(text)} characters, at most {MAX_TEXT} can be right",
                where=self._columns.where(line, column),
                remedy="Check which column is the id, and which the category",
            )
        return text


def _all_decoded(hashed: HashColumn, cells: Sequence[str]) -> bytes | None:
    size = KINDS[hashed.kind].size
    if hashed.form in ("", HEX):
        return unhexed(cells, size)
    if hashed.form != BASE64 or len(set(map(len, cells))) != 1:
        return None
    try:
        found = list(map(partial(binascii.a2b_base64, strict_mode=True), cells))
    except ValueError:
        return None
    return b"".join(found) if set(map(len, found)) == {size} else None
