"""Large and small files share the workers: neither waits for the other to run out."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

from scanner.catalog import Catalog
from scanner.model.files import FileStat, FileState
from scanner.model.hashes import Digests
from scanner.pipeline.book import CatalogBook
from scanner.pipeline.lanes import LARGE_BYTES, Lanes, Waiting

_SMALL, _LARGE = 1000, LARGE_BYTES + 1


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _stat(name: bytes, size: int) -> FileStat:
    return FileStat(name, 1, 1, size, 0, 0, 1, size // 512)


def _waiting(size: int) -> Waiting:
    return Waiting(CatalogBook(None).directory(-1, b"d"), _stat(b"f", size))


def _lanes(workers: int, *sizes: int) -> tuple[Lanes, _Clock]:
    clock = _Clock()
    lanes = Lanes(workers, clock)
    for size in sizes:
        lanes.put(_waiting(size))
    return lanes, clock


def _send(lanes: Lanes, *, walking: bool = False) -> Waiting | None:
    waiting = lanes.take(walking=walking)
    if waiting is not None:
        lanes.sent(waiting)
    return waiting


def test_one_worker_is_kept_for_small_files_while_there_are_any() -> None:
    lanes, _ = _lanes(3, *[_LARGE] * 5, *[_SMALL] * 3)
    sent = [_send(lanes) for _ in range(5)]
    assert [w.large for w in sent if w] == [True, True, False, False, False]
    # None is left: the last worker may have a large one, too, and no more than there are workers.
    assert [w.large for _ in range(3) if (w := _send(lanes))] == [True]


def test_a_worker_is_kept_a_moment_for_small_files_that_the_walk_may_still_meet() -> None:
    lanes, clock = _lanes(2, *[_LARGE] * 3)
    assert _send(lanes, walking=True) is not None
    assert _send(lanes, walking=True) is None
    assert not lanes.ready(walking=True)
    clock.now = 5.0
    assert lanes.ready(walking=True)
    assert _send(lanes, walking=True) is not None


def test_nothing_is_kept_back_when_the_walk_has_ended() -> None:
    lanes, _ = _lanes(2, *[_LARGE] * 2)
    assert _send(lanes) is not None
    assert _send(lanes) is not None


def test_with_one_worker_large_and_small_files_take_turns() -> None:
    lanes, clock = _lanes(1, *[_LARGE] * 3, *[_SMALL] * 3)
    large = _send(lanes)
    assert large is not None
    assert large.large
    clock.now = 4.0
    lanes.back(large)
    for now in (4.0, 7.9):
        clock.now = now
        small = _send(lanes)
        assert small is not None
        assert not small.large
    clock.now = 8.0  # as long as the large one had it
    again = _send(lanes)
    assert again is not None
    assert again.large


def test_the_walk_waits_when_either_lane_is_full() -> None:
    lanes, clock = _lanes(2, _SMALL)
    assert _send(lanes, walking=True) is not None
    while not lanes.full:
        lanes.put(_waiting(_LARGE))
    assert len(lanes) == 1024
    while (waiting := lanes.take(walking=True)) is not None:
        assert waiting.large
        lanes.sent(waiting)
        lanes.put(_waiting(_LARGE))  # the walk is as fast, and meets nothing else
        clock.now += 1.0
    assert clock.now == 2.0  # both workers have one: none is kept for small files that can't come


def test_answers_are_not_kept_in_memory_while_only_large_files_wait(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    root, now = os.open(tmp_path, os.O_RDONLY), time.time_ns()
    with closing(Catalog.open(tmp_path / "catalog.db")) as catalog:
        volume = catalog.volume("v", b"/", b"exact")
        books, lanes = CatalogBook(volume), Lanes(1, _Clock())
        book = books.directory(root, b"d")
        book.ended, book.fingerprint = True, b"print"

        def answered(waiting: Waiting | None) -> None:
            assert waiting is not None
            books.remember(book, waiting.stat, now, FileState.CLEAN, Digests(1, ""))
            book.let_go()
            books.done(book)

        for n in range(100):
            lanes.put(Waiting(book, _stat(b"%d" % n, _SMALL)))
        sent = [_send(lanes) for _ in range(100)]
        lanes.put(Waiting(book, _stat(b"film", _LARGE)))
        before = len(os.listdir("/proc/self/fd"))
        assert book.directory.fd >= 0
        for small in sent:
            answered(small)
        assert book.rows == []
        assert len(os.listdir("/proc/self/fd")) == before
        answered(_send(lanes))
        books.commit(0.0, now=True)
        known = volume.directory(b"d")
        assert known is not None
        assert len(volume.files(known.id)) == 101
        assert known.fingerprint == b"print"
    os.close(root)
