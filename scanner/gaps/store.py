"""The file that keeps gaps. A cache: losing it costs ages of gaps, never the knowledge that there are any."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from scanner.gaps.records import Gap, VolumeRecord
from scanner.model.errors import StorageError

_VERSION = 1
# Gaps kept one by one for each volume, some 20 MB; what is above is counted, with its age.
_MOST = 100_000
_BUSY_SECONDS = 10.0
_PER_DIRECTORY = "unreadable"  # told of the directory whose files they are; directories below it are walked

_SCHEMA = """
CREATE TABLE IF NOT EXISTS volumes (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    root BLOB NOT NULL,
    since_ns INTEGER NOT NULL,
    scan_id TEXT NOT NULL DEFAULT '',
    profile BLOB NOT NULL DEFAULT x'',
    matched_ns INTEGER NOT NULL DEFAULT 0,
    running_id TEXT NOT NULL DEFAULT '',
    files INTEGER NOT NULL DEFAULT 0,
    progress_ns INTEGER NOT NULL DEFAULT 0,
    more INTEGER NOT NULL DEFAULT 0,
    more_since_ns INTEGER NOT NULL DEFAULT 0,
    UNIQUE (name, root)
);
CREATE TABLE IF NOT EXISTS gaps (
    volume_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    reason TEXT NOT NULL,
    files INTEGER NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    scan_id TEXT NOT NULL,
    PRIMARY KEY (volume_id, path)
) WITHOUT ROWID;
"""
# NORMAL: a power cut may lose the last scan's news, which the next scan tells again.
_SETTINGS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL")
_VOLUME = "SELECT id FROM volumes WHERE name = ? AND root = ?"
_VOLUMES = "SELECT name, root FROM volumes ORDER BY id"
_ADD_VOLUME = "INSERT OR IGNORE INTO volumes (name, root, since_ns) VALUES (?, ?, ?)"
_RECORD = """
SELECT since_ns, scan_id, profile, matched_ns, running_id, files, progress_ns, more, more_since_ns,
       (SELECT count(*) FROM gaps WHERE volume_id = v.id),
       (SELECT min(first_ns) FROM gaps WHERE volume_id = v.id)
FROM volumes AS v WHERE id = ?
"""
_BEGIN_SCAN = "UPDATE volumes SET running_id = ?, files = 0, progress_ns = ? WHERE id = ?"
_PROGRESS = "UPDATE volumes SET files = ?, progress_ns = ? WHERE id = ?"
_END_SCAN = "UPDATE volumes SET scan_id = ?, profile = ?, more = ?, more_since_ns = ? WHERE id = ?"
_MATCHED = "UPDATE volumes SET matched_ns = ? WHERE id = ?"
# A gap that is met again keeps its age, whatever the reason is by now.
_PUT_GAP = """
INSERT INTO gaps (volume_id, path, reason, files, first_ns, last_ns, scan_id) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (volume_id, path) DO UPDATE SET reason = excluded.reason, files = excluded.files,
    last_ns = excluded.last_ns, scan_id = excluded.scan_id
