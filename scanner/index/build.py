"""From the entries of a list, or from changes to one, to a snapshot file.

Whatever grows with the list is kept in files and sorted piece by piece, so a list of any length is built in
bounded memory; see `scanner.index.finish` for the second half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scanner.index.columns import Column, Texts
from scanner.index.details import Abouts
from scanner.index.finish import Collected, Merge, Values
from scanner.index.keyed import ListKey, plain_record
from scanner.index.layout import Origin
from scanner.index.perceptual import TABLES_FROM
from scanner.index.records import GONE, RecordChanges, Records
from scanner.index.shapes import Shape
from scanner.index.snapshot import Snapshot
from scanner.model.errors import FeedRefusedError
from scanner.model.feeds import Entry, Item, Packed, Rows
from scanner.model.hashes import KINDS, HashKind

_MAX_ENTRIES = 2**32 - 2  # an entry's number has 32 bits, and the last of them is `GONE`
_MAX_CATEGORIES = 2**16 - 1  # a category's number has 16 bits
_MAX_CATEGORY = 256  # characters; categories stand in the metadata, real ones have one or two


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot that was written.

    Attributes:
        id: its checksum in hexadecimal digits.
        length: of the file, in bytes.
        entries: of the list.
        hashes: values by kind.
        categories: entries by category.
        added, replaced, removed: entries that are new, have a newer statement, or were taken back.
        records: what became of those of them that have a key.
    """

    id: str
    length: int
    entries: int
    hashes: Mapping[str, int]
    categories: Mapping[str, int]
    added: int = 0
    replaced: int = 0
    removed: int = 0
    records: RecordChanges = field(default_factory=RecordChanges)


