"""Killed at any call that changes a file system, then recovered: the file is in its place or the vault.

Never neither, never both; recovery itself may be killed at any of its calls and run again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes_response import OWNER, House, calls_of, dies_at, memory_directory

from scanner.model.steps import StepState
from scanner.response import ItemState, open_root, recover

CONTENT = b"picture" * 1000


@pytest.fixture
def base() -> Iterator[Path]:
    with memory_directory() as path:
        yield path


def build(base: Path, name: str) -> House:
    house = House.build(base / name)
    full = house.write("d/a.jpg", CONTENT)
    os.chmod(full, 0o640)
    os.utime(full, ns=(5, 7))
    return house


def check_secured_or_not(house: House) -> bool:
    """Whether it is in the vault; fails unless it is whole, there or at its place."""
    name = house.root / "d" / "a.jpg"
    in_place = name.exists() and name.read_bytes() == CONTENT
    held = [i for i in house.vault.items() if i.state is ItemState.HELD and house.vault.holds(i)]
    assert in_place != bool(held), "neither or both"
    assert len(house.vault.items()) == len(held)
    assert house.vault.verify().problems == ()
    assert house.staged() == []
    assert house.journal.open_steps() == []
    return bool(held)


def test_securing_survives_a_kill_at_every_step(base: Path) -> None:
    ends = []
    for point in itertools.count(1):
        house = build(base, str(point))
        killed = dies_at(point, lambda house=house: house.secure("d/a.jpg"))
        notes = house.recover()
        secured = check_secured_or_not(house)
        assert all(n.secured == secured and n.state is not StepState.INTENT for n in notes)
        assert house.recover() == []
        ends.append(secured)
        if not killed:
            break
    assert ends == sorted(ends), "once it is in the vault, no later death takes it out"
    assert len(ends) > 20
    assert not ends[0]
    assert ends[-2], "dying at the very last record must not undo it"


def taken(house: House) -> None:
    (house.root / "d" / "a.jpg").write_bytes(b"newcomer")


def parent_gone(house: House) -> None:
    (house.root / "d").rmdir()


def parent_link(house: House) -> None:
    (house.root / "d").rename(house.root / "moved")
    (house.root / "d").symlink_to(house.root / "moved")


@pytest.mark.parametrize("spoil", [taken, parent_gone, parent_link])
def test_a_file_that_can_not_go_back_after_a_crash_ends_in_the_vault(
    base: Path, spoil: Callable[[House], None]
) -> None:
    spoiled = 0
    for point in itertools.count(1):
        house = build(base, str(point))
        killed = dies_at(point, lambda house=house: house.secure("d/a.jpg"))
        if not killed:
            break
        if (house.root / "d" / "a.jpg").exists():
            continue
        spoil(house)
        house.recover()
        (item,) = house.vault.items()
        assert house.vault.holds(item)
        assert house.vault.verify().problems == ()
        assert house.staged() == []
        if spoil is taken:
            assert (house.root / "d" / "a.jpg").read_bytes() == b"newcomer"
        spoiled += 1
    assert spoiled > 10


@pytest.mark.parametrize("spoil", [lambda house: None, taken], ids=["place_free", "place_taken"])
@pytest.mark.parametrize("share", [0.7])
def test_recovery_survives_a_kill_at_every_step(
    base: Path, share: float, spoil: Callable[[House], None]
) -> None:
    measured = build(base, "measured")
    first = int(calls_of(lambda: measured.secure("d/a.jpg")) * share)
    for point in itertools.count(1):
        house = build(base, str(point))
        assert dies_at(first, lambda house=house: house.secure("d/a.jpg"))
        at_place = (house.root / "d" / "a.jpg").exists()
        if not at_place:
            spoil(house)
        killed = dies_at(point, house.recover)
        house.recover()
        if spoil is taken and not at_place:
            (item,) = house.vault.items()
            assert house.vault.holds(item)
            assert (house.root / "d" / "a.jpg").read_bytes() == b"newcomer"
            assert house.staged() == []
            assert house.vault.verify().problems == ()
        else:
            check_secured_or_not(house)
        assert house.journal.open_steps() == []
        if not killed:
            break


@pytest.mark.parametrize("elsewhere", [False, True])
def test_restoring_survives_a_kill_at_every_step(base: Path, elsewhere: bool) -> None:
    ends = []
    for point in itertools.count(1):
        house = build(base, str(point))
        item_id = house.secure("d/a.jpg").quarantine_id
        place = (house.root.parent / "b.jpg") if elsewhere else house.root / "d" / "a.jpg"
        to = place if elsewhere else None
        killed = dies_at(point, lambda house=house, i=item_id, to=to: house.restorer().restore(i, to))
        house.recover()
        item = house.vault.get(item_id)
        restored = place.exists()
        assert house.vault.holds(item), "the vault keeps its copy"
        assert item.state is (ItemState.RESTORED if restored else ItemState.HELD)
        if restored:
            st = place.stat()
            assert (place.read_bytes(), st.st_mode & 0o777, st.st_mtime_ns) == (CONTENT, 0o640, 7)
        assert not [n for n in os.listdir(place.parent) if n.startswith(".hostsweep-restore")]
        assert house.staged() == []
        assert house.journal.open_steps() == []
        assert house.vault.verify().problems == ()
        assert house.recover() == []
        ends.append(restored)
        if not killed:
            break
    assert ends == sorted(ends)
    assert len(ends) > 15


def test_steps_of_a_living_process_are_left_alone(base: Path) -> None:
    house = build(base, "volume")
    assert dies_at(25, lambda: house.secure("d/a.jpg"))
    assert recover(house.journal, house.vault, open_root, lambda step: step.owner != OWNER) == []
    assert len(house.journal.open_steps()) == 1
