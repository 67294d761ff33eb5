"""The inode that was hashed, and no other, goes into the vault; everything else is put back."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_response import CASE, NOW_NS, FileJournal, House, dies_at

import scanner.response.securing as securing
from scanner.model.errors import LedgerError, VaultError, VaultFullError
from scanner.model.hashes import Digests
from scanner.model.steps import Step, StepState
from scanner.response import Vault

NAMES = [b"a.jpg", b"new\nline.jpg", b"\xff\xfe invalid \x80.jpg", b"-rf \x1b[2J", b"d/e/f.jpg", b"x" * 255]


class SwapAtIntent(FileJournal):
    """Lets somebody act between the hashing and the move."""

    def __init__(self, path: Path, swap: Callable[[], None]) -> None:
        super().__init__(path)
        self._swap = swap

    def begin(self, step: Step) -> None:
        super().begin(step)
        self._swap()


def secure_while(house: House, path: bytes | str, swap: Callable[[], None]) -> securing.SecureResult:
    journal = SwapAtIntent(house.root.parent / "journal", swap)
    with house.request(path) as request:
        return house.securer(journal=journal).secure(request)


@pytest.mark.parametrize("path", NAMES)
def test_a_file_goes_from_its_place_into_the_vault(house: House, path: bytes) -> None:
    full = house.write(path, b"picture")
    result = house.secure(path)
    assert result.secured
    item = house.vault.get(result.quarantine_id)
    assert (item.path, item.volume, item.root) == (path, "web", os.fsencode(house.root))
    assert (item.case_id, item.secured_ns, item.size) == (CASE, NOW_NS, 7)
    assert set(item.digests) == {"md5", "sha1", "sha256"}
    assert house.vault.holds(item)
    assert not os.path.lexists(full)
    assert house.staged() == []
    assert house.journal.outcomes() == [(StepState.DONE, "secured")]


def innocent_file(name: Path) -> None:
    name.rename(name.with_name("evil"))
    name.write_bytes(b"innocent")


def innocent_link(name: Path) -> None:
    name.rename(name.with_name("evil"))
    name.with_name("target").write_bytes(b"target")
    name.symlink_to(name.with_name("target"))


def innocent_directory(name: Path) -> None:
    name.rename(name.with_name("evil"))
    name.mkdir()
    (name / "inside").write_bytes(b"inside")


def innocent_hard_link(name: Path) -> None:
    name.rename(name.with_name("evil"))
    name.with_name("other").write_bytes(b"other")
    name.hardlink_to(name.with_name("other"))


def same_bytes_other_inode(name: Path) -> None:
    name.rename(name.with_name("evil"))
    name.write_bytes(b"picture")


def a_pipe(name: Path) -> None:
    name.rename(name.with_name("evil"))
    os.mkfifo(name)


SWAPS = [innocent_file, innocent_link, innocent_directory, innocent_hard_link, same_bytes_other_inode, a_pipe]


@pytest.mark.parametrize("swap", SWAPS)
def test_what_was_swapped_in_is_put_back_and_never_kept(house: House, swap: Callable[[Path], None]) -> None:
    house.write("d/a.jpg", b"picture")
    name = house.root / "d" / "a.jpg"
    seen: list[os.stat_result] = []

    def swap_and_look() -> None:
        swap(name)
        seen.append(name.lstat())

    result = secure_while(house, "d/a.jpg", swap_and_look)
    assert (result.secured, result.kind) == (False, "raced")
    assert (name.lstat().st_ino, name.lstat().st_mode) == (seen[0].st_ino, seen[0].st_mode)
    assert house.vault.items() == ()
    assert house.staged() == []
    assert house.vault.verify().problems == ()
    assert house.journal.outcomes() == [(StepState.UNDONE, "raced")]


def test_a_displaced_file_whose_name_was_taken_is_kept_under_a_record_and_comes_back_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("a.jpg", b"picture")
    name, looked = house.root / "a.jpg", securing.identity_at

    def take_name_then_look(directory_fd: int, token: bytes) -> tuple[int, int] | None:
        if not name.exists():
            name.write_bytes(b"newcomer")
        return looked(directory_fd, token)

    with monkeypatch.context() as patch:
        patch.setattr(securing, "identity_at", take_name_then_look)
        result = secure_while(house, "a.jpg", lambda: innocent_file(name))
    assert result.kind == "raced"
    assert "kept in staging" in result.text
    assert name.read_bytes() == b"newcomer"
    (step,) = house.journal.open_steps()
    assert house.staged() == [step.id]

    (note,) = house.recover()  # the name is still taken
    assert (note.state, note.secured) == (StepState.INTENT, False)
    assert name.read_bytes() == b"newcomer"
    name.unlink()
    (note,) = house.recover()
    assert note.state is StepState.UNDONE
    assert name.read_bytes() == b"innocent"
    assert house.vault.items() == ()
    assert house.staged() == []


def test_a_name_that_is_gone_is_reported_as_vanished(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    result = secure_while(house, "a.jpg", lambda: os.unlink(full))
    assert (result.secured, result.kind) == (False, "vanished")
    assert house.journal.open_steps() == []


def grow(full: bytes) -> None:
    with open(full, "ab") as f:
        f.write(b"more")


def overwrite(full: bytes) -> None:
    with open(full, "r+b") as f:
        f.write(b"PICTURE")


def shrink(full: bytes) -> None:
    os.truncate(full, 3)


@pytest.mark.parametrize("write", [grow, overwrite, shrink])
def test_a_file_written_to_after_hashing_is_put_back_unkept(
    house: House, write: Callable[[bytes], None]
) -> None:
    full = house.write("a.jpg", b"picture")
    result = secure_while(house, "a.jpg", lambda: write(full))
    assert (result.secured, result.kind) == (False, "changed")
    assert os.path.getsize(full) > 0
    assert house.staged() == []
    assert house.vault.verify().problems == ()
    assert house.vault.usage() == (0, 0)


def test_a_writer_that_kept_the_file_open_cannot_change_the_evidence(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with open(full, "r+b", buffering=0) as writer:
        item = house.vault.get(house.secure("a.jpg").quarantine_id)
        writer.write(b"PICTURE")
    assert house.vault.object_path(item).read_bytes() == b"picture"


def test_a_parent_that_became_a_link_leads_nowhere(house: House) -> None:
    house.write("d/a.jpg", b"picture")
    house.write("other/a.jpg", b"innocent")

    def swap_parent() -> None:
        (house.root / "d").rename(house.root / "moved")
        (house.root / "d").symlink_to(house.root / "other")

    assert secure_while(house, "d/a.jpg", swap_parent).secured
    assert (house.root / "other" / "a.jpg").read_bytes() == b"innocent"
    assert not (house.root / "moved" / "a.jpg").exists()


def test_other_names_of_the_inode_stay_and_are_on_record(house: House) -> None:
    house.write("a.jpg", b"picture")
    (house.root / "b.jpg").hardlink_to(house.root / "a.jpg")
    (house.root / "b.jpg").chmod(0o640)
    item = house.vault.get(house.secure("a.jpg").quarantine_id)
    assert item.attributes.links == 2
    left = (house.root / "b.jpg").stat()
    assert (left.st_nlink, left.st_mode & 0o777) == (1, 0o640)
    assert (house.root / "b.jpg").read_bytes() == b"picture"


class Failing(Vault):
    """Takes the name while the copy is made, if told to, and has no room for it."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def store_copy(self, *args: object, **more: object) -> dict[str, bytes]:
        self.meanwhile()
        raise VaultFullError("the vault is full")