class SnapshotBuilder:
    """Collects the entries of one generation of a feed, in the order of the list.

    Args:
        key: under which exact digests and record keys are stored; None: they are stored plainly.
        base: the list in use, opened with the same key, where changes to it come: entries with a key replace
            what stands under it, removals take it back, all others are added. It stays as it is, and open.
        kinds: all hash kinds that may come.
        tables_from: perceptual kinds of 256 bits get search tables from this many values on.
        shape: of these tables; None: what is fastest for so many values.
        scratch: a directory for files of what is too large for memory; None: all of it in memory.
    """

    def __init__(
        self,
        *,
        key: ListKey | None = None,
        base: Snapshot | None = None,
        kinds: Mapping[str, HashKind] = KINDS,
        tables_from: int = TABLES_FROM,
        shape: Shape | None = None,
        scratch: Path | None = None,
    ) -> None:
        if base is not None and base.key != key:
            raise RuntimeError("a list is changed with the key it was made with")
        self._tables_from = tables_from
        self._shape = shape
        self._scratch = scratch
        self._base = base
        self._key = key
        # What the base has of a plug-in's kind stays, also where the plug-in is gone.
        others = base.meta.kinds if base else {}
        known = {name: HashKind(name, meta.size, meta.exact) for name, meta in others.items()} | dict(kinds)
        # A list from before there were hints gets none until it is fetched whole: its digests are not there.
        without = {name for name in base.counts if not base.hinted(name)} if base else ()
        self._values = {
            name: Values(kind, key, scratch, hinted=name not in without) for name, kind in known.items()
        }
        self._first = base.meta.entries if base else 0
        self._number = self._first  # of the next entry
        self._codes: dict[str, int] = {}
        self._categories = Column("<u2", scratch)
        self._ids = Texts(scratch)
        self._records = Records(
            plain_record if key is None else key.record, base.records if base else None, scratch
        )
        self._abouts = Abouts(base.abouts if base else None, scratch)
        self._with_key = 0
        for category, _ in base.meta.categories if base else ():
            self._new_category(category)

    def add(self, item: Item) -> None:
        """Take the next item of the list.

        Raises:
            FeedRefusedError: too many entries or categories, or an overlong category.
            StorageError: the scratch directory can't be written.
            RuntimeError: a hash of an unknown kind or the wrong length: the format's parser checks them.
        """
        if isinstance(item, Entry):
            self._add(item)
        elif isinstance(item, Packed):
            self._add_packed(item)
        elif isinstance(item, Rows):
            self._add_rows(item)
        else:
            self._records.add(item.key, GONE, item.changed_ns)

    def _add(self, entry: Entry) -> None:
        number = self._number
        code = self._codes.get(entry.category)
        if code is None:
            code = self._new_category(entry.category)
        if number >= _MAX_ENTRIES:
            raise _too_many()
        for kind, value in entry.hashes:
            values = self._values.get(kind)
            if values is None or len(value) != values.kind.size:
                raise RuntimeError(f"a value of {len(value)} bytes can't be a {kind}")
            values.counts[code] += 1
            values.add(value, number)
        self._categories.append(code)
        self._number += 1
        if entry.id:
            self._ids.append_empty(number - self._first - self._ids.length)
            self._ids.append(entry.id.encode("utf-8", "backslashreplace"))
        if entry.key:
            self._with_key += 1
            self._records.add(entry.key, number, entry.changed_ns)
        if entry.about is not None:
            self._abouts.add(number, entry.about)

    def _add_packed(self, packed: Packed) -> None:
        values = self._values.get(packed.kind)
        if values is None or len(packed.values) % values.kind.size:
            raise RuntimeError(f"{len(packed.values)} bytes can't be values of {packed.kind}")
        count = len(packed.values) // values.kind.size
        code = self._codes.get(packed.category)
        if code is None:
            code = self._new_category(packed.category)
        if self._number + count > _MAX_ENTRIES:
            raise _too_many()
        values.add_packed(packed.values, self._number, code)
        self._categories.repeat(code, count)
        self._number += count

    def _add_rows(self, rows: Rows) -> None:
        number, count = self._number, len(rows.categories)
        if number + count > _MAX_ENTRIES:
            raise _too_many()
        for category in dict.fromkeys(rows.categories):
            if category not in self._codes:
                self._new_category(category)
        codes = np.fromiter(map(self._codes.__getitem__, rows.categories), dtype="<u2", count=count)
        by_code = np.bincount(codes).tolist()
        for kind, column in rows.hashes:
            values = self._values.get(kind)
            if values is None or len(column) != count * values.kind.size:
                raise RuntimeError(f"{len(column)} bytes can't be {count} values of {kind}")
            values.add_rows(column, number, by_code)
        self._categories.extend(codes)
        self._number += count
        if rows.ids:
            self._ids.append_empty(number - self._first - self._ids.length)
            self._ids.extend([own.encode("utf-8", "backslashreplace") for own in rows.ids])

    def _new_category(self, category: str) -> int:
        code = len(self._codes)
        if code == _MAX_CATEGORIES or len(category) > _MAX_CATEGORY:
            raise FeedRefusedError(
                "the list has too many or too long categories",
                where=f"entry {self._number - self._first + 1}",
                remedy="Check which column of the list is the category",
            )
        self._codes[category] = code
        for values in self._values.values():
            values.counts.append(0)
        return code

    def finish(self, path: Path, *, meta: Origin, durable: bool = True) -> SnapshotInfo:
        """Write the snapshot to `path`, in one step. The builder is used up.

        Args:
            durable: sync it to the disk; else whoever takes it does.

        Raises:
            FeedRefusedError: the list has no hash: an empty list is never put into use.
            SnapshotError: the list in use is damaged.
            StorageError: the file can't be written.
        """
        count = self._number - self._first
        if self._ids.length:
            self._ids.append_empty(count - self._ids.length)
        collected = Collected(
            self._base,
            self._key,
            count,
            tuple(self._codes),
            self._categories,
            self._ids,
            self._records,
            self._abouts,
            self._values,
        )
        merge = Merge(collected, self._tables_from, self._scratch, self._shape)
        checksum, length, whole = merge.write(path, meta, durable=durable)
        changes = merge.changes
        return SnapshotInfo(
            checksum,
            length,
            whole.entries,
            {name: kind.hashes for name, kind in whole.kinds.items()},
            dict(whole.categories),
            count - self._with_key + changes.added,
            changes.replaced,
            changes.removed,
            changes,
        )


def _too_many() -> FeedRefusedError:
    return FeedRefusedError(f"the list has more than {_MAX_ENTRIES} entries")
