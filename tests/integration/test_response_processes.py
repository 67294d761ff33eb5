"""Several processes use one vault at once."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any

import pytest
from fakes_response import House

from scanner.response import Item, Vault

GRACE = 0.3  # seconds in which a purge that does not wait would long be done


class Pausing(Vault):
    """Stops between the object and its manifest until another process had time to act."""

    done = -1

    def keep(self, item):  # type: ignore[no-untyped-def]
        select.select([self.done], [], [], GRACE)
        super().keep(item)


def test_a_purge_never_takes_an_object_that_is_just_being_stored_again(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    house.write("old.jpg", b"same")
    old = house.secure("old.jpg").quarantine_id
    house.write("new.jpg", b"same")
    told, tell = os.pipe()
    stored, store = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.read(stored, 1)
            house.vault.purge(lambda item: item.id == old, item_id=old)
            os.write(tell, b"x")
            status = 0
        finally:
            os._exit(status)

    class Telling(Pausing):
        def store_copy(self, *args, **more):  # type: ignore[no-untyped-def]
            digests = super().store_copy(*args, **more)
            os.write(store, b"x")
            return digests

    vault = Telling(house.vault.directory, house.vault._limits, house.vault._clock)
    vault.done = told
    with house.request("new.jpg") as request:
        result = house.securer(vault=vault).secure(request)
    assert os.waitpid(child, 0)[1] == 0
    for fd in (told, tell, stored, store):
        os.close(fd)
    assert result.secured
    assert house.vault.holds(house.vault.get(result.quarantine_id))
    assert house.vault.verify().sound


class _Dead(BaseException):
    """Ends a securing where a kill would, without an undo."""


class _DyingVault(Vault):
    """Dies with the file in staging: before its copy is made, or after its manifest is written."""

    after_manifest = False

    def store_copy(self, *args: Any, **more: Any) -> dict[str, bytes]:
        if not self.after_manifest:
            raise _Dead
        return super().store_copy(*args, **more)

    def keep(self, item: Item) -> None:
        super().keep(item)
        raise _Dead


def test_two_recoveries_at_once_end_each_step_once(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    for n in range(8):
        house.write(f"{n}.jpg", b"picture %d" % n)
        vault = _DyingVault(house.vault.directory, house.vault._limits, house.vault._clock)
        vault.after_manifest = bool(n % 2)
        with pytest.raises(_Dead):
            house.secure(f"{n}.jpg", vault=vault)
    assert len(house.staged()) == len(house.journal.open_steps()) == 8
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                house.recover()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(c, 0)[1] for c in children] == [0, 0]  # finishing a step twice is an error
    assert house.journal.open_steps() == []
    assert sorted(p.name for p in house.root.glob("*.jpg")) == ["0.jpg", "2.jpg", "4.jpg", "6.jpg"]
    assert {i.path for i in house.vault.items()} == {b"1.jpg", b"3.jpg", b"5.jpg", b"7.jpg"}
    assert house.staged() == []
