"""What is known of one volume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from scanner.catalog import queries
from scanner.catalog.database import Database
from scanner.catalog.packing import EXACT, Packer, Row
from scanner.catalog.pending import Pending
from scanner.catalog.records import DirectoryRecord, RowKey, VolumeStats
from scanner.model.files import FileRef, FileState, KnownDirectory, KnownFile
from scanner.model.hashes import Digests

# Vanished directories deleted in one transaction: bounds the log, and how long others wait.
_FORGET_AT_ONCE = 1000
# Rows in one list of `iterate`: larger ones are slower, as the collector goes through them while they grow
# (211,000 rows/s; 169,000 with lists of 20,000).
_ITERATE_AT_ONCE = 5000
_FIRST_DIGEST = 5  # column of `DIGESTED_FILES`; the exact kinds stand there in their order
_DIGEST_TYPES = frozenset({bytes, type(None)})
# Before the id of an index with which rows are being matched.
_MATCHING = "?"


class ExactRows:
    """Some files of a volume, of which only exact digests are asked for."""

    __slots__ = ("_database", "_rows")

    def __init__(self, rows: Sequence[tuple[Any, ...]], database: Database) -> None:
        self._rows = rows
        self._database = database

    def __len__(self) -> int:
        return len(self._rows)

    def values(self, kind: str) -> list[bytes | None]:
        """The digests of one kind, None where a file has none.

        Raises:
            CatalogError: a row is damaged.
        """
        if kind not in EXACT:
            return [None] * len(self._rows)
        column = _FIRST_DIGEST + EXACT.index(kind)
        values = [row[column] for row in self._rows]
        if not set(map(type, values)) <= _DIGEST_TYPES:
            raise self._database.damaged(TypeError("a digest is no bytes"))
        return values

    def key(self, place: int) -> RowKey:
        """The key of one of them."""
        return RowKey(self._rows[place][0], self._rows[place][1])


class VolumeCatalog:
    """Reads and writes the rows of one volume; a `KnownFiles` for the walk.

    Reading shows what was committed, by whomever. What `record` was told is kept in memory until `commit`;
    every other method that writes commits it first, so that things happen in the order of the calls.

    A row stands for a file that has the same name, inode, size and ctime. The device is no part of it, since
    its number may change at each boot; `device` is put into the stats that are handed out.

    One object is used by one thread at a time, and so are all objects of one `Catalog`.

    Args:
        volume_id: 0 while a writer has not made the volume's row yet.
        profile: what is done with files now. Directories recorded with another profile are unknown to the
            walk and begin anew at their next record; until then their digests are still matched with new
            lists, because a digest stays true.
        device: st_dev of the volume, or 0: any.
    """

    def __init__(
        self,
        database: Database,
        packer: Packer,
        *,
        volume_id: int,
        name: str,
        root: bytes,
        profile: bytes,
        device: int,
        compared_with: str,
    ) -> None:
        self._database = database
        self._packer = packer
        self._pending = Pending(packer)
        self._volume_id = volume_id
        self.name = name
        self.root = root
        self._profile = profile
        self._device = device
        self._compared_with = compared_with

    # --- what the walk asks

    def directory(self, path: bytes) -> KnownDirectory | None:
        """A directory as last committed with the present profile.

        Raises:
            CatalogError: the catalog can't be read.
        """
        row = self._database.row(queries.DIRECTORY, (self._volume_id or self._find_volume(), path))
        if row is None or row[6] != self._profile:
            return None
        return KnownDirectory(row[0], row[1], row[2], row[3], row[4], bool(row[5]))

    def files(self, directory_id: int) -> Mapping[bytes, KnownFile]:
        """All rows of a directory by name.

        Raises:
            CatalogError: the catalog can't be read.
        """
        rows = self._database.rows(queries.FILES, (directory_id,))
        return {row[0]: self._packer.known(row, self._device) for row in rows}

    def some_files(self, directory_id: int, names: Sequence[bytes]) -> Mapping[bytes, KnownFile]:
        """The rows of these names; names without a row are left out.

        Raises:
            CatalogError: the catalog can't be read.
        """
        found: dict[bytes, KnownFile] = {}
        for name in names:
            row = self._database.row(queries.FILE, (directory_id, name))
            if row is not None:
                found[name] = self._packer.known(row, self._device)
        return found

    # --- what a scan writes

    def record(self, record: DirectoryRecord) -> None:
        """Take note of a look at a directory; `commit` writes it.

        Raises:
            CatalogError: a new media type or kind of hash can't be stored.
            RuntimeError: an exact kind of hash that the catalog has no column for.
        """
        self._pending.add(record)

    def commit(self) -> None:
        """Write all that was recorded, in one transaction: after a crash it is all as before or all as now.

        Raises:
            CatalogError: it can't be written. Nothing of it was, and it may be tried again.
        """
        if not self._pending:
            return
        deletions: list[tuple[int, bytes]] = []
        rows: list[Row] = []
        directories: list[tuple[bytes, bytes, int]] = []
        with self._database.transaction():
            for path, directory in self._pending.in_order():
                directory_id = self._begin_directory(path)
                directories.append((self._profile, directory.fingerprint, directory_id))
                for name in sorted(directory.rows):
                    row = directory.rows[name]
                    if row is None:
                        deletions.append((directory_id, name))
                    else:
                        rows.append((directory_id, *row))
            self._database.run_many(queries.DELETE_FILE, deletions)
            self._database.run_many(queries.PUT_FILE, rows)
            self._database.run_many(queries.SET_DIRECTORY, directories)
            if rows:
                index = self._compared_with
                self._database.run(queries.NOT_ALL_MATCHED, (self._volume_id, index, _MATCHING + index))
        self._pending.clear()

    def forget_directories_not_seen(self, seen: Iterable[bytes]) -> int:
        """Delete the directories that a complete walk has not met; returns how many.

        Costs one look through the directories' paths, and nothing is written for those that are there.

        Args:
            seen: the paths of all directories that were met, in any order.

        Raises:
            CatalogError: the catalog can't be written; some may be deleted, each of them wholly.
        """
        self.commit()
        there = set(seen)
        rows = self._database.rows(queries.DIRECTORY_PATHS, (self._volume_id,))
        vanished = [(directory_id,) for directory_id, path in rows if path not in there]
        for start in range(0, len(vanished), _FORGET_AT_ONCE):
            ids = vanished[start : start + _FORGET_AT_ONCE]
            with self._database.transaction():
                self._database.run_many(queries.DELETE_FILES, ids)
                self._database.run_many(queries.DELETE_DIRECTORY, ids)
        return len(vanished)

    # --- known files and new lists

    def iterate(self, batch: int = _ITERATE_AT_ONCE) -> Iterator[list[tuple[RowKey, Digests]]]:
        """All files that have digests, of any state and profile, in lists of at most `batch`.

        Each list is a read of its own: rows may be changed between two of them, by the same object too, and
        a file that is there throughout is given exactly once.

        Raises:
            CatalogError: the catalog can't be read.
        """
        last = RowKey(0, b"")
        volume_id = self._volume_id or self._find_volume()
        while True:
            rows = self._database.rows(
                queries.DIGESTED_FILES, (last.directory_id, last.name, volume_id, last.directory_id, batch)
            )
            if not rows:
                return
            digests = self._packer.digests
            yield [(RowKey(row[0], row[1]), digests(row[2:])) for row in rows]
            last = RowKey(rows[-1][0], rows[-1][1])

    def iterate_exact(self, batch: int = _ITERATE_AT_ONCE) -> Iterator[ExactRows]:
        """The same files as of `iterate`, by their exact digests alone: several times as fast.

        Raises:
            CatalogError: the catalog can't be read.
        """
        last = RowKey(0, b"")
        volume_id = self._volume_id or self._find_volume()
        while rows := self._database.rows(
            queries.DIGESTED_FILES, (last.directory_id, last.name, volume_id, last.directory_id, batch)
        ):
            yield ExactRows(rows, self._database)
            last = RowKey(rows[-1][0], rows[-1][1])

    @property
    def matched_with(self) -> str:
        """Id of the index that all of these rows were last matched with; "" where that is not so of any.

        Raises:
            CatalogError: the catalog can't be read.
        """
        row = self._database.row(queries.MATCHED_WITH, (self._volume_id or self._find_volume(),))
        return _matched(row)

    def begin_matching(self, index_id: str) -> str:
        """Before all rows are matched with an index; returns what `matched_with` was until now.

        Scans write rows meanwhile, and may have compared them with another index: then `end_matching` knows.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self.commit()
        with self._database.transaction():
            before = _matched(self._database.row(queries.MATCHED_WITH, (self._volume_id,)))
            self._database.run(queries.SET_MATCHED_WITH, (_MATCHING + index_id, self._volume_id))
        return before

    def end_matching(self, index_id: str) -> None:
        """All rows that were there at `begin_matching` have been matched. `matched_with` is this index unless
        rows came meanwhile that were compared with another one.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self.commit()
        with self._database.transaction():
            self._database.run(queries.END_MATCHING, (index_id, self._volume_id, _MATCHING + index_id))

    def mark_listed(self, keys: Iterable[RowKey]) -> None:
        """A list has these files now: they and their directories are looked at in every scan.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self._set_states(keys, FileState.LISTED)

    def set_state(self, key: RowKey, state: FileState) -> None:
        """Remember another state of a file; a key that is gone changes nothing.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self._set_states((key,), state)

    def remove(self, key: RowKey) -> None:
        """Forget a file. Its directory is compared file by file next time, so that it is read again if it is
        still there.

        Raises:
            CatalogError: the catalog can't be written.
        """
        self.commit()
        with self._database.transaction():
            self._database.run(queries.DELETE_FILE, key)
            self._database.run(queries.UNTRUST_DIRECTORY, (key.directory_id,))

    def find(self, keys: Iterable[RowKey]) -> list[tuple[FileRef, KnownFile]]:
        """The files of these keys, to act on them at once; those that are gone are left out.

        Raises:
            CatalogError: the catalog can't be read.
        """
        volume_id = self._volume_id or self._find_volume()
        found: list[tuple[FileRef, KnownFile]] = []
        for key in keys:
            row = self._database.row(queries.FOUND_FILE, (key.name, key.directory_id, volume_id))
            if row is not None:
                known = self._packer.known(row[1:], self._device)
                found.append((FileRef(self.name, row[0], known.stat), known))
        return found

    def names_of(self, inodes: Iterable[int]) -> list[tuple[bytes, bytes]]:
        """(directory, name) of every row with one of these inodes: names that were there when last seen.

        Raises:
            CatalogError: the catalog can't be read.
        """
        # What does not fit SQLite's integers is stored otherwise (see `packing`), and not looked for.
        wanted = json.dumps([inode for inode in inodes if inode < 1 << 63])
        volume_id = self._volume_id or self._find_volume()
        rows = self._database.rows(queries.NAMES_OF_INODES, (volume_id, wanted))
        return [(row[0], row[1]) for row in rows]

    def lookup(self, path: bytes) -> tuple[RowKey, KnownFile] | None:
        """What is known of the file at a path below the root, recorded with whatever profile.

        Raises:
            CatalogError: the catalog can't be read.
        """
        directory, _, name = path.rpartition(b"/")
        volume_id = self._volume_id or self._find_volume()
        found = self._database.row(queries.DIRECTORY_TO_WRITE, (volume_id, directory))
        row = found and self._database.row(queries.FILE, (found[0], name))
        if not found or not row:
            return None
        return RowKey(found[0], name), self._packer.known(row, self._device)

    def stats(self) -> VolumeStats:
        """Sums of what is committed.

        Raises:
            CatalogError: the catalog can't be read.
        """
        volume_id = self._volume_id or self._find_volume()
        return volume_stats(self._database, volume_id, self.name, self.root, self.matched_with)

    # ---

    def _find_volume(self) -> int:
        """For a reader that came before the volume's first scan: 0, which no row has, until there is one."""
        row = self._database.row(queries.VOLUME, (self.name, self.root))
        self._volume_id = 0 if row is None else int(row[0])
        return self._volume_id

    def _begin_directory(self, path: bytes) -> int:
        """The id of a directory that is about to be written. Rows of another profile go: they don't say what
        rows say now, and the walk, to which they were unknown, has told of every file that is there."""
        row = self._database.row(queries.DIRECTORY_TO_WRITE, (self._volume_id, path))
        if row is None:
            return (
                self._database.run(queries.ADD_DIRECTORY, (self._volume_id, path, self._profile)).lastrowid
                or 0
            )
        directory_id, profile = row
        if profile != self._profile:
            self._database.run(queries.DELETE_FILES, (directory_id,))
        return int(directory_id)

    def _set_states(self, keys: Iterable[RowKey], state: FileState) -> None:
        self.commit()
        remaining = iter(keys)
        # In parts, like all else, so that a list of a million entries does not hold up other writers.
        while part := list(islice(remaining, _FORGET_AT_ONCE)):
            with self._database.transaction():
                self._database.run_many(queries.SET_STATE, [(int(state), *key) for key in part])
                directories = sorted({(key.directory_id,) for key in part})
                self._database.run_many(queries.COUNT_DIRECTORY, directories)


def _matched(row: Row | None) -> str:
    return "" if row is None else whole(str(row[0]))


def whole(matched_with: str) -> str:
    """The stored id of an index, "" while the rows are still being matched with it."""
    return "" if matched_with.startswith(_MATCHING) else matched_with


def volume_stats(
    database: Database, volume_id: int, name: str, root: bytes, matched_with: str
) -> VolumeStats:
    """The sums of one volume.

    Raises:
        CatalogError: the catalog can't be read.
    """
    row = database.row(queries.STATS, (volume_id,)) or (0,) * 8
    directories, files, size, clean, not_media, undecodable, listed, digested = map(int, row)
    states = {
        FileState.CLEAN: clean,
        FileState.NOT_MEDIA: not_media,
        FileState.UNDECODABLE: undecodable,
        FileState.LISTED: listed,
    }
    return VolumeStats(name, root, directories, files, size, states, digested, matched_with)
