"""Reading a snapshot: memory-mapped, checked, shared between processes by the page cache."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.index import compare, layout
from scanner.index.compare import Repeats
from scanner.index.exact import Keys, as_keys
from scanner.index.hints import BLOCK, Hints, opened
from scanner.index.hints import SECTION as HINTS
from scanner.index.keyed import ListKey, plain_record
from scanner.index.layout import DamagedLayout, Meta
from scanner.index.mapped import MappedColumn
from scanner.index.numbers import check_numbers
from scanner.index.opening import as_snapshot_error, file_checksum, right_key
from scanner.index.perceptual import PerceptualTable, Strategy
from scanner.index.records import GONE
from scanner.index.sections import OpenKind, Sections
from scanner.index.shapes import Shape
from scanner.model.feeds import About
from scanner.model.hashes import KINDS


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """An entry of a list.

    Attributes:
        id: the publisher's id, or ``#N``, its place in the list from 1 on, where it has none.
        category: as in `scanner.model.feeds.Entry`.
        number: its place in the list from 0 on.
        about: what else is told of it, None for nothing.
    """

    id: str
    category: str
    number: int
    about: About | None = None


class Snapshot:
    """One generation of a feed, immutable. Any number of threads may ask it.

    The file may be replaced or unlinked while it is open. It must not be written to or truncated: nothing
    of ours does, and the state directory is closed to others.
    """

    def __init__(self, path: Path, file: mmap.mmap, key: ListKey | None = None) -> None:
        self._path = path
        self._file = file
        self.id = layout.parse_header(file[: layout.HEADER_SIZE], len(file)).hex()
        self._sections = Sections(file)
        meta = self._sections.section("", "meta")
        self.meta: Meta = layout.parse_meta(file[meta.offset : meta.offset + meta.length])
        self.key = right_key(self.meta, key, path)
        self._names = [name for name, _ in self.meta.categories]
        self._categories = self._sections.numbers("", "categories", "H", self.meta.entries)
        self.ids = self._sections.ids(self.meta.entries)
        self.abouts = self._sections.abouts()
        self.records = self._sections.records()
        keyed = self.key is not None
        self._kinds = {
            name: self._sections.kind(name, kind, keyed=keyed) for name, kind in self.meta.kinds.items()
        }
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, key: ListKey | None = None, verify: bool = True, descriptor: int | None = None
    ) -> Snapshot:
        """Map a snapshot file.

        Args:
            key: of the lists here. A list from before there were keys is opened with any.
            verify: compute the checksum (1.6 GB a second). Without it a damaged file may give wrong
                answers or raise SnapshotError later, but is never read outside of itself.
            descriptor: of the open file, where `path` is only its name for errors; it stays open.

        Raises:
            SnapshotError: missing, damaged, cut short or of another version.
            ListKeyError: made with another key, or with one where none is given.
        """
        with as_snapshot_error(path):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if descriptor is None else descriptor
            try:
                size = os.fstat(fd).st_size
                checksum = layout.parse_header(os.pread(fd, layout.HEADER_SIZE, 0), size)
                if verify and file_checksum(fd) != checksum:
                    raise DamagedLayout("its checksum is wrong")
                file = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
            finally:
                if descriptor is None:
                    os.close(fd)
            return cls(path, file, key)

    @classmethod
    def peek(cls, path: Path) -> Meta:
        """What a snapshot says of itself, whatever key it was made with; nothing else is looked at.

        Raises:
            SnapshotError: it can't be read.
        """
        with (
            as_snapshot_error(path),
            path.open("rb") as f,
            mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m,
        ):
            layout.parse_header(m[: layout.HEADER_SIZE], len(m))
            with memoryview(m) as view:
                section = layout.parse_sections(view).get(("", "meta"))
            if section is None:
                raise DamagedLayout("its section  meta is missing")
            return layout.parse_meta(m[section.offset : section.offset + section.length])

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of values by kind."""
        return {name: kind.hashes for name, kind in self.meta.kinds.items()}

    def stored(self, kind: str, value: bytes) -> bytes:
        """An exact digest in the form in which it is stored here."""
        return value if self.key is None else self.key.digest(kind, value)

    def exact(self, kind: str, value: bytes) -> tuple[EntryInfo, ...]:
        """All entries with this digest, in the order of the list.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        self._check(kind, value, exact=True)
        return self.exact_stored(kind, self.stored(kind, value))

    def exact_stored(self, kind: str, stored: bytes) -> tuple[EntryInfo, ...]:
        """The same of a digest that is in its stored form already.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        table, rows = self._exact_rows(kind, stored)
        if table is None or not rows:
            return ()
        with as_snapshot_error(self._path):
            return tuple(self._info(table.entries[row]) for row in rows)

    def contains_exact(self, kind: str, value: bytes) -> bool:
        """Whether some entry has this digest."""
        self._check(kind, value, exact=True)
        return self.contains_stored(kind, self.stored(kind, value))

    def contains_stored(self, kind: str, stored: bytes) -> bool:
        """Whether some entry has this digest, which is in its stored form already."""
        return bool(self._exact_rows(kind, stored)[1])

    def contains_many(self, kind: str, stored: Keys) -> npt.NDArray[np.bool_]:
        """Which of many digests in their stored form some entry has.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        self._ask()
        table = self._kinds.get(kind)
        if table is None or table.exact is None:
            return np.zeros(len(stored), dtype=np.bool_)
        if stored.dtype.itemsize != table.meta.size:
            raise RuntimeError(f"{kind}: values of {stored.dtype.itemsize} bytes can't be looked up here")
        with as_snapshot_error(self._path):
            return table.exact.contains(stored)

    def _exact_rows(self, kind: str, stored: bytes) -> tuple[OpenKind | None, range]:
        self._ask()
        table = self._kinds.get(kind)
        if table is None:
            return None, range(0)
        if table.exact is None or len(stored) != table.meta.size:
            raise RuntimeError(f"{kind}: a value of {len(stored)} bytes can't be looked up in this way")
        return table, table.exact.rows(stored)

    def record(self, key: str) -> EntryInfo | None:
        """The entry under a publisher's key of a record, None where there is none or it was taken back.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        self._ask()
        if self.records is None:
            return None
        with as_snapshot_error(self._path):
            found = self.records.find(plain_record(key) if self.key is None else self.key.record(key))
            return None if found is None or found[0] == GONE else self._info(found[0])

    def near(
        self, kind: str, value: bytes, max_distance: int, *, strategy: Strategy = "auto"
    ) -> list[tuple[int, EntryInfo]]:
        """All entries within a Hamming distance, the nearest first, then in the order of the list.

        Args:
            max_distance: bits, inclusive.
            strategy: the way to search, which does not change the answer; "auto" takes the faster one.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        self._check(kind, value, exact=False)
        table = self._kinds.get(kind)
        if table is None or table.perceptual is None:
            return []
        with as_snapshot_error(self._path):
            bits, rows = table.perceptual.near(value, max_distance, strategy)
            entries = table.entries
            found = sorted((d, entries[row]) for d, row in zip(bits.tolist(), rows.tolist(), strict=True))
            return [(d, self._info(number)) for d, number in found]

    def near_many(
        self, kind: str, values: Sequence[bytes], max_distance: int
    ) -> Iterator[tuple[int, int, EntryInfo]]:
        """The same for many values at once, in no order: all views of a picture cost little more than a few.

        Returns:
            the value's place, the distance in bits, the entry.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        self._ask()
        for value in values:
            self._check(kind, value, exact=False)
        table = self._kinds.get(kind)
        if table is None or table.perceptual is None or not values:
            return
        hashes = np.frombuffer(b"".join(values), dtype=np.uint8).reshape(len(values), -1)
        with as_snapshot_error(self._path):
            for near in table.perceptual.near_many(hashes, max_distance):
                columns = (column.tolist() for column in (near.asked, near.bits, near.rows))
                for place, distance, row in zip(*columns, strict=True):
                    yield place, distance, self._info(table.entries[row])

    def keys(self, kind: str) -> Keys:
        """All values of a kind in ascending order, as a view of the file."""
        self._ask()
        if kind not in self._kinds:
            return np.empty(0, dtype="S1")
        keys = self._kinds[kind].keys
        whole = memoryview(self._file)[keys.offset : keys.offset + keys.length]
        return as_keys(whole, self._kinds[kind].meta.size)

    def hinted(self, kind: str) -> bool:
        """Whether the values of a kind have hints."""
        self._ask()
        return self.key is not None and self._sections.has(kind, HINTS)

    def hints(self, kind: str) -> Iterator[Hints]:
        """The hints of `keys(kind)`, which are `hinted`, in blocks of `scanner.index.hints.BLOCK`.

        Raises:
            DamagedLayout: after the last block: they are damaged.
        """
        self._ask()
        if self.key is None:
            raise RuntimeError("a list without a key has no hints")
        nonce, column = self._sections.hints(kind, self._kinds[kind].meta.hashes)
        return opened(self.key, kind, nonce, column.chunks(BLOCK))

    def table(self, kind: str) -> PerceptualTable | None:
        """The search table of a perceptual kind."""
        self._ask()
        return self._kinds[kind].perceptual if kind in self._kinds else None

    def slot_tables(self, kind: str) -> tuple[Shape, npt.NDArray[np.uint32], MappedColumn] | None:
        """How a perceptual kind's search tables are made, where their buckets start, and their rows.

        Returns:
            None where it has none.
        """
        self._ask()
        if not self._sections.has(kind, "slot-order"):
            return None
        shape = self._sections.shape(kind)
        starts = self._sections.numbers(kind, "slot-starts", "I", len(shape.widths) * (shape.buckets + 1))
        table = np.asarray(starts).reshape(len(shape.widths), -1)
        return shape, table, self._sections.column(kind, "slot-order", "<u4")

    def in_categories(self, kind: str, categories: Set[str]) -> npt.NDArray[np.bool_]:
        """Which of `keys(kind)` belong to entries of these categories.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        self._ask()
        if kind not in self._kinds:
            return np.empty(0, dtype=np.bool_)
        chosen = np.array([name in categories for name in self._names], dtype=np.bool_)
        with as_snapshot_error(self._path):
            numbers = np.asarray(self._categories)[np.asarray(self._kinds[kind].entries)]
            mask: npt.NDArray[np.bool_] = chosen[numbers]
            return mask

    def entries_of(self, kind: str) -> npt.NDArray[np.uint32]:
        """The entry's number of each of `keys(kind)`, as a view of the file."""
        self._ask()
        if kind not in self._kinds:
            return np.empty(0, dtype=np.uint32)
        numbers: npt.NDArray[np.uint32] = np.asarray(self._kinds[kind].entries)
        return numbers

    def entry_numbers(self, kind: str) -> npt.NDArray[np.uint32]:
        """As `entries_of`, and each of them leads to an entry.

        Raises:
            SnapshotError: the file is damaged: a number leads nowhere.
        """
        numbers = self.entries_of(kind)
        with as_snapshot_error(self._path):
            if len(numbers) and int(numbers.max()) >= self.meta.entries:
                raise DamagedLayout("an entry's number leads nowhere")
        return numbers

    def has_entry(self, own: str) -> bool:
        """Whether some entry has this id of the publisher's.

        Raises:
            SnapshotError: the file is damaged.
        """
        self._ask()
        if self.ids is None or not own:
            return False
        with as_snapshot_error(self._path):
            return self.ids.has(own.encode("utf-8", "backslashreplace"))

    def repeats(self, kind: str, more_than: int) -> Repeats:
        """How many values stand in more than this many entries, and in how many entries all of them."""
        return compare.repeats(self.keys(kind), more_than)

    def common(self, other: Snapshot, kind: str) -> int:
        """How many of the values of a kind the other list has, too; one listed twice counts twice.

        Raises:
            RuntimeError: the lists are stored under different keys.
        """
        self._comparable(other, kind)
        return compare.common(self.keys(kind), other.keys(kind))

    def changes(self, old: Snapshot) -> Mapping[str, tuple[int, int]]:
        """By kind, how many values this list has that the old one has not, and the other way round.

        Raises:
            RuntimeError: the lists are stored under different keys.
        """
        found = {}
        for kind in {**self.counts, **old.counts}:
            ours, theirs = self.counts.get(kind, 0), old.counts.get(kind, 0)
            found[kind] = (ours, theirs)
            if ours and theirs:
                found[kind] = (ours - self.common(old, kind), theirs - old.common(self, kind))
        return found

    def _comparable(self, other: Snapshot, kind: str) -> None:
        meta = self.meta.kinds.get(kind)
        if meta is not None and meta.exact and self.key != other.key:
            raise RuntimeError("lists that are stored under different keys can't be compared")

    def check(self) -> None:
        """Look at every number in the file: for one that was made by a process not to be trusted.

        Raises:
            SnapshotError: one of them leads nowhere.
        """
        self._ask()
        with as_snapshot_error(self._path):
            check_numbers(self._sections, self.meta)

    def close(self) -> None:
        """Let go of the file; no question may be asked after that.

        If somebody still holds a view of it, the memory is given back when that goes.
        """
        if self._closed:
            return
        self._closed = True
        self._kinds.clear()
        self.ids = self.abouts = self.records = None
        del self._categories
        try:
            self._file.close()
        except BufferError:
            pass  # a view is still held elsewhere: the mapping ends with its last reference

    def _ask(self) -> None:
        # A closed snapshot has no entries left, and "nothing found" would be a lie.
        if self._closed:
            raise RuntimeError("this snapshot is closed")

    def column(self, kind: str, name: str, dtype: str) -> MappedColumn:
        """A section, to be read from its beginning to its end."""
        self._ask()
        return self._sections.column(kind, name, dtype)

    def _check(self, kind: str, value: bytes, *, exact: bool) -> None:
        self._ask()
        table = self._kinds.get(kind)
        if table is None:
            return
        size = KINDS[kind].size if kind in KINDS else table.meta.size
        if table.meta.exact != exact or len(value) != size:
            raise RuntimeError(f"{kind}: a value of {len(value)} bytes can't be looked up in this way")

    def _info(self, number: int) -> EntryInfo:
        category = self._names[self._categories[number]]
        own = self.ids.text(number) if self.ids is not None else b""
        about = self.abouts.find(number) if self.abouts is not None else None
        return EntryInfo(own.decode("utf-8", "replace") or f"#{number + 1}", category, number, about)
