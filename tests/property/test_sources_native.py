"""The extension lists a directory as Python does, whatever lies in it."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.sources import WalkPolicy, walk
from scanner.sources.listed import Block, native_reader
from scanner.sources.listing import BLOCK_ENTRIES, Lister

native = pytest.mark.skipif(
    native_reader() is None, reason="the extension was not built: no C compiler or no headers of Python"
)
NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
KINDS = st.sampled_from(["file", "file", "file", "directory", "link", "fifo", "socket"])


def make(directory: Path, name: bytes, kind: str, size: int) -> None:
    path = os.fsencode(directory) + b"/" + name
    if kind == "file":
        fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        os.ftruncate(fd, size)
        os.close(fd)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "link":
        os.symlink(b"nowhere", path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as s, tempfile.TemporaryDirectory() as short:
            s.bind(f"{short}/s")
            os.rename(f"{short}/s", path)


def told(block: Block) -> tuple[object, ...]:
    stats = [
        (s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_nlink, s.st_blocks, s.st_dev)
        for s in block.stats
    ]
    rest = (block.files, list(block.directories), dict(block.others), block.unreadable)
    return (block.raw_names(), block.records(), stats, rest, block.failure, block.last, block.sound)


def both(path: Path, *, by_inode: bool = False) -> tuple[Block, Block]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listers = [Lister(native=native, by_inode=by_inode) for native in (True, False)]
        return listers[0].first_block(fd), listers[1].first_block(fd)
    finally:
        os.close(fd)


@native
@given(entries=st.dictionaries(NAMES, st.tuples(KINDS, st.integers(0, 1 << 40)), max_size=12))
def test_both_ways_of_listing_say_the_same(entries: dict[bytes, tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        for name, (kind, size) in entries.items():
            make(Path(made), name, kind, size)
        ordered, plainly = both(Path(made), by_inode=True)
        assert told(ordered) == told(plainly)
        fast, plain = both(Path(made))
        assert told(fast) == told(plain)
        assert ordered.records() == fast.records()
        by_inode = sorted(fast.directories, key=lambda name: os.lstat(os.path.join(made, name)).st_ino)
        assert list(ordered.directories) == by_inode
        wanted = [number % 2 == 0 for number in range(fast.files)]
        assert fast.keep(iter(wanted)) == plain.keep(iter(wanted)) == len(wanted) // 2
        assert told(fast) == told(plain)


@native
@pytest.mark.parametrize("by_inode", [False, True])
@settings(max_examples=20)
@given(
    below=st.dictionaries(
        st.lists(st.integers(0, 12).map(b"%d".__mod__), max_size=2).map(tuple),
        st.integers(0, 3),
        max_size=30,
    )
)
def test_both_ways_of_walking_say_the_same(by_inode: bool, below: dict[tuple[bytes, ...], int]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        for path, files in below.items():
            directory = os.path.join(os.fsencode(made), *path)
            os.makedirs(directory, exist_ok=True)
            for number in range(files):
                make(Path(os.fsdecode(directory)), b"f%d" % number, "file", number)
        fd = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        policies = [WalkPolicy(native=native, by_inode=by_inode) for native in (True, False)]
        fast, plain = (list(walk(fd, policy, None, lambda: 1 << 62)) for policy in policies)
        os.close(fd)
        assert fast == plain


@native
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_block_ends_where_pythons_does(tmp_path: Path, more: int) -> None:
    for number in range(BLOCK_ENTRIES + more):
        (tmp_path / f"{number}").touch()
    fast, plain = both(tmp_path)
    assert told(fast) == told(plain)
    assert fast.last == (more < 0)


@native
def test_times_before_1970_and_after_2106_are_kept(tmp_path: Path) -> None:
    for number, seconds in enumerate((-1, -(1 << 31), 1 << 33)):
        (tmp_path / f"{number}").touch()
        os.utime(tmp_path / f"{number}", ns=(seconds * 10**9 + 5, seconds * 10**9 + 5))
    fast, plain = both(tmp_path)
    assert told(fast) == told(plain)


@native
def test_what_is_no_open_directory_fails_alike(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    fast, plain = Lister(native=True).first_block(fd), Lister(native=False).first_block(fd)
    os.close(fd)
    assert (fast.failure, fast.sound) == (plain.failure, plain.sound) == ("link_race", False)
    closed = Lister(native=True).first_block(fd)
    assert closed.failure == "io" and told(closed) == told(Lister(native=False).first_block(fd))
