"""Making, migrating and refusing files."""

from __future__ import annotations

import os
import sqlite3
import stat
from importlib import resources
from pathlib import Path

import pytest

from scanner.ledger import Ledger
from scanner.ledger.database import Database
from scanner.ledger.opening import Migration, migrate, migrations
from scanner.model.errors import LedgerError

LAYOUT_1 = resources.files("scanner.ledger") / "migrations" / "0001_initial.sql"


def layout_1(path: Path) -> None:
    """A ledger as the first release left it: its layout, one note, the brake engaged."""
    connection = sqlite3.connect(path)
    connection.executescript(LAYOUT_1.read_text(encoding="utf-8"))
    first = "9e5a4b08a527cb70b7599c773c14e5ecbb6289c683c17c336fe4062419743239"
    connection.execute("PRAGMA user_version = 1")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "INSERT INTO events VALUES (1, 5, 'note', '', 'daemon', '{\"text\":\"first\"}', zeroblob(32), ?)",
        (bytes.fromhex(first),),
    )
    connection.commit()
    connection.close()
    path.chmod(0o600)


def test_a_ledger_of_layout_1_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    layout_1(path)
    with Ledger.open(path, read_only=True) as reading:
        assert reading.verify().ok
    with Ledger.open(path) as ledger:
        assert [e.payload for e in ledger.events()] == [{"text": "first"}]
        ledger.note("second", "daemon", 6)
        assert (ledger.verify().head.seq, ledger.changed_tables()) == (2, ())


def test_a_new_ledger_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
            ledger.note("so that there is a -wal file", "daemon", 1)
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {name: 0o600 for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")}


def test_reading_where_there_is_no_ledger_yet_is_empty_and_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "ledger.sqlite"
    with Ledger.open(path, read_only=True) as ledger:
        assert (ledger.list(), ledger.brake(), dict(ledger.last_scans()), ledger.open_steps()) == (
            (),
            None,
            {},
            [],
        )
        assert ledger.verify().ok
    assert list(tmp_path.iterdir()) == []


def test_writing_through_a_reader_is_misuse(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for _ in range(2):  # first without a file, then with one
        with Ledger.open(path, read_only=True) as ledger, pytest.raises(RuntimeError, match="for reading"):
            ledger.note("no", "daemon", 1)
        Ledger.open(path).close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_layout_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerError, match="expected layout 1 or older, got layout 99"):
        Ledger.open(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE files (name)")
    connection.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="something else"):
        Ledger.open(path, read_only=read_only)
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, but long enough to have a header " * 100)
    path.chmod(0o600)
    with pytest.raises(LedgerError, match="no SQLite database"):
        Ledger.open(path, read_only=read_only)


def test_a_directory_that_is_not_there_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="can't be made: No such file") as caught:
        Ledger.open(tmp_path / "missing" / "ledger.sqlite")
    assert "missing" in caught.value.where and caught.value.remedy


def test_a_migration_that_fails_half_way_leaves_the_layout_before_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    layout_1(path)
    broken = Migration(2, "CREATE TABLE added (x);\nINSERT INTO nowhere VALUES (1);\n")
    database = Database.connect(path, read_only=False)
    with pytest.raises(LedgerError):
        migrate(database, (*migrations(), broken))
    database.close()
    with Ledger.open(path) as ledger:
        assert ledger.verify().head.seq == 1
    mended = Migration(2, "CREATE TABLE added (x); -- it was not left behind\n")
    database = Database.connect(path, read_only=False)
    migrate(database, (*migrations(), mended))
    assert database.scalar("PRAGMA user_version") == 2
    database.close()


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [m.number for m in migrations()] == list(range(1, len(migrations()) + 1))


def test_half_a_ledger_that_a_crash_left_is_swept_by_whoever_makes_the_next(tmp_path: Path) -> None:
    for left in (".ledger-abc", ".ledger-abc-wal", ".ledger-abc-shm"):
        (tmp_path / left).write_bytes(b"half")
    Ledger.open(tmp_path / "ledger.sqlite").close()
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.sqlite"]
