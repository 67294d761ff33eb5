"""Records of a list by their keys: which change of one wins, and what is known of each.

A record is told from others by its key (a member and its id, say). Its newest statement counts, whichever
comes first, and a removal wins against an entry of the same time. So removals are remembered, too: an older
statement that comes late would bring a record back otherwise.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.index.columns import Blocks, Numbers
from scanner.index.dropped import Dropped
from scanner.index.exact import ExactTable
from scanner.index.keyed import RECORD_SIZE
from scanner.index.mapped import MappedColumn
from scanner.index.sorting import Block, SortedRows, joined, merged, taken

GONE = 2**32 - 1
"""Stands for an entry's number where the record was taken back."""

_FIRST, _LAST = -(2**63), 2**63 - 1  # of a time that fits; a publisher may write any year
_ROWS = 65536  # of the base at a time


class RecordTable:
    """The records of a snapshot.

    Args:
        file: the mapped file.
        keys: offset of the sorted keys in it.
        entries: offset of the entries' numbers, or `GONE`.
        changed: offset of the times.
        starts: the bucket table of the keys, checked.
        count: of records.
    """

    def __init__(
        self, file: mmap.mmap, keys: int, entries: int, changed: int, starts: memoryview, count: int
    ) -> None:
        self._table = ExactTable(file, keys, RECORD_SIZE, starts)
        self.keys = MappedColumn(file, keys, count * RECORD_SIZE, f"S{RECORD_SIZE}")
        self.entries = MappedColumn(file, entries, count * 4, "<u4")
        self.changed = MappedColumn(file, changed, count * 8, "<i8")
        self.count = count
        self._firsts: Numbers | None = None  # keys, one of each part

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """(entry's number or `GONE`, when it was changed) of a record."""
        rows = self._table.rows(digest)
        if not rows:
            return None
        row = rows[0]
        return int(self.entries.slice(row, row + 1)[0]), int(self.changed.slice(row, row + 1)[0])

    def stream(self, without: Dropped) -> Iterator[Block]:
        """All records but those of some rows."""
        start = 0
        for columns in zip(*(c.chunks(_ROWS) for c in (self.keys, self.entries, self.changed)), strict=True):
            keep = without.keeps(start, len(columns[0]))
            start += len(keep)
            yield columns if keep.all() else taken(columns, keep)

    def look_up(self, keys: Numbers) -> Iterator[tuple[slice, Block, npt.NDArray[np.bool_]]]:
        """For runs of sorted keys, the rows where they stand or might, as row numbers, entries and times, and
        whether they do.

        Part by part, and pages are given back: a bisection of the whole would leave most of it in memory.
        """
        if self._firsts is None:
            self._firsts = self.keys.slice(0, self.count)[::_ROWS].copy()
            self.keys.forget_all()
        parts = np.maximum(np.searchsorted(self._firsts, keys, side="right") - 1, 0)
        edges = np.flatnonzero(np.diff(parts, prepend=-1, append=len(self._firsts)))
        for low, high in pairwise(edges.tolist()):
            first = int(parts[low]) * _ROWS
            end = min(first + _ROWS, self.count)
            part = self.keys.slice(first, end)
            at = np.searchsorted(part, keys[low:high])
            at[at == len(part)] = 0
            columns = (c.slice(first, end)[at] for c in (self.entries, self.changed))
            yield slice(low, high), (at + first, *columns), part[at] == keys[low:high]
            for column in (self.keys, self.entries, self.changed):
                column.forget_rows(first, end)


@dataclass(frozen=True, slots=True)
class RecordChanges:
    """What a batch came to, in records.

    Attributes:
        added: new ones.
        replaced: that were there.
        removed: that were there and were taken back.
        unknown: removals of what was not there.
        outdated: statements older than another of the same record.
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0
    unknown: int = 0
    outdated: int = 0


class Records:
    """Collects the records of a batch, decides which of them count, and gives those of the new list.

    Args:
        digest: what stands for a key.
        base: the records there are.
        directory: as of `Scratch`.
    """

    def __init__(
        self, digest: Callable[[str], bytes], base: RecordTable | None, directory: Path | None
    ) -> None:
        self._digest = digest
        self._base = base
        self._rows = SortedRows(RECORD_SIZE, "Iq", directory)
        self._winners = Blocks([f"S{RECORD_SIZE}", "<u4", "<i8"], directory)
        self._replaced = Dropped(base.count if base else 0)
        self._counts = [0, 0, 0, 0, 0]

    def add(self, key: str, entry: int, changed_ns: int) -> None:
        """Take a record; `entry` is `GONE` for a removal."""
        if not _FIRST <= changed_ns <= _LAST:
            changed_ns = _FIRST if changed_ns < 0 else _LAST
        self._rows.add_two(self._digest(key), entry, changed_ns)

    def __len__(self) -> int:
        return len(self._rows)

    def decide(self, dropped: Dropped) -> RecordChanges:
        """Find the newest statement of each record; the entries of all others are dropped. Only once."""
        last: Block | None = None
        for block in self._rows.blocks():
            whole = block if last is None else joined([last, block])
            winners = self._newest(whole, dropped)
            # More of the last key may come in the next block.
            last = taken(winners, slice(-1, None))
            self._compare(taken(winners, slice(-1)), dropped)
        if last is not None:
            self._compare(last, dropped)
        return RecordChanges(*self._counts)

    @property
    def count(self) -> int:
        """Records of the new list, after `decide`."""
        old = self._base.count - self._replaced.count if self._base else 0
        return old + self._winners.length

    def stream(self, dropped: Dropped) -> Iterator[Block]:
        """The records of the new list by key, with the numbers that entries have in it, after `decide`."""
        old = self._base.stream(self._replaced) if self._base else iter(())
        for keys, entries, changed in merged(old, self._winners.blocks()):
            moved = entries.copy()
            there = entries != GONE
            moved[there] = dropped.moved(entries[there])
            yield keys, moved, changed

    def _newest(self, block: Block, dropped: Dropped) -> Block:
        keys, entries, changed = block
        same = keys[1:] == keys[:-1]
        if not same.any():
            return block
        group = np.cumsum(np.concatenate(([True], ~same)))
        order = np.lexsort((entries == GONE, changed, group))  # stable: of equals the later one comes last
        ends = np.flatnonzero(np.diff(group[order], append=group[-1] + 1))
        wins = np.zeros(len(keys), dtype=np.bool_)
        wins[order[ends]] = True
        self._lose(entries[~wins], dropped)
        return taken(block, order[ends])

    def _compare(self, block: Block, dropped: Dropped) -> None:
        """Settle the newest statements of a batch with what the base says."""
        keys, entries, changed = block
        gone = entries == GONE
        there = np.zeros(len(keys), dtype=np.bool_)
        wins = ~there
        for run, (rows, theirs, time), known in self._base.look_up(keys) if self._base else ():
            there[run] = known & (theirs != GONE)
            newer = (changed[run] > time) | ((changed[run] == time) & (gone[run] | (theirs != GONE)))
            wins[run] = ~known | newer
            self._replaced.add(rows[known & wins[run]])
            dropped.add(theirs[there[run] & wins[run]])
        self._lose(entries[~wins], dropped)
        for i, which in enumerate((~gone & ~there, ~gone & there, gone & there, gone & ~there)):
            self._counts[i] += int((which & wins).sum())
        self._winners.put(*taken(block, wins))

    def _lose(self, entries: Numbers, dropped: Dropped) -> None:
        self._counts[4] += len(entries)
        dropped.add(entries[entries != GONE])
