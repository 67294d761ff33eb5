"""The disk is full, or fails, in the middle of securing or restoring: the original is where it was."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes_response import House

from scanner.model.errors import VaultError
from scanner.response import VaultLimits

CONTENT = os.urandom(1 << 20)


def in_child(work: Callable[[], bool]) -> bool:
    """Run work in a child of its own, whose limits are its own; returns what it returned."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return code == 0


@pytest.mark.parametrize("limit", [100, 1 << 19])
def test_a_copy_that_is_cut_short_leaves_the_original_and_nothing_else(tmp_path: Path, limit: int) -> None:
    house = House.build(tmp_path)
    full = house.write("a.jpg", CONTENT)
    inode = os.stat(full).st_ino

    def secure_with_little_room() -> bool:
        with house.request("a.jpg") as request:
            step_room = 4096  # the journal must be written still
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(limit, step_room),) * 2)
            result = house.securer().secure(request)
        return (result.secured, result.kind) == (False, "vault_full")

    assert in_child(secure_with_little_room)
    assert os.stat(full).st_ino == inode
    assert house.staged() == []
    assert house.vault.verify().problems == ()
    assert house.vault.items() == ()
    assert house.journal.open_steps() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = tmp_path / "small"
    path.mkdir()
    if libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, b"size=256k,mode=0700") != 0:
        pytest.skip(f"this machine lets nobody mount: {os.strerror(ctypes.get_errno())}")
    yield path
    libc.umount2(os.fsencode(path), 2)  # MNT_DETACH: also when a failed test left a file open


@pytest.mark.root
def test_a_disk_that_fills_up_during_the_copy_leaves_the_original(tmp_path: Path, small_disk: Path) -> None:
    house = House.build(tmp_path / "web", vault=small_disk / "vault", limits=NO_CHECK)
    full = house.write("a.jpg", CONTENT)
    result = house.secure("a.jpg")
    assert (result.secured, result.kind) == (False, "vault_full")
    with open(full, "rb") as f:
        assert f.read() == CONTENT
    assert house.vault.verify().problems == ()
    assert house.staged() == []
    house.write("b.jpg", b"small")
    assert house.secure("b.jpg").secured, "the failed copy gave its room back"


@pytest.mark.root
def test_a_volume_without_room_refuses_the_restore_and_keeps_the_item(
    tmp_path: Path, small_disk: Path
) -> None:
    house = House.build(tmp_path)
    house.write("a.jpg", CONTENT)
    item_id = house.secure("a.jpg").quarantine_id
    with pytest.raises(VaultError):
        house.restorer().restore(item_id, small_disk / "a.jpg")
    assert os.listdir(small_disk) == []
    assert house.vault.holds(house.vault.get(item_id))


# A negative reserve: the check beforehand finds room, the disk then has none.
NO_CHECK = VaultLimits(reserve=-(1 << 40), reserve_inodes=0)