def failing(house: House, meanwhile: Callable[[], object] = lambda: None) -> Vault:
    vault = Failing(house.vault.directory, house.vault._limits, house.vault._clock)
    vault.meanwhile = meanwhile
    return vault


def test_a_file_that_could_not_be_kept_is_at_its_place_again(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    inode = os.stat(full).st_ino
    with house.request("a.jpg") as request:
        result = house.securer(vault=failing(house)).secure(request)
    assert (result.secured, result.kind) == (False, "vault_full")
    assert os.stat(full).st_ino == inode
    assert house.staged() == []


def test_put_back_never_overwrites_and_recovery_finishes_into_the_vault_instead(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    vault = failing(house, lambda: house.write("a.jpg", b"newcomer"))
    with house.request("a.jpg") as request:
        result = house.securer(vault=vault).secure(request)
    assert result.kind == "vault_full"
    assert len(house.staged()) == 1
    (note,) = house.recover()
    assert (note.state, note.secured) == (StepState.DONE, True)
    assert house.vault.holds(house.vault.get(note.quarantine_id))
    with open(full, "rb") as f:
        assert f.read() == b"newcomer"
    assert house.staged() == []


def test_without_a_record_nothing_is_moved(house: House) -> None:
    full = house.write("a.jpg", b"picture")

    def no_ledger() -> None:
        raise LedgerError("the disk is full")

    with pytest.raises(LedgerError):
        secure_while(house, "a.jpg", no_ledger)
    assert os.path.exists(full)
    assert house.staged() == []


def test_a_file_without_an_exact_digest_is_not_moved(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with house.request("a.jpg") as request:
        result = house.securer().secure(replace(request, digests=Digests(7, "image/jpeg")))
    assert result.kind == "no_digest"
    assert os.path.exists(full)


def test_a_descriptor_of_another_file_than_the_hashed_one_moves_nothing(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with house.request("a.jpg") as request:
        other = request.stat._replace(inode=request.stat.inode + 1)
        result = house.securer().secure(replace(request, stat=other))
    assert result.kind == "changed"
    assert os.path.exists(full)
    assert house.journal.open_steps() == []


@pytest.mark.root
def test_a_file_on_another_file_system_than_staging_stays_and_says_so(house: House, tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm on another file system")
    other = House.build(shm / f"hostsweep-test-{os.getpid()}-{tmp_path.name}")
    try:
        house.write("a.jpg", b"picture")
        full = other.write("a.jpg", b"picture")
        with house.request("a.jpg") as here, other.request("a.jpg") as there:
            result = house.securer().secure(replace(there, root_fd=here.root_fd))
        assert (result.secured, result.kind) == (False, "other_filesystem")
        assert os.path.exists(full)
        assert house.journal.open_steps() == []
        assert house.staged() == []
    finally:
        shutil.rmtree(other.root.parent)


def test_a_socket_at_the_name_is_put_back(house: House) -> None:
    house.write("s", b"picture")
    name = house.root / "s"

    def swap() -> None:
        name.rename(house.root / "evil")
        here = os.open(house.root, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(f"/proc/self/fd/{here}/s")
        os.close(here)

    assert secure_while(house, "s", swap).kind == "raced"
    assert name.is_socket()


def test_recovery_never_keeps_another_inode_not_even_one_of_the_same_bytes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("a.jpg", b"picture")
    name, looked = house.root / "a.jpg", securing.identity_at

    def take_name_then_look(directory_fd: int, token: bytes) -> tuple[int, int] | None:
        if not name.exists():
            name.write_bytes(b"newcomer")
        return looked(directory_fd, token)

    with monkeypatch.context() as patch:
        patch.setattr(securing, "identity_at", take_name_then_look)
        secure_while(house, "a.jpg", lambda: same_bytes_other_inode(name))
    (note,) = house.recover()
    assert (note.state, note.secured) == (StepState.INTENT, False)
    assert house.vault.items() == ()
    assert house.staged() == [note.step_id]


def test_a_missing_staging_folder_leaves_the_step_open_until_it_is_found_again(house: House) -> None:
    house.write("a.jpg", b"picture")
    for point in itertools.count(1):
        assert dies_at(point, lambda: house.secure("a.jpg")), "it never died with the file in staging"
        if house.staged():
            break
        house.recover()
    staging, away = house.root / ".hostsweep-staging", house.root / "renamed-by-a-customer"
    staging.rename(away)
    (note,) = house.recover()
    assert note.state is StepState.INTENT, "the file may lie in the folder that is gone"
    away.rename(staging)
    (note,) = house.recover()
    assert note.state is StepState.UNDONE
    assert (house.root / "a.jpg").read_bytes() == b"picture"


class StoresAndFails(Vault):
    """The object has its name when the disk breaks; whether it then takes a removal is another matter."""

    broken = False

    def store_copy(self, *args: object, **more: object) -> dict[str, bytes]:
        super().store_copy(*args, **more)  # type: ignore[arg-type]
        raise VaultError("the directory can't be synced")

    def discard(self, *args: object) -> None:
        if self.broken:
            raise VaultError("the vault can't be written")
        super().discard(*args)  # type: ignore[arg-type]


def test_an_object_of_which_only_the_error_was_told_is_discarded(house: House) -> None:
    house.write("a.jpg", b"picture")
    vault = StoresAndFails(house.vault.directory, house.vault._limits, house.vault._clock)
    with house.request("a.jpg") as request:
        assert house.securer(vault=vault).secure(request).kind == "io"
    assert (house.root / "a.jpg").exists()
    assert house.vault.verify().problems == ()


def test_while_a_failed_copy_can_not_be_discarded_the_original_stays_staged_under_its_step(
    house: House,
) -> None:
    house.write("a.jpg", b"picture")
    vault = StoresAndFails(house.vault.directory, house.vault._limits, house.vault._clock)
    vault.broken = True
    with house.request("a.jpg") as request:
        result = house.securer(vault=vault).secure(request)
    (step,) = house.journal.open_steps()
    assert not result.secured
    assert "kept in staging" in result.text
    assert house.staged() == [step.id]
    house.recover()
    assert (house.root / "a.jpg").read_bytes() == b"picture"
    assert house.staged() == []
    assert house.vault.verify().problems == ()
