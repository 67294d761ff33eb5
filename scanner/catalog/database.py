"""The connection to the file: transactions, and every SQLite error told as a CatalogError."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from scanner.catalog import queries
from scanner.model.errors import CatalogError

# How long one process waits for another's transaction, seconds; the largest ones take one or two.
_BUSY_SECONDS = 30.0
# Free pages of 32 KiB that are left in the file: these, or a tenth.
_FEW_PAGES = 128
_FREE_SHARE = 0.1
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF  # the low byte of an extended result code (sqlite.org/rescode.html)

_REMEDIES = {
    sqlite3.SQLITE_FULL: "Free some space on its file system",
    sqlite3.SQLITE_BUSY: "Another process has been writing for too long: see which one has the file open",
    sqlite3.SQLITE_READONLY: "Check the permissions of the file and of its directory",
    sqlite3.SQLITE_PERM: "Check the permissions of the file and of its directory",
    sqlite3.SQLITE_CANTOPEN: "Check that its directory is there and that this user may write in it",
    sqlite3.SQLITE_IOERR: "Check the disk and the kernel log",
}


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, rather than out of reach."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DAMAGE


def suspect_marker(path: Path) -> Path:
    """A file that says: damage was met in use, so begin anew at the next opening."""
    return path.with_name(path.name + ".suspect")


def catalog_error(path: Path, error: sqlite3.Error) -> CatalogError:
    """The one place where SQLite's errors become ours."""
    remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & _PRIMARY, "")
    return CatalogError(f"the catalog can't be used ({error})", where=str(path), remedy=remedy)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection in autocommit mode to a file that exists.

    It may move between threads (check_same_thread is off); one at a time is the owner's duty.

    Raises:
        sqlite3.Error: it can't be opened.
    """
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    for setting in queries.SETTINGS:
        connection.execute(setting)
    return connection


class Database:
    """One connection. Whatever goes wrong is a CatalogError; damage is marked for the next opening."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._connection = connection

    def close(self) -> None:
        """Close it. May be repeated."""
        self._connection.close()

    def hold(self) -> None:
        """Read everything as it is now, until `release`: single look-ups take half the time then. It holds up
        the log's clean-up."""
        if not self._connection.in_transaction:
            self.run(queries.BEGIN_READING)

    def release(self) -> None:
        """Let go of what `hold` holds."""
        if self._connection.in_transaction:
            self.run(queries.COMMIT)

    def row(self, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        try:
            found: tuple[Any, ...] | None = self._connection.execute(query, parameters).fetchone()
        except sqlite3.Error as e:
            raise self._failed(e) from e
        return found

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows at once: no read transaction stays open to hold up the log's clean-up."""
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as e:
            raise self._failed(e) from e

    def stream(self, query: str, parameters: Sequence[object] = ()) -> Generator[tuple[Any, ...], None, None]:
        """Rows one by one. A read transaction is open, and holds up the log's clean-up, until it is
        closed."""
        try:
            with closing(self._connection.execute(query, parameters)) as cursor:
                yield from cursor
        except sqlite3.Error as e:
            raise self._failed(e) from e

    def run(self, query: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(query, parameters)
        except sqlite3.Error as e:
            raise self._failed(e) from e

    def run_many(self, query: str, parameters: Iterable[Sequence[object]]) -> None:
        try:
            self._connection.executemany(query, parameters)
        except sqlite3.Error as e:
            raise self._failed(e) from e

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, for readers too.

        Raises:
            CatalogError: it could not begin or commit; nothing of it was written.
            RuntimeError: the catalog is open for reading only.
        """
        if self.read_only:
            raise RuntimeError("the catalog is open for reading only")
        self.run(queries.BEGIN)
        try:
            yield
            self.run(queries.COMMIT)
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
                self._connection.execute(queries.ROLLBACK)
            raise

    def compact(self) -> None:
        """Give free pages back to the file system once they are many, in parts that hold up nobody for long.
        New rows would fill them, so a few are kept.

        Raises:
            CatalogError: it can't be written; what was given back stays so.
        """
        free, pages = self._number(queries.FREE_PAGES), self._number(queries.PAGES)
        while free > max(_FEW_PAGES, pages * _FREE_SHARE):
            with self.transaction():
                self.rows(queries.GIVE_BACK)
            left = self._number(queries.FREE_PAGES)
            if left >= free:
                return  # a file that was made without the means to do so
            free = left

    def _number(self, query: str) -> int:
        row = self.row(query)
        return int(row[0]) if row else 0

    def damaged(self, cause: Exception) -> CatalogError:
        """For a row that makes no sense: the next opening begins anew."""
        with suppress(OSError):  # a reader may lack the right; the writer will meet the same damage
            suspect_marker(self.path).touch(mode=0o600)
        return CatalogError(
            f"the catalog is damaged ({cause})",
            where=str(self.path),
            remedy="It is set aside and begun anew at the next start; files are then read again",
        )

    def _failed(self, error: sqlite3.Error) -> CatalogError:
        return self.damaged(error) if is_damage(error) else catalog_error(self.path, error)
