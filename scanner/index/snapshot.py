"""Reading a snapshot: memory-mapped, checked, shared between processes by the page cache."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index import layout
from scanner.index.exact import ExactTable, Keys, as_keys, check_starts
from scanner.index.layout import DamagedLayout, KindMeta, Meta, Section
from scanner.index.perceptual import PerceptualTable, Strategy, tables_of
from scanner.model.errors import SnapshotError
from scanner.model.hashes import KINDS

_READ = 1 << 20  # bytes read at a time for the checksum


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """An entry of a list.

    Attributes:
        id: the publisher's id, or ``#N``, its place in the list from 1 on, where it has none.
        category: as in `scanner.model.feeds.Entry`.
        number: its place in the list from 0 on.
    """

    id: str
    category: str
    number: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """The tables of one hash kind; one of `exact` and `perceptual` is there."""

    meta: KindMeta
    keys: Section
    entries: memoryview
    exact: ExactTable | None
    perceptual: PerceptualTable | None


class Snapshot:
    """One generation of a feed, immutable. Any number of threads may ask it.

    The file may be replaced or unlinked while it is open. It must not be written to or truncated: nothing
    of ours does, and the state directory is closed to others.
    """

    def __init__(self, path: Path, file: mmap.mmap) -> None:
        self._path = path
        self._file = file
        self.id = layout.parse_header(file[: layout.HEADER_SIZE], len(file)).hex()
        self._sections = layout.parse_sections(memoryview(file))
        meta = self._section("", "meta")
        self.meta: Meta = layout.parse_meta(file[meta.offset : meta.offset + meta.length])
        self._names = [name for name, _ in self.meta.categories]
        self._categories = self._numbers("", "categories", "H", self.meta.entries)
        self._open_ids()
        self._kinds = {name: self._open_kind(name, kind) for name, kind in self.meta.kinds.items()}
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> Snapshot:
        """Map a snapshot file.

        Args:
            verify: compute the checksum (1.6 GB a second). Without it a damaged file may give wrong
                answers or raise SnapshotError later, but is never read outside of itself.

        Raises:
            SnapshotError: missing, damaged, cut short or of another version.
        """
        with _as_snapshot_error(path):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(fd).st_size
                checksum = layout.parse_header(os.pread(fd, layout.HEADER_SIZE, 0), size)
                if verify and _checksum(fd) != checksum:
                    raise DamagedLayout("its checksum is wrong")
                file = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
            return cls(path, file)

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of values by kind."""
        return {name: kind.hashes for name, kind in self.meta.kinds.items()}

    def exact(self, kind: str, value: bytes) -> tuple[EntryInfo, ...]:
        """All entries with this value, in the order of the list.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        table = self._kind(kind, value, exact=True)
        if table is None or table.exact is None:
            return ()
        rows = table.exact.rows(value)
        if not rows:
            return ()
        with _as_snapshot_error(self._path):
            return tuple(self._info(table.entries[row]) for row in rows)

    def contains_exact(self, kind: str, value: bytes) -> bool:
        """Whether some entry has this value."""
        table = self._kind(kind, value, exact=True)
        return table is not None and table.exact is not None and bool(table.exact.rows(value))

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
        table = self._kind(kind, value, exact=False)
        if table is None or table.perceptual is None:
            return []
        with _as_snapshot_error(self._path):
            bits, rows = table.perceptual.near(value, max_distance, strategy)
            entries = table.entries
            found = sorted((d, entries[row]) for d, row in zip(bits.tolist(), rows.tolist(), strict=True))
            return [(d, self._info(number)) for d, number in found]

    def keys(self, kind: str) -> Keys:
        """All values of a kind in ascending order, as a view of the file."""
        self._ask()
        if kind not in self._kinds:
            return np.empty(0, dtype="S1")
        keys = self._kinds[kind].keys
        whole = memoryview(self._file)[keys.offset : keys.offset + keys.length]
        return as_keys(whole, self._kinds[kind].meta.size)

    def table(self, kind: str) -> PerceptualTable | None:
        """The search table of a perceptual kind."""
        self._ask()
        return self._kinds[kind].perceptual if kind in self._kinds else None

    def in_categories(self, kind: str, categories: Set[str]) -> npt.NDArray[np.bool_]:
        """Which of `keys(kind)` belong to entries of these categories.

        Raises:
            SnapshotError: the file is damaged (only if it was opened without verifying).
        """
        self._ask()
        if kind not in self._kinds:
            return np.empty(0, dtype=np.bool_)
        chosen = np.array([name in categories for name in self._names], dtype=np.bool_)
        with _as_snapshot_error(self._path):
            numbers = np.asarray(self._categories)[np.asarray(self._kinds[kind].entries)]
            mask: npt.NDArray[np.bool_] = chosen[numbers]
            return mask

    def entry_numbers(self, kind: str) -> npt.NDArray[np.uint32]:
        """For each of `keys(kind)` the number of its entry, from 0 on.

        Raises:
            SnapshotError: the file is damaged: a number leads nowhere.
        """
        self._ask()
        if kind not in self._kinds:
            return np.empty(0, dtype=np.uint32)
        with _as_snapshot_error(self._path):
            numbers = np.asarray(self._kinds[kind].entries)
            if int(numbers.max()) >= self.meta.entries:
                raise DamagedLayout("an entry's number leads nowhere")
            return numbers

    def has_entry(self, own: str) -> bool:
        """Whether some entry has this id of the publisher's."""
        self._ask()
        if self._id_ends is None or not own:
            return False
        wanted = own.encode("utf-8", "backslashreplace")
        ends = np.asarray(self._id_ends)
        first, last = self._ids.offset, self._ids.offset + self._ids.length
        at = self._file.find(wanted, first, last)
        while at >= 0:
            # The ids stand one after another: found only where one begins and ends just here.
            row = int(np.searchsorted(ends, at - first, side="right"))
            start = int(ends[row - 1]) if row else 0
            if start == at - first and int(ends[row]) - start == len(wanted):
                return True
            at = self._file.find(wanted, at + 1, last)
        return False

    def close(self) -> None:
        """Let go of the file; no question may be asked after that.

        If somebody still holds a view of it, the memory is given back when that goes.
        """
        if self._closed:
            return
        self._closed = True
        self._kinds.clear()
        del self._categories, self._id_ends
        try:
            self._file.close()
        except BufferError:
            pass  # a view is still held elsewhere: the mapping ends with its last reference

    def _ask(self) -> None:
        # A closed snapshot has no entries left, and "nothing found" would be a lie.
        if self._closed:
            raise RuntimeError("this snapshot is closed")

    def _kind(self, kind: str, value: bytes, *, exact: bool) -> _Kind | None:
        self._ask()
        table = self._kinds.get(kind)
        if table is not None and (table.meta.exact != exact or len(value) != table.meta.size):
            raise RuntimeError(f"{kind}: a value of {len(value)} bytes can't be looked up in this way")
        return table

    def _info(self, number: int) -> EntryInfo:
        category = self._names[self._categories[number]]
        own = b""
        if self._id_ends is not None:
            start = self._id_ends[number - 1] if number else 0
            end = self._id_ends[number]
            if not start <= end <= self._ids.length:
                raise DamagedLayout("an entry's id is damaged")
            own = self._file[self._ids.offset + start : self._ids.offset + end]
        return EntryInfo(own.decode("utf-8", "replace") or f"#{number + 1}", category, number)

    def _section(self, kind: str, name: str) -> Section:
        try:
            return self._sections[kind, name]
        except KeyError:
            raise DamagedLayout(f"its section {kind} {name} is missing") from None

    def _numbers(self, kind: str, name: str, code: str, count: int) -> memoryview:
        section = self._section(kind, name)
        view = memoryview(self._file)[section.offset : section.offset + section.length]
        if view.nbytes != count * {"H": 2, "I": 4, "Q": 8}[code]:
            raise DamagedLayout(f"its section {kind} {name} has the wrong length")
        numbers: memoryview = view.cast(code)  # type: ignore[call-overload]  # a literal in every call
        return numbers

    def _open_ids(self) -> None:
        self._id_ends: memoryview | None = None
        self._ids = Section("", "ids", 0, 0)
        if ("", "id-ends") in self._sections:
            self._id_ends = self._numbers("", "id-ends", "Q", self.meta.entries)
            self._ids = self._section("", "ids")

    def _open_kind(self, name: str, meta: KindMeta) -> _Kind:
        known = KINDS.get(name)
        if known is not None and (known.size, known.exact) != (meta.size, meta.exact):
            raise DamagedLayout(f"it does not have {name} as it is")
        keys = self._section(name, "keys")
        if keys.length != meta.hashes * meta.size or not meta.hashes:
            raise DamagedLayout(f"its section {name} keys has the wrong length")
        entries = self._numbers(name, "entries", "I", meta.hashes)
        if not meta.exact:
            return _Kind(meta, keys, entries, None, self._open_perceptual(name, meta, keys))
        starts = self._numbers(name, "starts", "I", layout.STARTS)
        check_starts(np.asarray(starts), meta.hashes)
        return _Kind(meta, keys, entries, ExactTable(self._file, keys.offset, meta.size, starts), None)

    def _open_perceptual(self, name: str, meta: KindMeta, keys: Section) -> PerceptualTable:
        hashes = np.frombuffer(self._file, np.uint8, keys.length, keys.offset).reshape(-1, meta.size)
        if (name, "slot-order") not in self._sections:
            return PerceptualTable(hashes)
        order, starts = (self._array(self._section(name, s)) for s in ("slot-order", "slot-starts"))
        table = tables_of(hashes, order, starts)
        check_starts(starts.reshape(-1, layout.STARTS), meta.hashes)
        return table

    def _array(self, section: Section) -> npt.NDArray[np.uint32]:
        if section.length % 4:
            raise DamagedLayout(f"its section {section.kind} {section.name} has the wrong length")
        array: npt.NDArray[Any] = np.frombuffer(self._file, "<u4", section.length // 4, section.offset)
        return array


def _checksum(fd: int) -> bytes:
    """SHA-256 of all behind the header. Read, not mapped: a bad sector is then an error and not a SIGBUS,
    and the pages don't count as this process's memory."""
    digest = hashlib.sha256()
    buffer = bytearray(_READ)
    view, position = memoryview(buffer), layout.HEADER_SIZE
    while got := os.preadv(fd, [buffer], position):
        digest.update(view[:got])
        position += got
    return digest.digest()


@contextmanager
def _as_snapshot_error(path: Path) -> Any:
    """The one place where what a file has wrong becomes the user's error."""
    try:
        yield
    except (DamagedLayout, IndexError) as e:
        what = str(e) if isinstance(e, DamagedLayout) else "a number in it leads nowhere"
        raise SnapshotError(
            f"the index snapshot can't be used: {what}",
            where=str(path),
            remedy="Fetch the feed again, and check the disk it lies on",
        ) from e
    except OSError as e:
        raise SnapshotError(
            f"the index snapshot can't be opened: {e.strerror or e}",
            where=str(path),
            remedy="Fetch the feed again",
        ) from e
