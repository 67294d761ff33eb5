"""What some publishers tell of an entry besides its category, kept for the entries that have any.

Dates stand as numbers; severity, labels and source as one text, which many entries may share.
"""

from __future__ import annotations

import json
import mmap
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scanner.index.columns import Blocks, Column, Numbers, Texts, kept_texts
from scanner.index.dropped import Dropped
from scanner.index.layout import DamagedLayout
from scanner.index.mapped import MappedColumn, MappedTexts
from scanner.model.errors import FeedRefusedError
from scanner.model.feeds import About

_MOST_TEXT = 1 << 16  # bytes of an entry's text; real ones have some hundred
_REMEMBERED = 4096  # texts that are looked for among those already there
_ROWS = 16384  # details in memory before they are written
_FIRST, _LAST = -(2**63), 2**63 - 1  # of a time that fits

_Said = tuple[str, tuple[str, ...], str]  # severity, labels and source

COLUMNS = (
    ("about-entries", "<u4"),
    ("about-added", "<i8"),
    ("about-removed", "<i8"),
    ("about-text", "<u4"),
)


class AboutTable:
    """The details of a snapshot.

    Args:
        columns: as `COLUMNS` names them.
        texts: what stands in the last of them.
    """

    def __init__(self, columns: tuple[MappedColumn, ...], texts: MappedTexts) -> None:
        self.columns = columns
        self.texts = texts
        self.count = columns[0].length
        self._entries, *self._told = (c.view() for c in columns)

    def find(self, number: int) -> About | None:
        """What is told of an entry.

        Raises:
            DamagedLayout: its text is not what we write.
        """
        row = bisect_left(self._entries, number)
        if row == self.count or self._entries[row] != number:
            return None
        added, removed, text = (column[row] for column in self._told)
        return _unpacked(self.texts.text(text), added, removed)

    def check_texts(self) -> None:
        """Read every text.

        Raises:
            DamagedLayout: one is not what we write.
        """
        for lengths, data in self.texts.pieces():
            start = 0
            for length in lengths.tolist():
                _unpacked(bytes(data[start : start + length]), 0, 0)
                start += length

    def blocks(self) -> Iterator[tuple[Numbers, ...]]:
        yield from zip(*(c.chunks(_ROWS) for c in self.columns), strict=True)


def _bounded(time_ns: int) -> int:
    return time_ns if _FIRST <= time_ns <= _LAST else min(max(time_ns, _FIRST), _LAST)


def _packed(said: _Said) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode("ascii")


def _unpacked(text: bytes, added: int, removed: int) -> About:
    try:
        severity, labels, source = json.loads(text)
        if not all(isinstance(t, str) for t in (severity, source, *labels)) or not isinstance(labels, list):
            raise ValueError("not a text")
    except (ValueError, TypeError, RecursionError) as e:
        raise DamagedLayout("an entry's details are damaged") from e
    return About(severity, tuple(labels), added, removed, source)


class Abouts:
    """Collects the details of a batch and joins them with those there are.

    Args:
        base: the details there are.
        directory: as of `Scratch`.
    """

    def __init__(self, base: AboutTable | None, directory: Path | None) -> None:
        self._base = base
        self._directory = directory
        self._rows = Blocks([dtype for _, dtype in COLUMNS], directory)
        self._pending: list[tuple[int, int, int, int]] = []
        self._texts = Texts(directory)
        self._known: dict[_Said, int] = {}

    def add(self, entry: int, about: About) -> None:
        """Take what is told of the next entry.

        Raises:
            FeedRefusedError: it is longer than any real one.
        """
        said = about.severity, about.labels, about.source
        at = self._known.get(said)
        if at is None:
            at = self._new_text(said, entry)
        self._pending.append((entry, _bounded(about.added_ns), _bounded(about.removed_ns), at))
        if len(self._pending) >= _ROWS:
            self._flush()

    def _new_text(self, said: _Said, entry: int) -> int:
        text = _packed(said)
        if len(text) > _MOST_TEXT:
            raise FeedRefusedError(
                f"the details of an entry have more than {_MOST_TEXT} bytes",
                where=f"entry {entry + 1}",
                remedy="Check which columns of the list are severity, labels and source",
            )
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[said] = self._texts.length
        self._texts.append(text)
        return self._known[said]

    def _flush(self) -> None:
        columns = zip(*self._pending, strict=True)
        self._rows.put(*(np.array(c, dtype=d) for c, (_, d) in zip(columns, COLUMNS, strict=True)))
        self._pending.clear()

    def finish(self, dropped: Dropped) -> FinishedAbouts | None:
        """The details of the entries that stay, None where there are none."""
        if self._pending:
            self._flush()
        old = self._base.texts.length if self._base else 0
        unused = Dropped(old + self._texts.length, everything=True)
        for entries, _, _, texts in self._blocks(old):
            unused.spare(texts[~dropped.contains(entries)])
        columns = tuple(Column(dtype, self._directory) for _, dtype in COLUMNS)
        for entries, added, removed, texts in self._blocks(old):
            keep = ~dropped.contains(entries)
            numbers = (dropped.moved(entries[keep]), added[keep], removed[keep], unused.moved(texts[keep]))
            for column, values in zip(columns, numbers, strict=True):
                column.extend(np.ascontiguousarray(values))
        if not columns[0].length:
            return None
        return FinishedAbouts(columns, self._base.texts if self._base else None, self._texts, unused)

    def _blocks(self, old: int) -> Iterator[tuple[Numbers, ...]]:
        """(entry, added, removed, text) of all there is, texts of the batch counted on from those there."""
        if self._base is not None:
            yield from self._base.blocks()
        for entries, added, removed, texts in self._rows.blocks():
            yield entries, added, removed, texts + np.uint32(old)


class FinishedAbouts:
    """The details of a new list: the columns, and their texts."""

    def __init__(
        self, columns: tuple[Column, ...], old: MappedTexts | None, new: Texts, unused: Dropped
    ) -> None:
        self.columns = columns
        self._sources = [t for t in (old, new) if t is not None]
        self._unused = unused

    def lengths(self) -> Iterator[Numbers]:
        """Of each text."""
        start = 0
        for source in self._sources:
            for lengths in source.lengths():
                yield lengths[self._unused.keeps(start, len(lengths))]
                start += len(lengths)

    def texts(self) -> Iterator[bytes | memoryview]:
        """The texts, one after another."""
        start = 0
        for source in self._sources:
            for piece in source.pieces():
                yield kept_texts(piece, self._unused.keeps(start, len(piece[0])))[1]
                start += len(piece[0])


def mapped(file: mmap.mmap, sections: list[tuple[int, int]], texts: MappedTexts) -> AboutTable:
    """A table of the sections (offset, length) of its columns.

    Raises:
        DamagedLayout: they are of different numbers of rows.
    """
    columns = tuple(
        MappedColumn(file, offset, length, dtype)
        for (offset, length), (_, dtype) in zip(sections, COLUMNS, strict=True)
    )
    if any(
        length % np.dtype(d).itemsize or c.length != columns[0].length
        for c, (_, length), (_, d) in zip(columns, sections, COLUMNS, strict=True)
    ):
        raise DamagedLayout("its sections of details have the wrong lengths")
    return AboutTable(columns, texts)
