"""The connection: statements, transactions, and the one place where SQLite's errors become ours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scanner.ledger import sql
from scanner.model.errors import LedgerError

Row = tuple[Any, ...]
Values = Sequence[object] | Mapping[str, object]

# Milliseconds a writer waits for another. A transaction here takes one fsync, so even a slow disk lets
# hundreds pass in this time; whoever holds the lock longer is stuck.
BUSY_MS = 10_000

_BATCH = 256  # rows fetched at a time when walking a table: payloads are a few KB, so about 1 MB

# What each primary result code (sqlite.org/rescode.html) means here, and what to do.
_MEANINGS = {
    sqlite3.SQLITE_FULL: (
        "the disk is full",
        "Make room on its file system; nothing is secured without a record",
    ),
    sqlite3.SQLITE_BUSY: (
        "another process kept it locked for too long",
        "Look for a hostsweep process that hangs, then try again",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "Keep it as it is, with its -wal file, and go on with a copy from the backup",
    ),
    sqlite3.SQLITE_NOTADB: (
        "expected a ledger, got a file that is no SQLite database",
        "Move it away, or go on with a copy from the backup",
    ),
    sqlite3.SQLITE_READONLY: (
        "the file can't be written",
        "Check its file system and its owner, then try again",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the file can't be opened",
        "Check that it is there, who owns it, and that its directory can be written",
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk did not do what was asked",
        "Look at the kernel's messages about this disk",
    ),
}
_OTHERWISE = "Run `hostsweep doctor`"


def as_ledger_error(error: sqlite3.Error, where: str) -> LedgerError:
    """What SQLite said, in the words of whoever has to act."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    meaning, remedy = _MEANINGS.get(code, ("SQLite refused", _OTHERWISE))
    return LedgerError(f"{meaning} ({error})", where=where, remedy=remedy)


class Database:
    """One connection, used from the thread that made it (SQLite checks this).

    Raises:
        LedgerError: from every method, for what SQLite can't do.
        RuntimeError: from every method, when used from another thread, after `close`, or for writing
            when opened for reading.
    """

    def __init__(self, connection: sqlite3.Connection, where: str, *, read_only: bool) -> None:
        self._connection = connection
        self.where = where
        self.read_only = read_only

    @classmethod
    def connect(cls, path: Path, *, read_only: bool, busy_ms: int = BUSY_MS) -> Database:
        """Connect to an existing file. Never makes one."""
        mode = "ro" if read_only else "rw"
        uri = f"file://{quote(os.fsencode(path.absolute()))}?mode={mode}"
        with _wrapped(str(path)):
            # isolation_level None: transactions begin where we say, not where the module guesses.
            connection = sqlite3.connect(uri, uri=True, timeout=busy_ms / 1000, isolation_level=None)
        database = cls(connection, str(path), read_only=read_only)
        try:
            database._set_up()
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def temporary(cls) -> Database:
        """An empty database of this process alone; spills to an unnamed file when it grows."""
        return cls(sqlite3.connect("", isolation_level=None), "a temporary database", read_only=False)

    def _set_up(self) -> None:
        self.execute(sql.FOREIGN_KEYS)
        if not self.read_only:
            self.execute(sql.SYNCHRONOUS)

    def use_wal(self) -> None:
        """Put the file into WAL mode, in which it stays. Only once it is known to be a ledger."""
        if self.scalar(sql.JOURNAL_MODE) != "wal":
            self.execute(sql.SET_WAL)

    def close(self) -> None:
        with _wrapped(self.where):
            self._connection.close()

    def execute(self, statement: str, values: Values = ()) -> list[Row]:
        """Run one statement; all its rows."""
        with _wrapped(self.where):
            return self._connection.execute(statement, values).fetchall()

    def one(self, statement: str, values: Values = ()) -> Row | None:
        rows = self.execute(statement, values)
        return rows[0] if rows else None

    def scalar(self, statement: str, values: Values = ()) -> Any:
        """The first column of the first row, None without a row."""
        row = self.one(statement, values)
        return row[0] if row else None

    @contextmanager
    def walk(self, statement: str) -> Iterator[Iterator[Row]]:
        """All rows of one statement, as of its beginning, without holding them at once.

        For the time of a `with` block: a walk that is broken off and left open would keep the -wal file from
        shrinking.
        """
        with _wrapped(self.where):
            cursor = self._connection.execute(statement)
        try:
            yield self._rows(cursor)
        finally:
            cursor.close()

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[Row]:
        while True:
            with _wrapped(self.where):
                rows = cursor.fetchmany(_BATCH)
            if not rows:
                return
            yield from rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on disk when the block is left. Waits for other writers. Not to be nested."""
        if self.read_only:
            raise RuntimeError("the ledger was opened for reading")
        self.execute(sql.BEGIN)
        try:
            yield
            self.execute(sql.COMMIT)
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        """Undo; what made us do so is the error to tell, so a failure here adds nothing."""
        if not self._connection.in_transaction:
            return  # SQLite has done it itself, as it does for a full disk
        try:
            self._connection.execute(sql.ROLLBACK)
        except sqlite3.Error:
            # The transaction stays open and every later one fails to begin: nothing is half written.
            return


@contextmanager
def _wrapped(where: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError) as e:
        raise RuntimeError(f"the ledger was not used as it must be: {e}") from e
    except sqlite3.Error as e:
        raise as_ledger_error(e, where) from e
