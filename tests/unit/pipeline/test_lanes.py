"""Large and small files share the workers: neither waits for the other to run out."""

from __future__ import annotations

from scanner.model.files import FileStat
from scanner.pipeline.book import CatalogBook
from scanner.pipeline.lanes import LARGE_BYTES, Lanes, Waiting

_SMALL, _LARGE = 1000, LARGE_BYTES + 1


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _waiting(size: int, directory: bytes = b"d") -> Waiting:
    book = CatalogBook(None).directory(-1, directory)
    return Waiting(book, FileStat(b"f", 1, 1, size, 0, 0, 1, size // 512))


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


def test_a_directory_is_active_only_while_a_file_of_it_may_be_opened() -> None:
    lanes = Lanes(2, _Clock())
    books = CatalogBook(None)
    book = books.directory(-1, b"d")
    stat = FileStat(b"f", 1, 1, _LARGE, 0, 0, 1, 1)
    lanes.put(Waiting(book, stat))
    assert (book.waiting, book.active) == (1, 0)
    taken = _send(lanes)
    assert taken is not None
    assert (book.waiting, book.active) == (1, 1)
    book.let_go()
    assert (book.waiting, book.active) == (0, 0)
