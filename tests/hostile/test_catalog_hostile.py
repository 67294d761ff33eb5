"""A damaged file never stops a scan twice, and what customers may do to their files never stops one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from scanner.catalog import Catalog, DirectoryRecord, VolumeCatalog
from scanner.model.errors import CatalogError
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests

PAGE = 32768


class FixedClock:
    def now_ns(self) -> int:
        return 1234


def volume_of(catalog: Catalog) -> VolumeCatalog:
    return catalog.volume("v", b"/v", b"p")


def row(name: bytes, **changes: int) -> KnownFile:
    values = {"inode": 1, "size": 1, "mtime_ns": 1, "ctime_ns": 1} | changes
    stat = FileStat(name, 0, links=1, blocks=8, **values)
    return KnownFile(stat, FileState.CLEAN, Digests(1, "image/png", {"sha256": name[:1] * 32}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A catalog of some dozens of pages, closed."""
    path = tmp_path / "catalog.sqlite"
    with closing(Catalog.open(path)) as catalog:
        volume = volume_of(catalog)
        for d in range(800):
            rows = [row(b"%04d" % n) for n in range(50)]
            volume.record(DirectoryRecord(b"%d" % d, b"f", rows))
        volume.commit()
    assert path.stat().st_size > 20 * PAGE
    return path


