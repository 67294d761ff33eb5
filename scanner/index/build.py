"""From the entries of a list to a snapshot file."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index import layout
from scanner.index.exact import as_keys, sorted_rows
from scanner.index.layout import KindMeta, Meta, Origin
from scanner.index.perceptual import TABLES_FROM, TABLES_SIZE, slot_table
from scanner.index.writer import Part, write_snapshot
from scanner.model.errors import FeedRefusedError
from scanner.model.feeds import Entry, Item, Packed, Rows
from scanner.model.hashes import KINDS, HashKind

_CHUNK = 65536  # rows sorted into the file at a time: 2 MB of SHA-256
_MAX_ENTRIES = 2**32 - 1  # an entry's number has 32 bits
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
    """

    id: str
    length: int
    entries: int
    hashes: Mapping[str, int]
    categories: Mapping[str, int]


class _Values:
    """The values of one kind as they come, packed: Python objects would take ten times the memory."""

    __slots__ = ("entries", "keys", "kind")

    def __init__(self, kind: HashKind) -> None:
        self.kind = kind
        self.keys = bytearray()
        self.entries = array("I")


class SnapshotBuilder:
    """Collects the entries of one generation of a feed, in the order of the list.

    Args:
        kinds: all hash kinds that may come.
        tables_from: perceptual kinds of 256 bits get search tables from this many values on.
    """

    def __init__(
        self,
        *,
        kinds: Mapping[str, HashKind] = KINDS,
        tables_from: int = TABLES_FROM,
    ) -> None:
        self._tables_from = tables_from
        self._values = {name: _Values(kind) for name, kind in kinds.items()}
        self._codes: dict[str, int] = {}
        self._categories = array("H")
        self._ids = bytearray()
        self._id_ends = array("Q")  # as far as the last entry that has an id of its own

    def add(self, item: Item) -> None:
        """Take the next item of the list.

        Raises:
            FeedRefusedError: too many entries or categories, or an overlong category.
            RuntimeError: a hash of an unknown kind or the wrong length: the format's parser checks them.
        """
        if isinstance(item, Packed):
            size = self._values[item.kind].kind.size
            for i in range(0, len(item.values), size):
                self._add(Entry(((item.kind, item.values[i : i + size]),), "", item.category))
        elif isinstance(item, Entry):
            self._add(item)
        elif isinstance(item, Rows):
            self._add_rows(item)

    def _add(self, entry: Entry) -> None:
        number = len(self._categories)
        for kind, value in entry.hashes:
            values = self._values.get(kind)
            if values is None or len(value) != values.kind.size:
                raise RuntimeError(f"a value of {len(value)} bytes can't be a {kind}")
            values.keys += value
            values.entries.append(number)
        code = self._codes.get(entry.category)
        if code is None:
            code = self._new_category(entry.category)
        if number == _MAX_ENTRIES:
            raise FeedRefusedError(f"the list has more than {_MAX_ENTRIES} entries")
        self._categories.append(code)
        if entry.id:
            self._note_id(number, entry.id)

    def _add_rows(self, rows: Rows) -> None:
        number, count = len(self._categories), len(rows.categories)
        if number + count > _MAX_ENTRIES:
            raise FeedRefusedError(f"the list has more than {_MAX_ENTRIES} entries")
        for kind, column in rows.hashes:
            values = self._values.get(kind)
            if values is None or len(column) != count * values.kind.size:
                raise RuntimeError(f"{len(column)} bytes can't be {count} values of {kind}")
            values.keys += column
            values.entries.frombytes(np.arange(number, number + count, dtype="<u4").tobytes())
        for category in dict.fromkeys(rows.categories):
            if category not in self._codes:
                self._new_category(category)
        self._categories.extend(map(self._codes.__getitem__, rows.categories))
        if rows.ids:
            self._note_ids(number, rows.ids)

    def _new_category(self, category: str) -> int:
        code = len(self._codes)
        if code == _MAX_CATEGORIES or len(category) > _MAX_CATEGORY:
            raise FeedRefusedError(
                "the list has too many or too long categories",
                where=f"entry {len(self._categories) + 1}",
                remedy="Check which column of the list is the category",
            )
        self._codes[category] = code
        return code

    def _note_id(self, number: int, own: str) -> None:
        missing = number - len(self._id_ends)
        if missing:
            self._id_ends.extend(repeat(len(self._ids), missing))
        self._ids += _written(own)
        self._id_ends.append(len(self._ids))

    def _note_ids(self, number: int, ids: Sequence[str]) -> None:
        missing = number - len(self._id_ends)
        if missing:
            self._id_ends.extend(repeat(len(self._ids), missing))
        text = "".join(ids)
        lengths = map(len, ids if text.isascii() else (_written(own) for own in ids))
        ends = np.cumsum(np.fromiter(lengths, dtype="<u8", count=len(ids))) + np.uint64(len(self._ids))
        self._id_ends.frombytes(ends.tobytes())
        self._ids += _written(text)

    def finish(self, path: Path, *, meta: Origin) -> SnapshotInfo:
        """Write the snapshot to `path`, durably and in one step. The builder is used up.

        Raises:
            FeedRefusedError: the list has no hash: an empty list is never put into use.
            StorageError: the file can't be written.
        """
        used = [v for v in self._values.values() if v.entries]
        if not used:
            raise FeedRefusedError(
                "the list is empty: there is nothing in it to compare files with",
                where=f"feed {meta['feed']}",
                remedy="The last good list stays in use; ask the publisher",
            )
        categories = np.frombuffer(self._categories, dtype="<u2")
        whole = self._meta(meta, used, categories)
        parts = [_whole("", "meta", layout.pack_meta(whole)), _whole("", "categories", categories)]
        parts += self._id_parts()
        for values in used:
            parts += _value_parts(values, self._tables_from)
        checksum, length = write_snapshot(path, parts)
        hashes = {name: kind.hashes for name, kind in whole.kinds.items()}
        return SnapshotInfo(checksum, length, whole.entries, hashes, dict(whole.categories))

    def _meta(self, origin: Origin, used: list[_Values], categories: npt.NDArray[np.uint16]) -> Meta:
        count = len(self._codes)
        kinds = {}
        for v in used:
            by_category = np.bincount(categories[np.frombuffer(v.entries, dtype="<u4")], minlength=count)
            kinds[v.kind.name] = KindMeta(
                v.kind.size, v.kind.exact, len(v.entries), tuple(by_category.tolist())
            )
        entries = np.bincount(categories, minlength=count).tolist()
        named = tuple(zip(self._codes, entries, strict=True))
        defaults = origin.get("default_categories")
        return Meta(
            feed=origin["feed"],
            format=origin["format"],
            built_ns=origin["built_ns"],
            source_sha256=origin.get("source_sha256", ""),
            default_categories=None if defaults is None else frozenset(defaults),
            entries=len(categories),
            categories=named,
            kinds=kinds,
            counts=origin.get("counts", {}),
            memory=origin.get("memory", ""),
        )

    def _id_parts(self) -> list[Part]:
        if not self._id_ends:
            return []
        self._id_ends.extend(repeat(len(self._ids), len(self._categories) - len(self._id_ends)))
        return [_whole("", "id-ends", self._id_ends), _whole("", "ids", self._ids)]