"""
_HAS_GAP = "SELECT 1 FROM gaps WHERE volume_id = ? AND path = ?"
_COUNT_GAPS = "SELECT count(*) FROM gaps WHERE volume_id = ?"
_MORE = "SELECT more_since_ns FROM volumes WHERE id = ?"
_GAP = "SELECT path, reason, files, first_ns, last_ns FROM gaps WHERE volume_id = ? AND path = ?"
_OLDEST = """
SELECT path, reason, files, first_ns, last_ns FROM gaps WHERE volume_id = ? ORDER BY first_ns, path LIMIT ?
"""
_SEEN = "SELECT path FROM gaps WHERE volume_id = ? AND scan_id = ? AND reason <> ?"
_NOT_SEEN = "SELECT path FROM gaps WHERE volume_id = ? AND scan_id <> ?"
_DELETE_GAP = "DELETE FROM gaps WHERE volume_id = ? AND path = ?"
_DELETE_GAPS = "DELETE FROM gaps WHERE volume_id = ?"
_DELETE_VOLUME = "DELETE FROM volumes WHERE id = ?"


class Gaps(AbstractContextManager["Gaps"]):
    """The open file; one thread at a time has it, any number of processes.

    Raises:
        StorageError: from every method: it can't be read or written.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Gaps:
        """Open the file at `path`; for writing it is made where there is none, and begun anew where it is
        damaged or of another version.

        Raises:
            StorageError: it can't be opened; for reading only: there is none.
        """
        with _told(path):
            if read_only:
                return cls(path, _connect(path, "ro"))
            try:
                return cls(path, _for_writing(path))
            except sqlite3.DatabaseError as e:
                if isinstance(e, sqlite3.OperationalError):
                    raise  # busy, full, no permission: nothing is wrong with what is in it
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                return cls(path, _for_writing(path))

    def close(self) -> None:
        self._connection.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Reading

    def volumes(self) -> tuple[tuple[str, bytes], ...]:
        """Name and root of every volume of which a scan has begun, the first one first."""
        return tuple((name, root) for name, root in self._rows(_VOLUMES, ()))

    def volume(self, name: str, root: bytes) -> VolumeRecord | None:
        """What is known of a volume; None where no scan of it has begun since there is this file."""
        volume_id = self._find(name, root)
        if not volume_id:
            return None
        row = self._rows(_RECORD, (volume_id,))[0]
        more, more_since, gaps, oldest = row[7:]
        ages = [ns for ns in (oldest, more_since) if ns]
        return VolumeRecord(*(*row[:7], gaps, more, min(ages, default=0)))

    def above(self, name: str, root: bytes, path: bytes) -> tuple[Gap, ...]:
        """The gaps at a path and at the directories above it, the nearest first."""
        volume_id = self._find(name, root)
        places = [path, *_ancestors(path)]
        rows = [row for place in places for row in self._rows(_GAP, (volume_id, place))]
        return tuple(Gap(*row) for row in rows)

    def oldest(self, name: str, root: bytes, limit: int) -> tuple[Gap, ...]:
        """The gaps that are there for the longest time."""
        return tuple(Gap(*row) for row in self._rows(_OLDEST, (self._find(name, root), limit)))

    # Writing

    def begin(self, name: str, root: bytes, scan_id: str, now_ns: int) -> None:
        """A scan of a volume begins."""
        with self._transaction():
            self._connection.execute(_ADD_VOLUME, (name, root, now_ns))
            self._connection.execute(_BEGIN_SCAN, (scan_id, now_ns, self._find(name, root)))

    def progress(self, name: str, root: bytes, files: int, now_ns: int) -> None:
        """How many files the scan has met by now."""
        with self._transaction():
            self._connection.execute(_PROGRESS, (files, now_ns, self._find(name, root)))

    def keep(
        self, name: str, root: bytes, found: Iterable[tuple[bytes, str, int]], scan_id: str, now_ns: int
    ) -> int:
        """Keep gaps that a scan has met, as (path, reason, files).

        Returns:
            files of those that are too many to be kept.
        """
        left = 0
        with self._transaction():
            volume_id = self._find(name, root)
            room = _MOST - int(self._rows(_COUNT_GAPS, (volume_id,))[0][0])
            for path, reason, files in found:
                if not self._rows(_HAS_GAP, (volume_id, path)):
                    if room <= 0:
                        left += max(files, 1)
                        continue
                    room -= 1
                values = (volume_id, path, reason, files, now_ns, now_ns, scan_id)
                self._connection.execute(_PUT_GAP, values)
        return left

    def end(self, name: str, root: bytes, scan_id: str, profile: bytes, more: int, now_ns: int) -> None:
        """A scan has walked all of a volume: gaps that it did not meet are none any more.

        What lies below a directory that it could not look into stays as it was.

        Args:
            profile: what it did with files.
            more: files that `keep` had no room for.
        """
        with self._transaction():
            volume_id = self._find(name, root)
            seen = {row[0] for row in self._rows(_SEEN, (volume_id, scan_id, _PER_DIRECTORY))}
            stale = [row[0] for row in self._rows(_NOT_SEEN, (volume_id, scan_id))]
            gone = [(volume_id, path) for path in stale if seen.isdisjoint(_ancestors(path))]
            self._connection.executemany(_DELETE_GAP, gone)
            since = int(self._rows(_MORE, (volume_id,))[0][0]) or now_ns if more else 0
            self._connection.execute(_END_SCAN, (scan_id, profile, more, since, volume_id))

    def matched(self, name: str, root: bytes, now_ns: int) -> None:
        """All known files of a volume have been matched with the lists of now."""
        with self._transaction():
            self._connection.execute(_MATCHED, (now_ns, self._find(name, root)))

    def forget(self, name: str, root: bytes) -> None:
        """Delete all that is known of a volume that is not scanned any more."""
        volume = self._find(name, root)
        with self._transaction():
            self._connection.execute(_DELETE_GAPS, (volume,))
            self._connection.execute(_DELETE_VOLUME, (volume,))

    # ---

    def _find(self, name: str, root: bytes) -> int:
        rows = self._rows(_VOLUME, (name, root))
        return int(rows[0][0]) if rows else 0

    def _rows(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with _told(self._path):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise


def _ancestors(path: bytes) -> Iterator[bytes]:
    """The directories above a path, the nearest first; the last is b"", the root."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _for_writing(path: Path) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = _connect(path, "rw")
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"version {version}")
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as e:
        raise StorageError(
            f"what scans could not look at can't be kept or read ({e})",
            where=str(path),
            remedy="Check free space and permissions; the file may be removed, the next scan makes it anew",
        ) from e
