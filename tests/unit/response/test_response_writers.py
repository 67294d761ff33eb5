"""A file that somebody has open for writing as it is secured: nothing of it is lost, nothing false kept."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable

import pytest
from fakes_response import House

from scanner.model.steps import StepState
from scanner.response import Item, SecureResult, Vault


class Meanwhile(Vault):
    """Lets somebody act after the copy was verified and its manifest written, before the original goes."""

    act: Callable[[], object] = staticmethod(lambda: None)

    def keep(self, item: Item) -> None:
        super().keep(item)
        self.act()


def secure_while(house: House, act: Callable[[], object]) -> SecureResult:
    vault = Meanwhile(house.vault.directory, house.vault._limits, house.vault._clock)
    vault.act = act
    return house.secure("a.jpg", vault=vault)


def test_a_write_after_the_copy_puts_the_file_back_and_discards_the_copy(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with open(full, "r+b", buffering=0) as writer:
        result = secure_while(house, lambda: writer.write(b"PICTURE"))
    assert (result.secured, result.kind) == (False, "changed")
    assert "open for writing" in result.text
    with open(full, "rb") as f:
        assert f.read() == b"PICTURE"
    assert house.vault.items() == ()
    assert house.vault.verify().problems == ()
    assert house.staged() == []
    assert house.journal.outcomes() == [(StepState.UNDONE, "changed")]


def test_a_store_into_a_mapping_whose_page_was_dirty_before_is_seen(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with open(full, "r+b") as f, mmap.mmap(f.fileno(), 0) as mapping:
        before = os.stat(full).st_ctime_ns
        mapping[0:1] = b"p"  # the page is dirty from here on
        if os.stat(full).st_ctime_ns == before:
            pytest.skip("this file system (tmpfs) shows no stores into mappings at all")

        def store() -> None:
            mapping[0:1] = b"P"

        result = secure_while(house, store)
    assert result.kind == "changed"
    with open(full, "rb") as f:
        assert f.read() == b"Picture"
    assert house.vault.items() == ()


def test_whoever_only_touches_the_file_can_not_keep_it_out_of_the_vault(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with open(full, "r+b") as writer:
        result = secure_while(house, lambda: os.utime(writer.fileno(), ns=(5, 5)))
    assert result.secured
    assert house.vault.holds(house.vault.get(result.quarantine_id))
    assert not os.path.exists(full)


def test_a_changed_file_whose_place_was_taken_stays_on_record_with_its_evidence(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with open(full, "r+b", buffering=0) as writer:

        def write_and_take() -> None:
            writer.write(b"PICTURE")
            house.write("a.jpg", b"newcomer")

        result = secure_while(house, write_and_take)
    assert result.kind == "changed"
    assert "kept in staging" in result.text
    (note,) = house.recover()
    assert (note.state, note.secured) == (StepState.INTENT, True)
    assert len(house.vault.items()) == 1
    os.rename(full, full + b".away")
    check_recovery_puts_back(house, full)


def check_recovery_puts_back(house: House, full: bytes) -> None:
    """What was written meanwhile is at its place, and nothing is in the vault."""
    (note,) = house.recover()
    assert (note.state, note.secured) == (StepState.UNDONE, False)
    with open(full, "rb") as f:
        assert f.read() == b"PICTURE"
    assert house.vault.items() == ()
    assert house.vault.verify().problems == ()


class Dead(BaseException):
    pass


@pytest.mark.parametrize("back_already", [False, True], ids=["staged", "put_back"])
def test_recovery_puts_back_what_was_written_to_after_its_manifest(house: House, back_already: bool) -> None:
    full = house.write("a.jpg", b"picture")
    with open(full, "r+b", buffering=0) as writer:

        def write_and_die() -> None:
            writer.write(b"PICTURE")
            raise Dead

        with pytest.raises(Dead):
            secure_while(house, write_and_die)
    (step,) = house.journal.open_steps()
    if back_already:  # killed between putting back and discarding
        os.rename(house.root / ".hostsweep-staging" / step.id, full)
    check_recovery_puts_back(house, full)
    assert house.staged() == []


def test_a_writer_is_told_of_and_none_is_not(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    with open(full, "r+b"):
        assert "open for writing" in house.secure("a.jpg").text
    house.write("a.jpg", b"picture")
    assert house.secure("a.jpg").text == ""


def test_the_access_time_from_before_we_read_is_the_one_on_record(house: House) -> None:
    full = house.write("a.jpg", b"picture")
    os.utime(full, ns=(1_500_000_000_000_000_003, 1_600_000_000_000_000_000))
    with house.request("a.jpg") as request:
        os.utime(full, ns=(1_700_000_000_000_000_000, 1_600_000_000_000_000_000))  # as our reading may do
        from dataclasses import replace

        result = house.securer().secure(replace(request, atime_ns=1_500_000_000_000_000_003))
    item = house.vault.get(result.quarantine_id)
    assert item.attributes.atime_ns == 1_500_000_000_000_000_003
