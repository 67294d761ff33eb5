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
from scanner.model.files import FileStat, FileState, KnownDirectory, KnownFile
from scanner.model.hashes import Digests, PerceptualHash


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


def pictures(n: int) -> Digests:
    exact = {"md5": bytes([n]) * 16, "sha1": bytes([n + 1]) * 20, "sha256": bytes([n + 2]) * 32}
    views = (
        PerceptualHash("pdq", "full", bytes([n + 3]) * 32, 88),
        PerceptualHash("pdq", "grid512", bytes([n + 4]) * 32, 100),
        PerceptualHash("phash", "", bytes([n + 5]) * 8, 100),
    )
    return Digests(100 + n, "image/jpeg", exact, views)


def stat_of(name: bytes, inode: int, size: int, **other: int) -> FileStat:
    values = {"mtime_ns": 16 * 10**17, "ctime_ns": 1_700_000_000_123_456_789, "links": 1, "blocks": 8} | other
    return FileStat(name, 0, inode, size, **values)


# What the catalogs in `layouts` were told when they were made: each by the version that had its layout.
BROKEN = Digests(
    103, "image/png", {"md5": b"m" * 16, "sha1": b"n" * 20, "sha256": b"o" * 32}, (), "undecodable"
)
FAR = stat_of(b"far", (1 << 64) - 1, 104, ctime_ns=16_725_225_600 * 10**9, mtime_ns=-(1 << 70))
WEB = {
    b"a.jpg": KnownFile(stat_of(b"a.jpg", 7, 101), FileState.LISTED, pictures(1)),
    b"b \xff.jpg": KnownFile(
        stat_of(b"b \xff.jpg", 8, 102, links=2, blocks=16), FileState.CLEAN, pictures(2)
    ),
    b"z.txt": KnownFile(stat_of(b"z.txt", 9, 5), FileState.NOT_MEDIA, Digests(0, "")),
}
CUSTOMER = {
    b"broken.png": KnownFile(stat_of(b"broken.png", 10, 103), FileState.UNDECODABLE, BROKEN),
    b"far": KnownFile(FAR, FileState.CLEAN, Digests(90, "video/mp4", {"sha256": b"p" * 32})),
}
MAIL = {b"young": KnownFile(stat_of(b"young", 11, 105, ctime_ns=0), FileState.CLEAN, pictures(3))}
LAYOUTS = sorted(Path(__file__).with_name("layouts").glob("*.sql"))


def lay_out(path: Path, layout: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(layout.read_text("utf-8"))


def test_there_is_a_catalog_of_every_layout_that_there_was() -> None:
    scripts = (resources.files("scanner.catalog") / "migrations").iterdir()
    latest = max(int(f.name[:4]) for f in scripts if f.name.endswith(".sql"))
    assert [layout.stem for layout in LAYOUTS] == [f"layout{n}" for n in range(1, latest + 1)]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.stem)
def test_a_catalog_of_an_older_layout_keeps_all_that_it_knows(path: Path, layout: Path) -> None:
    lay_out(path, layout)
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        web, mail = (
            catalog.volume("web", b"/srv/www", b"profile"),
            catalog.volume("mail", b"/srv/mail", b"other profile"),
        )
        inode = 1001 if layout.stem >= "layout4" else 0
        assert web.directory(b"") == KnownDirectory(1, b"root", 1, 1, 102, True, inode)
        found = {p: web.directory(p) for p in (b"", b"kunden/\xe4", b"empty")}
        fingerprints = {p: d and (d.fingerprint, web.files(d.id)) for p, d in found.items()}
        assert fingerprints == {b"": (b"root", WEB), b"kunden/\xe4": (b"k", CUSTOMER), b"empty": (b"e", {})}
        young = mail.directory(b"m")
        assert young is not None
        assert (young.fingerprint, mail.files(young.id)) == (b"", MAIL)
        assert (web.matched_with, mail.matched_with) == ("index-1", "")
        assert web.stats().states == dict.fromkeys(FileState, 1) | {FileState.CLEAN: 2}
        # And it goes on.
        sha512 = Digests(100, "image/new", {"sha512": b"x" * 64})
        web.record(
            DirectoryRecord(b"", b"2", [KnownFile(stat_of(b"a.jpg", 7, 100), FileState.CLEAN, sha512)])
        )
        web.commit()
        assert sha512 in [d for batch in web.iterate() for _, d in batch]
    assert {p.name for p in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


def test_a_rewriting_that_was_cut_off_is_done_again(path: Path) -> None:
    lay_out(path, LAYOUTS[0])
    path.with_name(f"{path.name}.new").write_bytes(b"half a file")
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        assert catalog.stats()[-1].files == 5


@pytest.mark.parametrize("what", ["views = x'0102'", "md5 = x'00'", "inode = 'x'"])
def test_an_older_catalog_that_makes_no_sense_is_set_aside(path: Path, what: str) -> None:
    lay_out(path, LAYOUTS[1])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE files SET {what}")
    with closing(Catalog.open(path)) as catalog:
        assert "set aside" in catalog.note
        assert catalog.stats() == []


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
