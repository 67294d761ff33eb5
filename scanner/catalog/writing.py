"""Writing what is known of one directory: its rows, its sums, and with what they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scanner.catalog import queries
from scanner.catalog.chunks import Row
from scanner.catalog.counts import MOST_BYTES, Counts, count
from scanner.catalog.database import Database
from scanner.catalog.directory_files import DirectoryFiles
from scanner.catalog.lacking import Profiles, among
from scanner.catalog.matching import APART
from scanner.catalog.packing import Packer
from scanner.catalog.pending import PendingDirectory


class DirectoryWriter:
    """Everything wants to be called within a transaction.

    Raises:
        CatalogError: from every method: the catalog can't be read or written.
    """

    def __init__(self, database: Database, packer: Packer, files: DirectoryFiles, profiles: Profiles) -> None:
        self._database = database
        self._packer = packer
        self._files = files
        self._profiles = profiles

    def write(
        self,
        volume_id: int,
        path: bytes,
        directory: PendingDirectory,
        profile: int,
        some: int,
        *,
        agrees: bool,
        settled: str,
    ) -> None:
        """Write what was recorded of a directory. Rows of another profile go, unless only the kinds are
        others: they don't say what rows say now, and the walk, to which they were unknown, has told of every
        file.

        Args:
            profile, some: `Profiles.code` and `Profiles.some`, asked for before the transaction.
            agrees: the rows were compared with the index that the volume says.
            settled: see `matching.State`.
        """
        row = self._row_of(volume_id, path, directory, settled)
        written = any(row is not None for row in directory.rows.values())
        if row is None:
            rows = [row for _, row in sorted(directory.rows.items()) if row is not None]
            counts = count(rows).capped()
            apart = int(written and not agrees)
            # Rows of a directory that moved and was not to be found any more are missing.
            fingerprint = b"" if directory.moved_from else directory.fingerprint
            values = (volume_id, path, profile, fingerprint, apart, directory.inode, *counts)
            self._files.put_all(self._database.run(queries.ADD_DIRECTORY, values).lastrowid or 0, rows)
            return
        directory_id, of, apart, inode = row[:4]
        counts = Counts._make(row[4:])
        if of != profile and not self._profiles.usable(of):
            self._files.delete_all((directory_id,))
            apart, of, counts = 0, profile, Counts()
        if directory.rows:
            counts = self._new_counts(directory_id, directory.rows, counts)
        if written and not agrees:
            apart = APART
        if of != profile:
            of = self._profile_of(directory_id, directory, of, profile, some)
        inode = directory.inode or inode
        self._database.run(
            queries.SET_DIRECTORY, (of, directory.fingerprint, apart, inode, *counts, directory_id)
        )

    def _row_of(
        self, volume_id: int, path: bytes, directory: PendingDirectory, settled: str
    ) -> tuple[Any, ...] | None:
        """The row of the directory that lies at a path now, brought there from where it was. One that stood
        there and is another directory loses the path: it may be met elsewhere."""
        at = (volume_id, path)
        row = self._database.row(queries.DIRECTORY_TO_WRITE, at)
        moved_from = directory.moved_from
        if row is not None and row[0] == moved_from:
            return row
        if row is not None and (moved_from or (row[3] and directory.inode not in (0, row[3]))):
            self._database.run(queries.SET_PATH, (-volume_id, _without_path(row[0], settled), row[2], row[0]))
            row = None
        if moved_from:
            self._bring(moved_from, directory.inode, at, settled)
            row = self._database.row(queries.DIRECTORY_TO_WRITE, at)
        return row

    def _bring(self, id: int, inode: int, at: tuple[int, bytes], settled: str) -> None:
        found = self._database.row(queries.MOVED, (id, inode, at[0], -at[0]))
        if found is None:
            return
        was_at, apart = found
        from_nowhere = was_at.startswith(b"\0")
        if from_nowhere and not (settled and was_at == _without_path(id, settled)):
            apart = APART  # lists were matched meanwhile, and not with its files
        self._database.run(queries.SET_PATH, (*at, apart, id))

    def _profile_of(
        self, directory_id: int, directory: PendingDirectory, of: int, profile: int, some: int
    ) -> int:
        """The profile of a directory some rows of which were made with the present one, others with `of`."""
        missing = self._profiles.missing(of)
        old = [row for row in self._files.rows(directory_id) if row[0] not in directory.rows]
        if not missing or not among(self._packer, old, missing):
            return profile
        # What files have that were made with fewer kinds, those with more have, too.
        return of if self._profiles.more_than(of) or not directory.rows else some

    def _new_counts(self, directory_id: int, changes: Mapping[bytes, Row | None], counts: Counts) -> Counts:
        changed = self._files.change(directory_id, changes, counts)
        # A sum that once did not fit is not there to be added to.
        return (self._files.count(directory_id) if counts.bytes == MOST_BYTES else changed).capped()

    def change(
        self,
        volume_id: int,
        directory_id: int,
        changes: Callable[[DirectoryFiles], Mapping[bytes, Row | None]],
    ) -> None:
        """Change rows of a directory of this volume, if it is still there."""
        counts = self._database.row(queries.DIRECTORY_COUNTS, (directory_id, volume_id))
        if counts is None:
            return
        new = self._new_counts(directory_id, changes(self._files), Counts._make(counts))
        self._database.run(queries.SET_COUNTS, (*new, directory_id))


def _without_path(id: int, settled: str) -> bytes:
    """What a directory has in the place of a path while it has none: nothing that could be one."""
    return b"\0%d %s" % (id, settled.encode())
