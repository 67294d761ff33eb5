"""When a directory counts as moved: not while it may still be where it was, and not across devices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.model.files import FormerDirectory, KnownDirectory
from scanner.sources.moved import Moves, keeps_inodes
from scanner.sources.policy import WalkPolicy
from tests.walked import Catalog

KNOWN = KnownDirectory(1, b"f", 1, 0, 1, hot=False)


class Formerly(Catalog):
    """Whatever is asked for was at `a/b`."""

    def formerly(self, inode: int) -> FormerDirectory | None:
        return FormerDirectory(KNOWN, b"a/b")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def moves(root: Path) -> Iterator[Moves]:
    fd = os.open(root, os.O_RDONLY)
    if not keeps_inodes(fd):
        pytest.skip("the file system does not keep inodes")
    yield Moves(fd, WalkPolicy(), Formerly())
    os.close(fd)


def inode(moves: Moves, path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return moves.inode(fd, moves.subvolume(fd))
    finally:
        os.close(fd)


def test_a_directory_that_is_still_where_it_was_has_not_moved(root: Path, moves: Moves) -> None:
    number = inode(moves, root / "a/b")
    assert number == (root / "a/b").stat().st_ino
    assert moves.former(number) is None
    assert moves.former(0) is None


def test_one_whose_place_is_empty_or_taken_by_another_has(root: Path, moves: Moves) -> None:
    number = inode(moves, root / "a/b")
    os.rename(root / "a/b", root / "c")
    assert moves.former(number) == KNOWN
    (root / "a/b").mkdir()
    assert moves.former(number) == KNOWN
    (root / "a/b").rmdir()
    (root / "a/b").touch()
    assert moves.former(number) == KNOWN


def test_a_link_that_leads_from_the_old_place_to_the_new_one_is_not_followed(
    root: Path, moves: Moves
) -> None:
    number = inode(moves, root / "a/b")
    os.rename(root / "a", root / "new")
    (root / "a").symlink_to("new")
    assert moves.former(number) == KNOWN


def test_a_directory_on_another_device_has_no_inode_to_go_by(moves: Moves, root: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == root.stat().st_dev:
        pytest.skip("no other file system is at hand")
    assert inode(moves, other) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter any directory")
def test_a_place_that_can_t_be_looked_at_may_still_have_it(root: Path, moves: Moves) -> None:
    number = inode(moves, root / "a/b")
    os.rename(root / "a/b", root / "c")
    (root / "a").chmod(0)
    try:
        assert moves.former(number) is None
    finally:
        (root / "a").chmod(0o700)


def test_file_systems_of_a_network_or_in_user_space_are_not_trusted() -> None:
    fd = os.open("/proc", os.O_RDONLY)
    try:
        assert not keeps_inodes(fd)
        assert Moves(fd, WalkPolicy(), Formerly()).inode(fd, b"") == 0
    finally:
        os.close(fd)
