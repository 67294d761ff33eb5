"""A number of an inode is given to another file once it is free: that file is never taken for the old one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes_response import FileJournal, House

from scanner.model.errors import LedgerError
from scanner.model.steps import Step, StepState
from scanner.response import SecuringPolicy
from scanner.system import identity
from scanner.system.identity import differ, mark_at, mark_of
from scanner.system.inodeflags import IMMUTABLE, forbidding_flags, set_forbidding_flags


class DiesAfterIntent(FileJournal):
    """The step is on record, and then nothing more happens."""

    def begin(self, step: Step) -> None:
        super().begin(step)
        raise LedgerError("dead")


def begin_only(house: House, policy: SecuringPolicy | None = None) -> None:
    journal = DiesAfterIntent(house.root.parent / "journal")
    with pytest.raises(LedgerError, match="dead"):
        house.secure("a.jpg", journal=journal, policy=policy or SecuringPolicy())


def replace_by_same_number(path: Path, content: bytes = b"newcomer") -> None:
    """Remove a file and make a new one that gets its number."""
    number = path.stat().st_ino
    path.unlink()
    for n in range(50):
        path.write_bytes(content)
        if path.stat().st_ino == number:
            return
        path.rename(path.with_name(f"other-{n}"))
    pytest.skip("this file system gives no inode number again soon")


def mark(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return mark_of(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("handles", [True, False], ids=["handle", "generation"])
def test_a_new_file_with_the_old_number_has_another_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handles: bool
) -> None:
    if not handles:
        monkeypatch.setattr(identity, "_handle", lambda fd, name, flags: "")
    path = tmp_path / "a"
    path.write_bytes(b"old")
    old = mark(path)
    if not old:
        pytest.skip("this file system has neither handles nor generations")
    directory = os.open(tmp_path, os.O_RDONLY)
    assert mark_at(directory, b"a") == old == mark(path)
    replace_by_same_number(path)
    assert differ(old, mark(path))
    assert differ(old, mark_at(directory, b"a"))
    os.close(directory)


def test_marks_of_different_sorts_or_none_leave_it_open() -> None:
    assert differ("h1:00", "h1:01")
    assert not differ("h1:00", "h1:00")
    assert not differ("h1:00", "g7")
    assert not differ("", "h1:00")
    assert not differ("", "")


def test_the_mark_is_on_record_in_step_and_manifest(house: House) -> None:
    house.write("a.jpg", b"picture")
    st, known = (house.root / "a.jpg").stat(), mark(house.root / "a.jpg")
    begin_only(house)
    (step,) = house.journal.open_steps()
    assert (step.details["inode"], step.details["mark"]) == (st.st_ino, known)
    item = house.vault.get(house.secure("a.jpg").quarantine_id)
    assert (item.inode, item.mark) == (st.st_ino, known)


def test_recovery_does_not_take_a_new_file_of_the_same_number_for_the_one_that_was_meant(
    house: House,
) -> None:
    house.write("a.jpg", b"picture")
    begin_only(house)
    (house.root / ".hostsweep-staging").rmdir()
    replace_by_same_number(house.root / "a.jpg")
    (note,) = house.recover()
    assert note.state is StepState.INTENT, "the file that was meant may lie in the folder that is gone"
    assert (house.root / "a.jpg").read_bytes() == b"newcomer"


@pytest.mark.root
def test_recovery_sets_no_flag_on_a_new_file_of_the_same_number(house: House) -> None:
    path = house.root / "a.jpg"
    house.write("a.jpg", b"picture")
    fd = os.open(path, os.O_RDONLY)
    try:
        set_forbidding_flags(fd, IMMUTABLE)
    except OSError:
        pytest.skip("this file system has no immutable flag")
    finally:
        os.close(fd)
    begin_only(house, SecuringPolicy(clear_immutable=True))
    fd = os.open(path, os.O_RDONLY)
    set_forbidding_flags(fd, 0)  # as the step does next
    os.close(fd)
    replace_by_same_number(path)
    (note,) = house.recover()
    assert note.state is StepState.UNDONE
    assert "could not be set again" in note.text
    fd = os.open(path, os.O_RDONLY)
    assert forbidding_flags(fd) == 0
    os.close(fd)


def test_a_new_file_of_the_same_number_and_bytes_in_staging_never_enters_the_vault(house: House) -> None:
    house.write("a.jpg", b"picture")
    begin_only(house)
    (step,) = house.journal.open_steps()
    replace_by_same_number(house.root / "a.jpg", b"picture")
    (house.root / "a.jpg").rename(house.root / ".hostsweep-staging" / step.id)
    house.write("a.jpg", b"its place is taken")
    (note,) = house.recover()
    assert (note.state, note.secured) == (StepState.INTENT, False)
    assert house.vault.items() == ()
    (house.root / "a.jpg").unlink()
    (note,) = house.recover()
    assert note.state is StepState.UNDONE
    assert (house.root / "a.jpg").read_bytes() == b"picture"
