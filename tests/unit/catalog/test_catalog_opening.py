"""Opening the catalog's file: who may read it, which versions are taken, what is refused."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from scanner.catalog import Catalog, DirectoryRecord
from scanner.model.errors import CatalogError
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


def set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def test_only_the_owner_may_read_any_of_its_files(path: Path) -> None:
    with closing(Catalog.open(path)) as catalog:
        catalog.volume("web", b"/srv", b"p")
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.glob("catalog.sqlite*")}
    assert modes.keys() >= {"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("web", b"/srv", b"p")
        volume.record(DirectoryRecord(b"a", b"f", []))
        volume.commit()
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        assert catalog.volume("web", b"/srv", b"p").directory(b"a") is not None


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    Catalog.open(path).close()
    set_version(path, 999)
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(CatalogError, match="version 999"):
            Catalog.open(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_reader_does_not_bring_an_older_version_up_to_date(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(CatalogError, match=r"version 0.*Start a scan"):
        Catalog.open(path, read_only=True)


def test_a_catalog_of_the_first_version_keeps_its_rows_and_learns_sha512(path: Path) -> None:
    first = resources.files("scanner.catalog") / "migrations" / "0001_initial.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"""{first.read_text("utf-8")}
            INSERT INTO volumes (name, root) VALUES ('web', CAST('/srv' AS BLOB));
            INSERT INTO directories (volume_id, path, profile, fingerprint) VALUES (1, x'61', x'70', x'66');
            INSERT INTO files VALUES (1, x'78', 7, 100, 4, 5, 1, 8, 0, 0, 0, NULL, {"x'" + "6d" * 16 + "'"},
                                      NULL, NULL, NULL);
            PRAGMA user_version = 1;""")
    digests = Digests(100, "", {"md5": b"m" * 16, "sha512": b"x" * 64})
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        volume = catalog.volume("web", b"/srv", b"p")
        ((_, before),) = next(volume.iterate())
        assert before == Digests(100, "", {"md5": b"m" * 16})
        stat = FileStat(b"y", 0, 7, 100, 4, 5, 1, 8)
        volume.record(DirectoryRecord(b"b", b"f", [KnownFile(stat, FileState.CLEAN, digests)]))
        volume.commit()
        assert digests in [d for batch in volume.iterate() for _, d in batch]


def test_a_reader_does_not_make_a_file(path: Path) -> None:
    with pytest.raises(CatalogError, match="no catalog yet"):
        Catalog.open(path, read_only=True)
    assert not path.exists()


def test_a_missing_directory_is_a_catalog_error(path: Path) -> None:
    with pytest.raises(CatalogError):
        Catalog.open(path.parent / "none" / "catalog.sqlite")


def test_a_reader_can_not_write(path: Path) -> None:
    Catalog.open(path).close()
    with closing(Catalog.open(path, read_only=True)) as catalog:
        volume = catalog.volume("web", b"/srv", b"p")
        volume.record(DirectoryRecord(b"a", b"f", []))
        with pytest.raises(RuntimeError, match="reading only"):
            volume.commit()


def test_a_file_name_with_url_characters_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory&x#y%20 .sqlite"
    Catalog.open(path).close()
    Catalog.open(path, read_only=True).close()
    assert path.exists()


def test_a_failed_commit_can_be_tried_again(path: Path) -> None:
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("web", b"/srv", b"p")
        volume.record(DirectoryRecord(b"a", b"f", []))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON directories BEGIN SELECT RAISE(ABORT, 'no space'); END"
            )
            with pytest.raises(CatalogError, match="no space"):
                volume.commit()
            assert volume.directory(b"a") is None
            connection.execute("DROP TRIGGER full")
        volume.commit()
        assert volume.directory(b"a") is not None
