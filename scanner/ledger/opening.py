"""Making, checking and migrating the file.

A new ledger is made whole under another name and then given its own, so nobody ever meets half of one. An
existing file is never opened but by SQLite: closing any other descriptor of it would drop the locks that
SQLite holds for this process (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from scanner.ledger import sql
from scanner.ledger.database import BUSY_MS, Database
from scanner.model.errors import LedgerError
from scanner.system.renaming import rename_noreplace

_HALF_MADE = ".ledger-"  # before a name of chance
APPLICATION_ID = 1213421388  # "HSWL", as 0001_initial.sql sets it
_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """The step from layout `number - 1` to layout `number`."""

    number: int
    script: str

    def statements(self) -> Iterator[str]:
        """The script's statements, one at a time: executescript would commit in between."""
        statement = ""
        for line in self.script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement
                statement = ""
        if any(not line.lstrip().startswith("--") for line in statement.splitlines() if line.strip()):
            raise RuntimeError(f"migration {self.number} ends within a statement")


def migrations() -> tuple[Migration, ...]:
    """The migrations of this version, in order, numbered from 1 without gaps."""
    folder = resources.files("scanner.ledger") / "migrations"
    found = [(match, f) for f in folder.iterdir() if (match := _NAME.fullmatch(f.name))]
    read = [Migration(int(match[1]), f.read_text(encoding="utf-8")) for match, f in found]
    return tuple(sorted(read, key=lambda m: m.number))


def migrate(database: Database, known: Sequence[Migration]) -> None:
    """Bring a database to the newest layout, one transaction for each step.

    Raises:
        LedgerError: a newer hostsweep wrote it, or it is something else altogether.
    """
    check_layout(database, known[-1].number)
    for migration in known:
        if database.scalar(sql.VERSION) >= migration.number:
            continue
        with database.transaction():
            if database.scalar(sql.VERSION) >= migration.number:
                continue  # another process was faster
            for statement in migration.statements():
                database.execute(statement)
            database.execute(sql.SET_VERSION.format(version=migration.number))


def check_layout(database: Database, newest: int) -> int:
    """The layout's number; 0 for an empty database.

    Raises:
        LedgerError: see `migrate`.
    """
    version = int(database.scalar(sql.VERSION))
    ours = database.scalar(sql.APPLICATION) == APPLICATION_ID
    if not ours and (version or database.scalar(sql.COUNT_TABLES)):
        raise LedgerError(
            "expected a ledger, got a SQLite database of something else",
            where=database.where,
            remedy="Move it away, or name another directory with --state-dir",
        )
    if version > newest:
        raise LedgerError(
            f"expected layout {newest} or older, got layout {version}: a newer hostsweep wrote it",
            where=database.where,
            remedy="Run the newer version",
        )
    return version


def open_for_writing(path: Path, busy_ms: int = BUSY_MS) -> Database:
    """Open the file, making it (mode 0600) or migrating it where needed.

    Raises:
        LedgerError: it can't be made or used, or others may read it.
    """
    known = migrations()
    if _stat(path) is None:
        _create(path, known)
    _check_private(path)
    database = Database.connect(path, read_only=False, busy_ms=busy_ms)
    try:
        migrate(database, known)
        database.use_wal()
    except BaseException:
        database.close()
        raise
    return database


def open_for_reading(path: Path, busy_ms: int = BUSY_MS) -> Database:
    """Open the file while others may be writing; where there is none yet, an empty ledger.

    Raises:
        LedgerError: it can't be read, or has a layout that isn't ours.
    """
    known = migrations()
    if _stat(path) is None:
        return _empty(known)
    database = Database.connect(path, read_only=True, busy_ms=busy_ms)
    try:
        version = check_layout(database, known[-1].number)
        if version < known[-1].number:
            raise LedgerError(
                f"expected layout {known[-1].number}, got the older layout {version}",
                where=database.where,
                remedy="Start the daemon or a scan once: it brings the ledger up to date",
            )
    except BaseException:
        database.close()
        raise
    return database


def _empty(known: Sequence[Migration]) -> Database:
    database = Database.temporary()
    migrate(database, known)
    database.read_only = True
    return database


def _create(path: Path, known: Sequence[Migration]) -> None:
    try:
        with _alone(path.parent):
            if _stat(path) is None:  # else another process was faster
                _make(path, known)
    except OSError as e:
        raise LedgerError(
            f"the ledger can't be made: {e.strerror or e}",
            where=str(path),
            remedy="Check that its directory is there, who owns it, and that it has room",
        ) from e


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time makes a ledger in a directory: what it finds half made there is of the dead."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _make(path: Path, known: Sequence[Migration]) -> None:
    for left in path.parent.glob(f"{_HALF_MADE}*"):
        left.unlink(missing_ok=True)
    # mkstemp: O_EXCL | O_NOFOLLOW, mode 0600. SQLite gives -wal and -shm the mode of the file itself.
    fd, name = tempfile.mkstemp(prefix=_HALF_MADE, dir=path.parent)
    os.close(fd)
    made = Path(name)
    try:
        database = Database.connect(made, read_only=False)
        try:
            migrate(database, known)
            database.use_wal()
        finally:
            database.close()  # the last connection: it puts the -wal file into the file itself
        _give_name(made, path)
    finally:
        made.unlink(missing_ok=True)


def _give_name(made: Path, path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rename_noreplace(directory, os.fsencode(made.name), directory, os.fsencode(path.name))
        os.fsync(directory)  # else the name, and all that is written to it, may be gone with the power
    except FileExistsError:
        return  # another process was faster: its ledger is as good
    finally:
        os.close(directory)


def _check_private(path: Path) -> None:
    st = _stat(path)
    if st is None or not stat.S_ISREG(st.st_mode):
        raise LedgerError(
            "expected a regular file, got something else",
            where=str(path),
            remedy="Move it away; the ledger is never opened through a link",
        )
    if stat.S_IMODE(st.st_mode) & 0o077:
        raise LedgerError(
            f"expected mode 0600, got {stat.S_IMODE(st.st_mode):04o}: others can read or write it",
            where=str(path),
            remedy="Find out why, then `chmod 600` it",
        )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise LedgerError(
            f"the file can't be looked at: {e.strerror or e}",
            where=str(path),
            remedy="Run as the user that owns the state directory",
        ) from e
