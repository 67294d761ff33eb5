"""What is restored is what was taken, or nothing is restored and the place is as it was."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes_response import FileJournal, House, memory_directory

from scanner.model.errors import VaultError
from scanner.model.steps import Step, StepState
from scanner.response import ItemState

NAMES = [b"a.jpg", b"new\nline.jpg", b"\xff\xfe invalid \x80.jpg", b"d/e/f.jpg"]
# An access list, version 2: owner rw, user 54321 r, group r, mask r, others none (linux/posix_acl_xattr.h).
_NOBODY = 0xFFFFFFFF
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, _NOBODY), (2, 4, 54321), (4, 4, _NOBODY), (16, 4, _NOBODY), (32, 0, _NOBODY))
)


def secured(house: House, path: bytes | str, content: bytes = b"picture") -> str:
    if not os.path.exists(os.path.join(os.fsencode(house.root), os.fsencode(path))):
        house.write(path, content)
    return house.secure(path).quarantine_id


@pytest.mark.parametrize("path", NAMES)
def test_content_mode_and_times_come_back_to_the_nanosecond(house: House, path: bytes) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    full = house.write(path, content)
    os.chmod(full, 0o2640)
    os.utime(full, ns=(1_600_000_000_000_000_001, 1_500_000_000_999_999_999))
    before = os.stat(full)
    item_id = secured(house, path)

    assert house.restorer().restore(item_id, None) == full

    after = os.stat(full)
    assert (
        after.st_mode,
        after.st_uid,
        after.st_gid,
        after.st_size,
        after.st_mtime_ns,
        after.st_atime_ns,
    ) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        before.st_size,
        before.st_mtime_ns,
        before.st_atime_ns,
    )
    with open(full, "rb") as f:
        assert f.read() == content
    item = house.vault.get(item_id)
    assert (item.state, item.restored_to) == (ItemState.RESTORED, full)
    assert house.vault.holds(item)
    assert house.staged() == []
    assert house.journal.outcomes()[-1] == (StepState.DONE, "restored")


@pytest.mark.root
def test_owner_set_user_id_attributes_and_access_list_come_back(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    os.chown(full, 12345, 23456)
    try:
        os.setxattr(full, "user.comment", b"\x00\xff raw")
        os.setxattr(full, "trusted.mark", b"1")
        os.setxattr(full, "system.posix_acl_access", ACL)
    except OSError:
        pytest.skip("the temporary directory's file system keeps no extended attributes or access lists")
    os.chmod(full, os.stat(full).st_mode | stat.S_ISUID)
    before = os.stat(full)
    house.restorer().restore(secured(house, "a.jpg"), None)
    after = os.stat(full)
    assert (after.st_uid, after.st_gid, after.st_mode) == (12345, 23456, before.st_mode)
    assert os.getxattr(full, "user.comment") == b"\x00\xff raw"
    assert os.getxattr(full, "trusted.mark") == b"1"
    assert os.getxattr(full, "system.posix_acl_access") == ACL


@pytest.mark.root
def test_set_user_id_is_not_given_to_a_file_whose_owner_could_not_be_set() -> None:
    with memory_directory() as base:
        house = House.build(base)
        full = house.write("a.jpg", b"picture")
        os.chown(full, 12345, 12345)
        os.chmod(full, 0o6755)
        os.chown(house.root, 23456, 23456)
        item_id = secured(house, "a.jpg")
        for path in (base, *base.rglob("*")):
            os.chown(path, 23456, 23456)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setresgid(23456, 23456, 23456)
                os.setresuid(23456, 23456, 23456)
                house.restorer().restore(item_id, None)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        st = os.stat(full)
        assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (23456, 0o755)
        assert house.journal.outcomes()[-1] == (StepState.DONE, "restored; could not be set: owner")


def taken(house: House) -> None:
    house.write("d/a.jpg", b"newcomer")


def taken_by_dangling_link(house: House) -> None:
    (house.root / "d" / "a.jpg").symlink_to(house.root.parent / "outside")


def parent_gone(house: House) -> None:
    (house.root / "d").rmdir()


def parent_is_link(house: House) -> None:
    (house.root.parent / "outside").mkdir()
    (house.root / "d").rmdir()
    (house.root / "d").symlink_to(house.root.parent / "outside")


def root_is_link(house: House) -> None:
    house.root.rename(house.root.parent / "moved")
    (house.root.parent / "outside" / "d").mkdir(parents=True)
    house.root.symlink_to(house.root.parent / "outside")


@pytest.mark.parametrize("spoil", [taken, taken_by_dangling_link, parent_gone, parent_is_link, root_is_link])
def test_a_place_that_is_taken_gone_or_a_link_is_refused_with_a_remedy(
    house: House, spoil: Callable[[House], None]
) -> None:
    item_id = secured(house, "d/a.jpg")
    spoil(house)
    before = sorted(str(p) for p in house.root.parent.rglob("*"))
    with pytest.raises(VaultError) as e:
        house.restorer().restore(item_id, None)
    assert "--to" in e.value.remedy
    assert sorted(str(p) for p in house.root.parent.rglob("*")) == before
    assert house.vault.get(item_id).state is ItemState.HELD
    assert house.journal.open_steps() == []


@pytest.mark.root
def test_a_directory_that_belongs_to_somebody_else_now_is_refused(house: House) -> None:
    item_id = secured(house, "d/a.jpg")
    os.chown(house.root / "d", 12345, 12345)
    with pytest.raises(VaultError, match="12345"):
        house.restorer().restore(item_id, None)
    assert os.listdir(house.root / "d") == []


def test_a_restore_elsewhere_takes_a_free_name_and_nothing_else(house: House, tmp_path: Path) -> None:
    item_id = secured(house, "a.jpg")
    target = tmp_path / "shown" / "evidence.jpg"
    with pytest.raises(VaultError, match="gone"):
        house.restorer().restore(item_id, target)
    target.parent.mkdir()
    assert house.restorer().restore(item_id, target) == os.fsencode(target)
    assert target.read_bytes() == b"picture"
    with pytest.raises(VaultError, match="taken"):
        house.restorer().restore(item_id, target)
    assert os.listdir(target.parent) == ["evidence.jpg"]


def test_a_damaged_copy_is_never_restored(house: House) -> None:
    item_id = secured(house, "a.jpg")
    house.vault.object_path(house.vault.get(item_id)).write_bytes(b"pictur3")
    with pytest.raises(VaultError, match="damaged"):
        house.restorer().restore(item_id, None)
    assert not (house.root / "a.jpg").exists()
    assert house.staged() == []
    assert house.journal.outcomes()[-1][0] is StepState.UNDONE


def test_purged_content_can_not_be_restored(house: House) -> None:
    item_id = secured(house, "a.jpg")
    house.vault.purge(lambda _: True, item_id=item_id)
    with pytest.raises(VaultError, match="purged"):
        house.restorer().restore(item_id, None)


def test_a_name_that_is_taken_in_the_last_moment_is_not_overwritten(house: House) -> None:
    item_id = secured(house, "d/a.jpg")

    class Taker(FileJournal):
        def begin(self, step: Step) -> None:
            super().begin(step)
            house.write("d/a.jpg", b"newcomer")

    house.journal = Taker(house.root.parent / "journal")
    with pytest.raises(VaultError, match="taken"):
        house.restorer().restore(item_id, None)
    assert (house.root / "d" / "a.jpg").read_bytes() == b"newcomer"
    assert house.staged() == []
    assert house.journal.open_steps() == []


def test_a_parent_that_is_swapped_in_the_last_moment_leads_nowhere(house: House) -> None:
    item_id = secured(house, "d/a.jpg")
    outside = house.root.parent / "outside"
    outside.mkdir()

    class Swapper(FileJournal):
        def begin(self, step: Step) -> None:
            super().begin(step)
            (house.root / "d").rename(house.root / "moved")
            (house.root / "d").symlink_to(outside)

    house.journal = Swapper(house.root.parent / "journal")
    house.restorer().restore(item_id, None)
    assert os.listdir(outside) == []
    assert (house.root / "moved" / "a.jpg").read_bytes() == b"picture"