def _written(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _whole(kind: str, name: str, data: Any) -> Part:
    """A section that exists as one buffer."""
    flat = memoryview(data).cast("B")
    return Part(kind, name, flat.nbytes, lambda: [flat])


def _value_parts(values: _Values, tables_from: int) -> list[Part]:
    kind, count = values.kind, len(values.entries)
    order, starts = sorted_rows(values.keys, kind.size)
    keys = as_keys(values.keys, kind.size)
    entries = np.frombuffer(values.entries, dtype="<u4")

    def in_order(source: npt.NDArray[Any]) -> Iterator[memoryview]:
        for i in range(0, count, _CHUNK):
            yield source[order[i : i + _CHUNK]].view(np.uint8).data

    parts = [
        Part(kind.name, "keys", count * kind.size, lambda: in_order(keys)),
        Part(kind.name, "entries", count * 4, lambda: in_order(entries)),
    ]
    if kind.exact:
        return [*parts, _whole(kind.name, "starts", starts.astype("<u4"))]
    if kind.size == TABLES_SIZE and count >= tables_from:
        return parts + _table_parts(kind, keys[order].view(np.uint8).reshape(count, kind.size))
    return parts


def _table_parts(kind: HashKind, hashes: npt.NDArray[np.uint8]) -> list[Part]:
    """Slot tables are made twice, once for each section, not held: they are larger than the hashes."""
    slots = range(kind.size * 8 // layout.SLOT_BITS)

    def tables(which: int) -> Iterator[memoryview]:
        for slot in slots:
            yield slot_table(hashes, slot)[which].astype("<u4").view(np.uint8).data

    return [
        Part(kind.name, "slot-order", len(slots) * len(hashes) * 4, lambda: tables(0)),
        Part(kind.name, "slot-starts", len(slots) * layout.STARTS * 4, lambda: tables(1)),
    ]
