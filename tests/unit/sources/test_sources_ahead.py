"""Directories that are listed before the walk comes to them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scanner.model.files import DirectoryFailed, DirectoryMet
from scanner.sources import WalkPolicy, walk
from scanner.sources import ahead as module
from scanner.sources.ahead import Ahead, Listed, ahead
from scanner.sources.listing import Level

NOW = 1_700_000_000 * 10**9
NAMES = [f"d{number:02d}" for number in range(30)]

needs_threads = pytest.mark.skipif(ahead(lambda: NOW) is None, reason="no extension, or no openat2(2)")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Directories with a file each."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"x")
    return tmp_path


@pytest.fixture
def level(root: Path) -> Iterator[Level]:
    level = Level(os.open(root, os.O_RDONLY | os.O_DIRECTORY), b"")
    level.visit(NAMES)
    yield level
    level.close()


def take_all(threads: Ahead, level: Level, wanted: Callable[[str], bool] = lambda _: True) -> list[Listed]:
    """Visit every subdirectory, late enough for the threads; those that were listed."""
    found = []
    level.leaves = 8
    while name := level.take():
        if listed := threads.take(level, os.fsencode(name)):
            found.append(listed)
            os.close(listed.fd)
        threads.look(level, wanted)
        time.sleep(0.002)
    return found


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@needs_threads
def test_siblings_are_listed_ahead_with_the_time_before_it(level: Level) -> None:
    threads = ahead(lambda: NOW)
    assert threads is not None
    found = take_all(threads, level)
    names = {os.fsdecode(listed.block.raw_names()) for listed in found}
    assert len(found) > len(NAMES) // 2 and names < set(NAMES)
    assert {listed.asked_ns for listed in found} == {NOW}


@needs_threads
def test_what_is_not_to_be_walked_is_not_listed(level: Level) -> None:
    threads = ahead(lambda: NOW)
    assert threads is not None
    found = take_all(threads, level, lambda name: name > "d20")
    assert {bool(listed.block.raw_names() > b"d20") for listed in found} == {True}


@needs_threads
def test_what_was_listed_long_ago_is_not_taken(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OLD_SECONDS", 0)
    threads = ahead(lambda: NOW)
    before = open_descriptors()
    assert threads is not None and take_all(threads, level) == []
    threads.close()
    assert open_descriptors() == before


@needs_threads
def test_another_directorys_subdirectory_of_the_same_name_is_not_taken(level: Level) -> None:
    threads = ahead(lambda: NOW)
    assert threads is not None
    level.leaves = 8
    level.take()
    threads.look(level, lambda _: True)
    other = Level(-1, b"")
    other.visit(NAMES)
    assert threads.take(other, b"d01") is None


def test_a_link_in_the_place_of_what_comes_next_is_not_followed(root: Path) -> None:
    (root / "outside").mkdir()
    (root / "outside" / "secret").touch()
    volume = root / "volume"
    volume.mkdir()
    for name in NAMES:
        (volume / name).mkdir()
    fd = os.open(volume, os.O_RDONLY | os.O_DIRECTORY)
    events = []
    with closing(walk(fd, WalkPolicy(), None, time.time_ns)) as walking:
        events += [next(walking), next(walking)]
        entered = os.fsdecode(events[1].path) if isinstance(events[1], DirectoryMet) else ""
        for name in set(NAMES) - {entered}:
            (volume / name).rmdir()
            (volume / name).symlink_to(root / "outside")
        events += walking
    os.close(fd)
    assert not [event for event in events if isinstance(event, DirectoryMet) and event.changed]
    kinds = [event.kind for event in events if isinstance(event, DirectoryFailed)]
    assert kinds == ["link_race"] * (len(NAMES) - 1)


def test_a_walk_that_is_broken_off_keeps_no_descriptor(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    before = open_descriptors()
    with closing(walk(fd, WalkPolicy(), None, time.time_ns)) as walking:
        for _ in range(6):
            next(walking)
    until = time.monotonic() + 5  # one may be listed at this moment, and is closed after it
    while open_descriptors() > before and time.monotonic() < until:
        time.sleep(0.001)
    assert open_descriptors() == before
    os.close(fd)
