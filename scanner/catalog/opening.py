"""Opening the file: making it, bringing it up to date, and setting a damaged one aside."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path

from scanner.catalog import queries
from scanner.catalog.database import Database, catalog_error, connect, is_damage, suspect_marker
from scanner.catalog.older import ROWS, rewrite
from scanner.catalog.packing import DAMAGE
from scanner.model.errors import CatalogError
from scanner.model.ports import Clock

# Bytes up to which the whole file is checked at each opening, which takes about 0.1 s; a larger one is
# checked when damage was met in use.
_CHECK_UP_TO = 128 << 20
_LOG = "-wal"
_SHARED_MEMORY = "-shm"
_NEW = ".new"  # of a file that is being rewritten


def open_reader(path: Path) -> Database:
    """Open for reading, beside a process that writes.

    Raises:
        CatalogError: there is none, it is damaged, or of another version.
    """
    if not path.exists():
        raise CatalogError("there is no catalog yet", where=str(path), remedy="Scan something first")
    try:
        connection = connect(path, read_only=True)
        database = Database(path, connection, read_only=True)
        version = _version(connection)
    except sqlite3.Error as e:
        raise catalog_error(path, e) from e
    if version != _latest():
        database.close()
        raise _other_version(path, version)
    return database


def open_writer(path: Path, clock: Clock) -> tuple[Database, str]:
    """Open for writing; make the file, bring it up to date, or begin anew, as needed.

    Returns:
        the database, and a sentence for the operator if a damaged file was set aside, else "".

    Raises:
        CatalogError: the file can't be made or used, or a newer version of the program wrote it.
    """
    try:
        with _alone(path):
            damaged = _is_damaged(path) or not _bring_over(path)
            note = _set_aside(path, clock) if damaged else ""
            suspect_marker(path).unlink(missing_ok=True)
            connection = _open(path)
    except sqlite3.Error as e:
        raise catalog_error(path, e) from e
    except OSError as e:
        raise CatalogError(f"the catalog can't be opened ({e.strerror})", where=str(path)) from e
    return Database(path, connection, read_only=False), note


def _open(path: Path) -> sqlite3.Connection:
    _create(path)
    connection = connect(path, read_only=False)
    try:
        for setting in queries.WRITER_SETTINGS:
            connection.execute(setting)
        _migrate(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_over(path: Path) -> bool:
    """Rewrite a file of a layout that can't be brought up to date in its place; whether what is there is
    usable.

    The new file takes the old one's place when it is whole. What a process of an older version still writes
    to the old one is lost: its files are then read again.
    """
    new = path.with_name(path.name + _NEW)
    _remove(new)  # of an attempt that was cut off
    if not path.exists():
        return True
    with closing(connect(path, read_only=False)) as old:
        version = _version(old)
    if version not in ROWS:
        return True
    try:
        with closing(_open(new)) as connection:
            rewrite(path, version, Database(new, connection, read_only=False))
        # The old log first, so that it never meets the new file.
        _remove(path, (_LOG, _SHARED_MEMORY))
        new.replace(path)
    except DAMAGE:
        return False
    except sqlite3.Error as e:
        if _means_damage(e):
            return False
        raise
    finally:
        _remove(new)
    return True


def _remove(path: Path, which: tuple[str, ...] = ("", _LOG, _SHARED_MEMORY)) -> None:
    for end in which:
        path.with_name(path.name + end).unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time checks and replaces: else the second sets the first one's new file aside."""
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _create(path: Path) -> None:
    """Make the file private before SQLite sees it; its log gets the same mode.

    An existing file must not be opened here: closing it would drop the POSIX locks of a connection that
    this process already has to it (sqlite.org/howtocorrupt.html, 2.2).
    """
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _is_damaged(path: Path) -> bool:
    if not path.exists():
        return False
    if suspect_marker(path).exists():
        return True
    try:
        with closing(connect(path, read_only=False)) as connection:
            version = _version(connection)
            if version == 0 and path.stat().st_size == 0:
                return False
            if version > _latest():
                raise _other_version(path, version)
            if path.stat().st_size <= _CHECK_UP_TO and connection.execute(queries.QUICK_CHECK).fetchone() != (
                "ok",
            ):
                return True
            if version and version not in ROWS:
                connection.execute(queries.PROBE).fetchone()
    except sqlite3.Error as e:
        if _means_damage(e):
            return True
        raise
    return False


def _means_damage(error: sqlite3.Error) -> bool:
    """SQLITE_ERROR: a table of ours is not there. Anything else (busy, no permission) is no damage."""
    return is_damage(error) or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR


def _set_aside(path: Path, clock: Clock) -> str:
    """Rename file and log; the log first, so that it never meets a new file. Only the last one is kept."""
    for old in path.parent.glob(f"{path.name}.damaged-*"):
        old.unlink(missing_ok=True)
    aside = path.with_name(f"{path.name}.damaged-{clock.now_ns()}")
    log = path.with_name(path.name + _LOG)
    if log.exists():
        log.rename(aside.with_name(aside.name + _LOG))
    path.with_name(path.name + _SHARED_MEMORY).unlink(missing_ok=True)
    path.rename(aside)
    return f"the catalog was damaged; it was set aside as {aside.name} and begun anew: files are read again"


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute(queries.USER_VERSION).fetchone()[0])


def _other_version(path: Path, version: int) -> CatalogError:
    if version > _latest():
        remedy = "Use the version that wrote it, or move the file away: files are then read again"
    else:
        remedy = "Start a scan or the daemon: they bring it up to date"
    what = f"the catalog has version {version}, expected {_latest()}"
    return CatalogError(what, where=str(path), remedy=remedy)


def _migrations() -> dict[int, str]:
    """The scripts by the version that they lead to, in order. The first makes a new file; what is older is
    rewritten."""
    folder = resources.files("scanner.catalog") / "migrations"
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return {int(name[:4]): (folder / name).read_text("utf-8") for name in names}


def _latest() -> int:
    return max(_migrations())


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    """Each step in a transaction of its own, which its number is a part of."""
    version = _version(connection)
    if version > _latest():
        raise _other_version(path, version)
    for number, script in _migrations().items():
        if number > version:
            connection.executescript(
                f"{queries.BEGIN};\n{script}\n;PRAGMA user_version = {number};\n{queries.COMMIT};"
            )
