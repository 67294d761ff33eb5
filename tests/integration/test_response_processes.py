"""Several processes use one vault at once."""

from __future__ import annotations

import os
import select
from pathlib import Path

from fakes_response import House, calls_of, dies_at

from scanner.response.vault import Vault

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


def test_two_recoveries_at_once_end_each_step_once(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    house.write("whole.jpg", b"another picture")
    calls = calls_of(lambda: house.secure("whole.jpg"))
    for n in range(1, calls):  # each dies further on its way into the vault
        house.write(f"{n}.jpg", b"picture %d" % n)
        assert dies_at(n, lambda n=n: house.secure(f"{n}.jpg"))
    assert len(house.journal.open_steps()) >= 8
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
    back = {p.name for p in house.root.glob("*.jpg")}
    kept = {i.path.decode() for i in house.vault.items()} - {"whole.jpg"}
    assert back and kept and back | kept == {f"{n}.jpg" for n in range(1, calls)} and not back & kept
    assert house.staged() == []
