"""Known files meet new entries: all of them, also where it was interrupted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scanner.catalog import Catalog, DirectoryRecord, VolumeCatalog
from scanner.index import Delta, Index, ListKey, OpenFeed, Snapshot, SnapshotBuilder, Threshold, added
from scanner.model.feeds import Entry, FeedTerms
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests, PerceptualHash
from scanner.pipeline import rematch
from scanner.pipeline.rematch import News, mark_listed

FILES = 30
LIMITS = {"pdq": Threshold(31, 50)}


def md5(number: int) -> bytes:
    return bytes([number]) * 16


def pdq(number: int) -> bytes:
    return bytes([number * 37 % 256, number]) * 16


@pytest.fixture
def web(tmp_path: Path) -> Iterator[VolumeCatalog]:
    with closing(Catalog.open(tmp_path / "catalog.sqlite")) as catalog:
        volume = catalog.volume("web", b"/srv/www", b"profile")
        for n in range(FILES):
            views = (PerceptualHash("pdq", "full", pdq(n), 90),) if n % 2 else ()
            digests = Digests(9, "image/png", {"md5": md5(n)} if n % 3 else {"sha1": b"1" * 20}, views)
            stat = FileStat(b"%02d" % n, 0, n, 9, 4, 5, 1, 8)
            volume.record(DirectoryRecord(b"%02d" % n, b"f", (KnownFile(stat, FileState.CLEAN, digests),)))
        volume.commit()
        yield volume


def news_of(folder: Path, key: ListKey | None, *numbers: int) -> Delta:
    builder = SnapshotBuilder(key=key)
    for n in numbers:
        builder.add(Entry((("md5", md5(n)), ("pdq", pdq(n)))))
    builder.finish(folder / "s", meta={"feed": "f", "format": "f", "built_ns": 1})
    return added([OpenFeed(FeedTerms("f"), Snapshot.open(folder / "s", key=key))], None, LIMITS)


class Stopping:
    """Lists some files, and stops the matching when it has been asked so often."""

    id = "second"

    def __init__(self, stop: threading.Event, after: int) -> None:
        self._stop = stop
        self._after = after
        self.asked: list[Digests] = []

    def match(self, digests: Digests) -> tuple[str, ...]:
        self.asked.append(digests)
        if len(self.asked) == self._after:
            self._stop.set()
        return ("hit",) if digests.exact.get("md5") in (md5(7), md5(23)) else ()


@pytest.mark.parametrize("key", [None, ListKey(bytes(32))])
def test_files_that_new_entries_concern_are_marked_and_no_others(
    web: VolumeCatalog, tmp_path: Path, key: ListKey | None
) -> None:
    first = Index([], LIMITS)
    assert mark_listed(web, first, None, threading.Event()) == []
    second = Stopping(threading.Event(), 0)
    found = mark_listed(web, second, News(first.id, news_of(tmp_path, key, 3, 4, 6, 200)), threading.Event())
    # 3 and 6 have no MD5, and 6 is no picture.
    assert [key.name for key in found] == [b"03", b"04"]
    assert (web.stats().states[FileState.LISTED], web.matched_with, second.asked) == (2, "second", [])


@pytest.mark.parametrize("after", [1, 4, 8, 12, 26])
def test_an_interrupted_matching_misses_nothing_and_begins_where_it_was(
    web: VolumeCatalog, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(rematch, "_ONE_BY_ONE", 1)
    stop = threading.Event()
    interrupted = Stopping(stop, after)
    found = mark_listed(web, interrupted, None, stop)
    assert len(interrupted.asked) == after and web.matched_with == ""
    rest = Stopping(threading.Event(), 0)
    found += mark_listed(web, rest, None, threading.Event())
    assert sorted({key.name for key in found}) == [b"07", b"23"] and web.matched_with == "second"
    # That of the last file comes again: its directory might have gone on.
    assert len(rest.asked) == FILES - after + 1


def test_a_file_that_a_second_round_finds_again_is_told_once(
    web: VolumeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that goes on meanwhile makes a further round necessary: it writes with other lists in mind."""
    ended = VolumeCatalog.end_matching

    def disturbed(self: VolumeCatalog, index: str) -> None:
        monkeypatch.setattr(VolumeCatalog, "end_matching", ended)
        self.begin_matching("another")
        ended(self, "another")

    monkeypatch.setattr(VolumeCatalog, "end_matching", disturbed)
    found = mark_listed(web, Stopping(threading.Event(), 0), None, threading.Event())
    assert [key.name for key in found] == [b"07", b"23"] and web.matched_with == "second"