def cut_in_half(path: Path) -> None:
    with path.open("r+b") as f:
        f.truncate(path.stat().st_size // 2)


def cut_to_a_stump(path: Path) -> None:
    with path.open("r+b") as f:
        f.truncate(50)


def overwrite_header(path: Path) -> None:
    with path.open("r+b") as f:
        f.write(b"\xa5" * 100)


def overwrite_a_page_in_the_middle(path: Path) -> None:
    with path.open("r+b") as f:
        f.seek(path.stat().st_size // PAGE // 2 * PAGE)
        f.write(b"\xa5" * PAGE)


def zero_all_but_the_first_page(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as f:
        f.seek(PAGE)
        f.write(b"\0" * (size - PAGE))


def put_something_else_in_its_place(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>" * 1000)


DAMAGES = [
    cut_in_half,
    cut_to_a_stump,
    overwrite_header,
    overwrite_a_page_in_the_middle,
    zero_all_but_the_first_page,
    put_something_else_in_its_place,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_set_aside_and_begun_anew(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    damaged = path.read_bytes()
    with closing(Catalog.open(path, clock=FixedClock())) as catalog:
        assert "catalog.sqlite.damaged-1234" in catalog.note
        volume = volume_of(catalog)
        assert volume.directory(b"1") is None
        volume.record(DirectoryRecord(b"1", b"f", [row(b"x")]))
        volume.commit()
    aside = path.with_name("catalog.sqlite.damaged-1234")
    assert aside.read_bytes() == damaged
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        assert volume_of(catalog).directory(b"1") is not None


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_reader_meets_damage_as_a_catalog_error_and_moves_nothing(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    with pytest.raises(CatalogError), closing(Catalog.open(path, read_only=True)) as catalog:
        for batch in volume_of(catalog).iterate():
            volume_of(catalog).find([key for key, _ in batch])
    assert path.exists()
    assert not list(path.parent.glob("*.damaged-*"))


def test_damage_met_in_use_is_an_error_once_and_begun_anew_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.catalog.opening._CHECK_UP_TO", 0)  # as if it were too large to be checked
    overwrite_a_page_in_the_middle(path)
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        with pytest.raises(CatalogError, match="set aside and begun anew"):
            list(volume_of(catalog).iterate())
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note != ""
        assert list(volume_of(catalog).iterate()) == []
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""


def test_a_row_that_makes_no_sense_is_damage(path: Path) -> None:
    with closing(Catalog.open(path)) as catalog:
        catalog._database.run("UPDATE chunks SET data = substr(data, 1, length(data) - 1) WHERE id >> 30 = 7")
        with pytest.raises(CatalogError, match="damaged"):
            list(volume_of(catalog).iterate())
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note != ""


def test_a_log_left_behind_goes_with_the_damaged_file(path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from scanner.catalog import *\n"
        "v = Catalog.open(Path(sys.argv[1])).volume('v', b'/v', b'p')\n"
        "v.record(DirectoryRecord(b'late', b'f', [])); v.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    log = path.with_name("catalog.sqlite-wal")
    assert log.stat().st_size > 0
    cut_to_a_stump(path)
    with closing(Catalog.open(path, clock=FixedClock())) as catalog:
        assert volume_of(catalog).directory(b"late") is None
        assert catalog.stats()[0].directories == 0
    assert path.with_name("catalog.sqlite.damaged-1234-wal").exists()


def test_only_the_last_damaged_file_is_kept(path: Path) -> None:
    path.with_name("catalog.sqlite.damaged-1000").write_bytes(b"older")
    overwrite_header(path)
    Catalog.open(path, clock=FixedClock()).close()
    assert [p.name for p in path.parent.glob("*.damaged-*")] == ["catalog.sqlite.damaged-1234"]


def test_many_processes_that_open_a_damaged_file_set_it_aside_once(path: Path) -> None:
    overwrite_header(path)
    script = (
        "import sys; from pathlib import Path; from scanner.catalog import Catalog\n"
        "sys.stdin.read(); print(bool(Catalog.open(Path(sys.argv[1])).note))"
    )
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.close()
        opener.stdin = None
    notes = [opener.communicate(timeout=20)[0].strip() for opener in openers]
    assert sorted(notes) == ["False", "False", "False", "True"]


def test_a_process_that_still_has_the_damaged_file_does_not_spoil_the_new_one(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from scanner.catalog import *\n"
        "c = Catalog.open(Path(sys.argv[1])); v = c.volume('v', b'/v', b'p')\n"
        "for line in sys.stdin:\n"
        "    v.record(DirectoryRecord(line.encode(), b'old', [])); v.commit(); print(flush=True)\n"
        "c.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("before\n")
        other.stdin.flush()
        other.stdout.readline()
        path.with_name("catalog.sqlite.suspect").touch()
        with closing(Catalog.open(path)) as catalog:
            volume = volume_of(catalog)
            for n in range(3):
                volume.record(DirectoryRecord(b"%d" % n, b"new", [row(b"%04d" % i) for i in range(50)]))
                volume.commit()
                other.stdin.write(f"{n} more\n")
                other.stdin.flush()
                other.stdout.readline()
            other.stdin.close()
            assert other.wait(10) == 0
            assert path.with_name("catalog.sqlite-wal").exists()
            volume.record(DirectoryRecord(b"3", b"new", [row(b"x")]))
            volume.commit()
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        stats = catalog.stats()[0]
        assert (stats.directories, stats.files) == (4, 151)


def test_sparse_files_that_add_up_beyond_64_bits_are_counted(tmp_path: Path) -> None:
    with closing(Catalog.open(tmp_path / "c.sqlite")) as catalog:
        volume = volume_of(catalog)
        largest = (1 << 63) - 1
        for path in (b"a", b"b"):
            volume.record(DirectoryRecord(path, b"f", [row(b"%d" % n, size=largest) for n in range(3)]))
        volume.commit()
        directory = volume.directory(b"a")
        assert directory is not None
        assert (directory.clean, directory.bytes) == (3, largest)
        assert volume.stats().bytes >= largest


def test_times_and_inodes_beyond_64_signed_bits_are_kept(tmp_path: Path) -> None:
    with closing(Catalog.open(tmp_path / "c.sqlite")) as catalog:
        volume = volume_of(catalog)
        # touch -d 2500-01-01, which is past the nanoseconds that fit; a network file system's inode
        far = row(b"x", mtime_ns=16_725_225_600 * 10**9, inode=(1 << 64) - 1)
        volume.record(DirectoryRecord(b"a", b"f", [far]))
        volume.commit()
        found = volume.lookup(b"a/x")
        assert found is not None
        assert found[1] == far


def test_names_and_paths_of_any_bytes_and_length_are_kept(tmp_path: Path) -> None:
    with closing(Catalog.open(tmp_path / "c.sqlite")) as catalog:
        volume = volume_of(catalog)
        deep = b"/".join([b"\xff" * 200] * 900)  # openat builds trees far deeper than PATH_MAX
        names = [bytes([n]) for n in range(1, 256) if n != ord("/")]
        volume.record(DirectoryRecord(deep, b"f", [row(name) for name in names]))
        volume.commit()
        directory = volume.directory(deep)
        assert directory is not None
        assert sorted(volume.files(directory.id)) == names
        assert [key.name for batch in volume.iterate(7) for key, _ in batch] == names
