"""Directories that stand at other paths than they did: found by inode, and brought to their new path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.catalog import Catalog, DirectoryRecord, VolumeCatalog
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests

OLD, NEW = "index-1", "index-2"


def file(name: bytes) -> KnownFile:
    digests = Digests(100, "image/png", {"sha256": name.ljust(32, b"\0")})
    return KnownFile(FileStat(name, 0, 7, 100, 4, 5, 1, 8), FileState.CLEAN, digests)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog.open(tmp_path / "catalog.sqlite")
    yield catalog
    catalog.close()


@pytest.fixture
def web(catalog: Catalog) -> VolumeCatalog:
    """`a` has inode 10 and a file f, `b` has inode 11 and a file g; all matched with the old lists."""
    web = catalog.volume("web", b"/srv", b"p", compared_with=OLD)
    web.record(DirectoryRecord(b"a", b"A", [file(b"f")], inode=10))
    web.record(DirectoryRecord(b"b", b"B", [file(b"g")], inode=11))
    web.commit()
    matched(web, OLD)
    return web


def matched(web: VolumeCatalog, index: str) -> list[bytes]:
    web.begin_matching(index)
    names = []
    for files in web.unmatched(index):
        names += [key.name for key, _ in files.digests()]
        web.matched(index, files, ())
    web.end_matching(index)
    return names


def id_of(web: VolumeCatalog, path: bytes) -> int:
    found = web.directory(path)
    assert found is not None
    return found.id


def names_at(web: VolumeCatalog) -> dict[bytes, bytes]:
    return {ref.path: known.digests.exact["sha256"][:1] for some in web.everything() for ref, known in some}


def test_a_renamed_directory_keeps_its_rows_and_what_they_were_matched_with(web: VolumeCatalog) -> None:
    former = web.formerly(10)
    assert former is not None
    assert (former.path, former.known.fingerprint, former.known.inode) == (b"a", b"A", 10)
    web.record(DirectoryRecord(b"new/a", b"A", [file(b"more")], [], inode=10, moved_from=former.known.id))
    web.commit()
    assert names_at(web) == {b"new/a/f": b"f", b"new/a/more": b"m", b"b/g": b"g"}
    assert web.directory(b"a") is None and id_of(web, b"new/a") == former.known.id
    assert web.matched_with == OLD


@pytest.mark.parametrize("together", [True, False])
def test_two_that_changed_places_are_both_known_again(web: VolumeCatalog, together: bool) -> None:
    a, b = id_of(web, b"a"), id_of(web, b"b")
    web.record(DirectoryRecord(b"a", b"B", [], inode=11, moved_from=b))
    if not together:
        web.commit()
        assert names_at(web) == {b"a/g": b"g"} and web.stats().files == 1
        former = web.formerly(10)
        assert former is not None and (former.path, former.known.id) == (None, a)
    web.record(DirectoryRecord(b"b", b"A", [], inode=10, moved_from=a))
    web.commit()
    assert names_at(web) == {b"a/g": b"g", b"b/f": b"f"}
    assert web.matched_with == OLD
    assert (id_of(web, b"a"), id_of(web, b"b")) == (b, a)


def test_what_was_nowhere_while_new_lists_were_matched_is_matched_with_them_later(web: VolumeCatalog) -> None:
    a = id_of(web, b"a")
    web.record(DirectoryRecord(b"a", b"", [], inode=12))
    web.commit()
    assert matched(web, NEW) == [b"g"]
    web.record(DirectoryRecord(b"c", b"A", [], inode=10, moved_from=a))
    web.commit()
    assert web.matched_with == ""
    assert matched(web, NEW) == [b"f"]
    assert web.matched_with == NEW


def test_what_was_nowhere_while_matching_went_on_is_matched_again(web: VolumeCatalog) -> None:
    a = id_of(web, b"a")
    web.begin_matching(NEW)
    web.record(DirectoryRecord(b"a", b"", [], inode=12))
    web.commit()
    web.end_matching(NEW)
    web.record(DirectoryRecord(b"c", b"A", [], inode=10, moved_from=a))
    web.commit()
    assert web.matched_with == "" and matched(web, NEW) == [b"f"]


def test_what_was_not_met_again_is_forgotten(catalog: Catalog, web: VolumeCatalog) -> None:
    web.record(DirectoryRecord(b"a", b"N", [], inode=12))
    assert web.forget_directories_not_seen([b"a", b"b"]) == 1
    assert web.formerly(10) is None
    catalog.forget_volume("web", b"/srv")
    assert catalog.volume("web", b"/srv", b"p").formerly(11) is None


def test_a_directory_that_is_another_one_by_now_is_not_moved_and_has_to_be_looked_at(
    web: VolumeCatalog,
) -> None:
    a = id_of(web, b"a")
    web.record(DirectoryRecord(b"c", b"C", [], inode=99, moved_from=a))
    web.commit()
    found = web.directory(b"c")
    assert found is not None and (found.fingerprint, found.clean) == (b"", 0)
    assert names_at(web) == {b"a/f": b"f", b"b/g": b"g"}


def test_an_inode_of_another_volume_or_of_none_says_nothing(catalog: Catalog, web: VolumeCatalog) -> None:
    assert catalog.volume("mail", b"/var/mail", b"p").formerly(10) is None
    web.record(DirectoryRecord(b"d", b"D", []))
    web.commit()
    assert web.formerly(0) is None
