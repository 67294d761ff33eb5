"""Writing a snapshot out of what was collected and, where changes came, the list they change.

Both are read from their beginning to their end, in blocks, so memory does not grow with them; entries keep
their order, first those of the old list, and close the gaps that dropped ones leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index import hints, layout
from scanner.index.columns import Column, Numbers, Texts, kept_texts
from scanner.index.details import COLUMNS, Abouts
from scanner.index.dropped import Dropped
from scanner.index.exact import bucket_bits, first_four, first_two
from scanner.index.keyed import RECORD_SIZE, ListKey, stored_size
from scanner.index.layout import BUCKET_BITS, BUCKETS, STARTS, DamagedLayout, KindMeta, Meta, Origin
from scanner.index.moving import MovedTables, movable
from scanner.index.perceptual import TABLES_SIZE
from scanner.index.records import RecordChanges, Records
from scanner.index.shapes import SMALL, Shape, layout_of, pack_shape
from scanner.index.slots import SlotBuilder
from scanner.index.snapshot import Snapshot
from scanner.index.sorting import Block, SortedRows, merged, taken
from scanner.index.writer import Chunk, Part, WrongLength, write_snapshot
from scanner.model.errors import FeedRefusedError, SnapshotError
from scanner.model.hashes import HashKind

_ROWS = 65536  # of the old list at a time: 2 MB of SHA-256
_MOST_ROWS = 2**32 - 1  # a row's number has 32 bits

Counts = npt.NDArray[np.int64]


class Values:
    """The values of one kind as they come, in the form in which they are stored.

    Args:
        hinted: where there is a key: keep the hints of exact digests, too.

    Attributes:
        counts: of values by the number of the entry's category.
        hinted: each row has its hint as its last number.
    """

    __slots__ = ("add", "counts", "hinted", "kind", "rows", "width")

    def __init__(
        self, kind: HashKind, key: ListKey | None, scratch: Path | None, *, hinted: bool = True
    ) -> None:
        self.kind = kind
        self.width = stored_size(kind, keyed=key is not None)
        digests = partial(key.digests, kind.name, size=kind.size) if key is not None and kind.exact else None
        self.hinted = hinted and digests is not None
        noted = hints.hints_of if self.hinted else None
        self.rows = SortedRows(self.width, "I", scratch, raw=kind.size, prepared=digests, noted=noted)
        self.counts: list[int] = []
        self.add = self.rows.add

    def add_packed(self, values: bytes, first: int, code: int) -> None:
        self.rows.add_numbered(values, first)
        self.counts[code] += len(values) // self.kind.size

    def add_rows(self, values: bytes, first: int, by_code: Sequence[int]) -> None:
        self.rows.add_numbered(values, first)
        for code, number in enumerate(by_code):
            self.counts[code] += number


@dataclass(frozen=True, slots=True)
class Collected:
    """What a builder has: `count` new entries, numbered on from those of the base."""

    base: Snapshot | None
    key: ListKey | None
    count: int
    codes: tuple[str, ...]
    categories: Column
    ids: Texts
    records: Records
    abouts: Abouts
    values: Mapping[str, Values]


class Merge:
    """Joins what was collected with the list it changes."""

    def __init__(
        self, collected: Collected, tables_from: int, scratch: Path | None, shape: Shape | None = None
    ) -> None:
        self._new = collected
        self._base = collected.base
        self._first = collected.base.meta.entries if collected.base else 0
        self._tables_from = tables_from
        self._shape = shape
        self._scratch = scratch
        self._dropped = Dropped(self._first + collected.count)
        self.changes = RecordChanges()

    def write(self, path: Path, origin: Origin, *, durable: bool) -> tuple[str, int, Meta]:
        """Write the snapshot; see `SnapshotBuilder.finish`.

        Returns:
            its checksum, its length in bytes, and what it says of itself.
        """
        try:
            self.changes = self._new.records.decide(self._dropped)
            whole = self._meta(origin)
            checksum, length = write_snapshot(path, list(self._parts(whole)), durable=durable)
        except (DamagedLayout, IndexError, WrongLength) as e:
            if self._base is None:
                raise
            raise SnapshotError(
                "the list in use can't be changed: a number in it leads nowhere",
                where=f"feed {origin['feed']}",
                remedy="Remove its snapshot, so that the feed is fetched whole, and check the disk",
            ) from e
        return checksum, length, whole

    # What the new list will hold

    def _meta(self, origin: Origin) -> Meta:
        entries = self._entries_by_code()
        by_kind = {name: self._values_by_code(values) for name, values in self._new.values.items()}
        used = {name: counts for name, counts in by_kind.items() if counts.any()}
        if not used:
            raise FeedRefusedError(
                "the list is empty: there is nothing in it to compare files with",
                where=f"feed {origin['feed']}",
                remedy="The last good list stays in use; ask the publisher",
            )
        if max(int(counts.sum()) for counts in used.values()) > _MOST_ROWS:
            raise FeedRefusedError(f"the list has more than {_MOST_ROWS} values of one kind")
        # Categories of which no entry is left go; the others keep their order.
        there = entries > 0
        named = [(name, int(n)) for name, n in zip(self._new.codes, entries, strict=True) if n]
        kinds = {}
        for name, counts in used.items():
            values = self._new.values[name]
            of_kind = tuple(counts[there].tolist())
            kinds[name] = KindMeta(values.width, values.kind.exact, sum(of_kind), of_kind)
        self._new_codes = (np.cumsum(there) - 1).astype("<u2")
        defaults = origin.get("default_categories")
        return Meta(
            feed=origin["feed"],
            format=origin["format"],
            built_ns=origin["built_ns"],
            source_sha256=origin.get("source_sha256", ""),
            default_categories=None if defaults is None else frozenset(defaults),
            entries=self._dropped.kept,
            categories=tuple(named),
            kinds=kinds,
            counts=origin.get("counts", {}),
            memory=origin.get("memory", ""),
            key=self._new.key.id if self._new.key else "",
        )

    def _entries_by_code(self) -> Counts:
        counts = np.zeros(len(self._new.codes), dtype=np.int64)
        for _, codes in self._codes():
            counts += self._counted(codes)
        return counts

    def _counted(self, codes: Numbers) -> Counts:
        counts: Counts = np.bincount(codes, minlength=len(self._new.codes))
        if len(counts) > len(self._new.codes):
            raise DamagedLayout("an entry has no category")
        return counts

    def _codes(self) -> Iterator[tuple[npt.NDArray[np.bool_], Numbers]]:
        """Category numbers of the entries that stay, and which of those of the block they are."""
        start = 0
        for codes in self._all_codes():
            keep = self._dropped.keeps(start, len(codes))
            start += len(codes)
            yield keep, codes[keep]

    def _all_codes(self) -> Iterator[Numbers]:
        if self._base is not None:
            yield from self._base.column("", "categories", "<u2").chunks(_ROWS)
        yield from self._new.categories.chunks()

    def _values_by_code(self, values: Values) -> Counts:
        counts = np.array(values.counts, dtype=np.int64)
        old = self._base.meta.kinds.get(values.kind.name) if self._base else None
        if old is not None:
            counts[: len(old.categories)] += old.categories
        if self._dropped.count and counts.any():
            counts -= self._lost_by_code(values)
            if (counts < 0).any():
                raise DamagedLayout("its metadata contradict its sections")
        return counts

    def _lost_by_code(self, values: Values) -> Counts:
        """Values of dropped entries."""
        name, lost = values.kind.name, [np.empty(0, dtype=np.uint32)]
        if self._base is not None and name in self._base.counts:
            for entries in self._base.column(name, "entries", "<u4").chunks(_ROWS):
                lost.append(entries[self._dropped.contains(entries)])
        for _, entries, *_ in values.rows.unsorted():
            lost.append(entries[self._dropped.contains(entries)])
        numbers = np.sort(np.concatenate(lost))
        counts = np.zeros(len(self._new.codes), dtype=np.int64)
        start = 0
        for codes in self._all_codes():
            low, high = np.searchsorted(numbers, [start, start + len(codes)])
            counts += self._counted(codes[numbers[low:high] - start])
            start += len(codes)
        return counts

    # Its sections

    def _parts(self, whole: Meta) -> Iterator[Part]:
        yield whole_part("", "meta", layout.pack_meta(whole))
        yield Part("", "categories", 2 * whole.entries, self._category_chunks)
        yield from self._id_parts()
        yield from self._record_parts()
        yield from self._about_parts()
        for name, kind in whole.kinds.items():
            yield from self._kind_parts(name, kind)

    def _category_chunks(self) -> Iterator[Chunk]:
        for _, codes in self._codes():
            yield as_bytes(self._new_codes[codes])

    def _id_parts(self) -> Iterator[Part]:
        old = self._base.ids if self._base else None
        if old is None and not self._new.ids.length:
            return
        # Who has none has empty ones.
        before, after = Texts(self._scratch), self._new.ids
        before.append_empty(self._first if old is None else 0)
        if not after.length:
            after.append_empty(self._new.count)
        sources = [before if old is None else old, after]
        ends = self._ends(lengths for source in sources for lengths in source.lengths())
        total = ends.last
        yield column_part("", "id-ends", ends)

        def texts() -> Iterator[Chunk]:
            start = 0
            for source in sources:
                for piece in source.pieces():
                    yield kept_texts(piece, self._dropped.keeps(start, len(piece[0])))[1]
                    start += len(piece[0])

        yield Part("", "ids", total, texts)

    def _ends(self, lengths: Iterator[Numbers]) -> Ends:
        ends, start = Ends(self._scratch), 0
        for some in lengths:
            ends.add(some[self._dropped.keeps(start, len(some))])
            start += len(some)
        return ends

    def _record_parts(self) -> Iterator[Part]:
        records = self._new.records
        if not records.count:
            return
        spooled = Spooled(records.stream(self._dropped), ("<u4", "<i8"), self._scratch)
        yield Part("", "record-keys", RECORD_SIZE * records.count, spooled.keys)
        yield Part("", "record-entries", 4 * records.count, lambda: spooled.column(0))
        yield Part("", "record-changed", 8 * records.count, lambda: spooled.column(1))
        yield Part("", "record-starts", 4 * STARTS, spooled.starts)

    def _about_parts(self) -> Iterator[Part]:
        abouts = self._new.abouts.finish(self._dropped)
        if abouts is None:
            return
        for (name, _), column in zip(COLUMNS, abouts.columns, strict=True):
            yield column_part("", name, column)
        ends = Ends(self._scratch)
        for lengths in abouts.lengths():
            ends.add(lengths)
        yield column_part("", "about-ends", ends)
        yield Part("", "about-texts", ends.last, abouts.texts)

    def _kind_parts(self, name: str, meta: KindMeta) -> Iterator[Part]:
        count = meta.hashes
        tables = shape = None
        if not meta.exact and meta.size == TABLES_SIZE and count >= self._tables_from:
            shape = self._shape or layout_of(count)
            tables = self._moved_tables(name, shape) or SlotBuilder(shape, self._scratch)
        fine = bucket_bits(count) if meta.exact else BUCKET_BITS
        hinted = self._new.values[name].hinted
        spooled = Spooled(self._rows(name, tables), ("<u4",) * (1 + hinted), self._scratch, fine)
        yield Part(name, "keys", count * meta.size, spooled.keys)
        yield Part(name, "entries", count * 4, lambda: spooled.column(0))
        if meta.exact:
            yield Part(name, "starts", 4 * STARTS, spooled.starts)
        if fine > BUCKET_BITS:
            yield Part(name, "fine-starts", 4 * ((1 << fine) + 1), spooled.fine_starts)
        if hinted and self._new.key is not None:
            hints_in = partial(hints.sealed, self._new.key, name, spooled.numbers(1))
            yield Part(name, hints.SECTION, hints.length_of(count), hints_in)
        if tables is not None and shape is not None:
            slots = len(shape.widths)
            if shape != SMALL:
                yield whole_part(name, "slot-shape", pack_shape(shape))
            yield Part(name, "slot-order", slots * count * 4, tables.words)
            yield Part(name, "slot-starts", slots * (shape.buckets + 1) * 4, tables.starts)

    def _moved_tables(self, name: str, shape: Shape) -> MovedTables | None:
        """What makes the tables out of those of the list in use, where it has such."""
        old = self._base.slot_tables(name) if self._base else None
        if old is None or old[0] != shape:
            return None
        starts, words = old[1], old[2]
        if not movable(starts, words.length // len(starts), len(self._new.values[name].rows)):
            return None
        return MovedTables(shape, words, starts)

    def _rows(self, name: str, tables: SlotBuilder | MovedTables | None) -> Iterator[Block]:
        """Rows of a kind in the order of the new list, with the numbers that entries have in it."""
        new = map(self._staying, self._new.values[name].rows.blocks())
        known = int(self._dropped.moved(np.array([self._first], dtype=np.uint32))[0])
        for block in merged(self._old_rows(name, tables), new):
            if isinstance(tables, MovedTables):
                tables.add(block[0], block[1] < known)
            elif tables is not None:
                tables.add(block[0])
            yield block

    def _old_rows(self, name: str, tables: SlotBuilder | MovedTables | None) -> Iterator[Block]:
        if self._base is None or name not in self._base.counts:
            return
        size = self._base.meta.kinds[name].size
        columns = (self._base.column(name, "keys", f"S{size}"), self._base.column(name, "entries", "<u4"))
        streams = [c.chunks(_ROWS) for c in columns]
        if self._new.values[name].hinted:
            streams.append(hints.in_steps(self._base.hints(name), _ROWS))
        for block in zip(*streams, strict=True):
            if isinstance(tables, MovedTables):
                tables.staying(~self._dropped.contains(block[1]))
            yield self._staying(block)

    def _staying(self, block: Block) -> Block:
        """The rows of entries that stay, and the numbers that these have then."""
        if not self._dropped.count:
            return block
        gone = self._dropped.contains(block[1])
        keys, entries, *others = taken(block, ~gone) if gone.any() else block
        return keys, self._dropped.moved(entries), *others


class Ends(Column):
    """Where texts end, from their lengths."""

    def __init__(self, scratch: Path | None) -> None:
        super().__init__("<u8", scratch)
        self.last = 0

    def add(self, lengths: Numbers) -> None:
        """Add texts of these lengths."""
        if len(lengths):
            ends = np.cumsum(lengths, dtype=np.uint64) + np.uint64(self.last)
            self.last = int(ends[-1])
            self.extend(ends)


class Spooled:
    """A stream of sorted rows as sections: keys go out as they come, other columns and buckets after them.

    Args:
        fine: bits of a key that name a bucket of the finer table; none is made for 16.
    """

    def __init__(
        self,
        rows: Iterator[Block],
        dtypes: tuple[str, ...],
        scratch: Path | None,
        fine: int = BUCKET_BITS,
    ) -> None:
        self._rows = rows
        self._columns = tuple(Column(dtype, scratch) for dtype in dtypes)
        self._buckets = np.zeros(BUCKETS, dtype=np.int64)
        self._bits = fine
        self._fine = Column("<u4", scratch)
        self._count = 0

    def keys(self) -> Iterator[Chunk]:
        """The keys; to be used up before anything else is asked for."""
        for keys, *numbers in self._rows:
            for column, values in zip(self._columns, numbers, strict=True):
                column.extend(np.ascontiguousarray(values))
            self._buckets += np.bincount(first_two(keys), minlength=BUCKETS)
            if self._bits > BUCKET_BITS and len(keys):
                self._begin(keys)
            self._count += len(keys)
            yield as_bytes(keys)

    def _begin(self, keys: Numbers) -> None:
        """The buckets up to that of the last key begin with these keys, or before them."""
        buckets = first_four(keys) >> np.uint32(32 - self._bits)
        begun = np.arange(self._fine.length, int(buckets[-1]) + 1, dtype=np.uint32)
        starts = np.searchsorted(buckets, begun) + self._count
        self._fine.extend(starts.astype("<u4"))

    def fine_starts(self) -> Iterator[Chunk]:
        """The finer bucket table."""
        yield from self.column_of(self._fine)
        rest = (1 << self._bits) + 1 - self._fine.length
        while rest > 0:
            part = min(rest, BUCKETS)
            yield as_bytes(np.full(part, self._count, dtype="<u4"))
            rest -= part

    def column_of(self, column: Column) -> Iterator[Chunk]:
        """A column as chunks of a section."""
        return (as_bytes(chunk) for chunk in column.chunks())

    def column(self, number: int) -> Iterator[Chunk]:
        """One of the other columns."""
        return self.column_of(self._columns[number])

    def numbers(self, number: int) -> Callable[[], Iterator[Numbers]]:
        """One of the other columns as numbers, any number of times."""
        return self._columns[number].chunks

    def starts(self) -> Iterator[Chunk]:
        """The bucket table."""
        starts = np.zeros(STARTS, dtype="<u4")
        np.cumsum(self._buckets, out=starts[1:])
        yield as_bytes(starts)


def as_bytes(values: npt.NDArray[Any]) -> memoryview:
    """An array as it stands in a file."""
    return np.ascontiguousarray(values).view(np.uint8).data


def whole_part(kind: str, name: str, data: bytes) -> Part:
    """A section that exists as one buffer."""
    return Part(kind, name, len(data), lambda: [data])


def column_part(kind: str, name: str, column: Column) -> Part:
    """A section of the numbers of a column."""
    return Part(kind, name, column.length * column.itemsize, lambda: (as_bytes(c) for c in column.chunks()))
