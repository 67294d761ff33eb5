"""Immutable and append-only files: reported, or the flag is taken off on record and set again."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_response import House, dies_at
from racing import unsynced

from scanner.model.errors import VaultFullError
from scanner.model.steps import StepState
from scanner.response import SecuringPolicy, Vault
from scanner.system.inodeflags import APPEND_ONLY, IMMUTABLE, forbidding_flags, set_forbidding_flags

CLEAR = SecuringPolicy(clear_immutable=True)
pytestmark = pytest.mark.root


def flags(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return forbidding_flags(fd)
    finally:
        os.close(fd)


def set_flags(path: Path, wanted: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        set_forbidding_flags(fd, 0)  # an immutable file's other flags can't be changed
        set_forbidding_flags(fd, wanted)
    except OSError:
        pytest.skip("this file system has no immutable flag")
    finally:
        os.close(fd)


@pytest.fixture
def place(house: House) -> Iterator[Path]:
    house.write("d/a.jpg", b"picture")
    set_flags(house.root / "d" / "a.jpg", IMMUTABLE)
    yield house.root / "d" / "a.jpg"
    for path in sorted(house.root.parent.rglob("*")):
        if path.is_dir() or path.is_file():
            set_flags(path, 0)


@pytest.mark.parametrize("flag", [IMMUTABLE, APPEND_ONLY], ids=["immutable", "append_only"])
def test_a_file_that_may_not_be_moved_is_reported(house: House, place: Path, flag: int) -> None:
    set_flags(place, flag)
    result = house.secure("d/a.jpg")
    assert (result.secured, result.kind) == (False, "immutable")
    assert result.text.startswith("the file is ")
    assert flags(place) == flag
    assert house.journal.outcomes() == []


def test_a_directory_that_may_not_be_changed_is_reported_and_never_cleared(house: House, place: Path) -> None:
    set_flags(place, 0)
    set_flags(place.parent, IMMUTABLE)
    result = house.secure("d/a.jpg", policy=CLEAR)
    assert (result.kind, result.text) == ("immutable", "the file's directory is immutable")
    assert flags(place.parent) == IMMUTABLE


@pytest.mark.parametrize("flag", [IMMUTABLE, APPEND_ONLY, IMMUTABLE | APPEND_ONLY])
def test_flags_are_cleared_if_configured_and_come_back_with_a_restore(
    house: House, place: Path, flag: int
) -> None:
    set_flags(place, flag)
    result = house.secure("d/a.jpg", policy=CLEAR)
    assert result.secured
    assert not place.exists()
    assert house.vault.get(result.quarantine_id).attributes.flags == flag
    house.restorer().restore(result.quarantine_id, None)
    assert place.read_bytes() == b"picture"
    assert flags(place) == flag


class Full(Vault):
    def store_copy(self, *args: object, **more: object) -> dict[str, bytes]:
        raise VaultFullError("the vault is full")


def test_a_file_that_is_put_back_has_its_flag_again(house: House, place: Path) -> None:
    full = Full(house.vault.directory, house.vault._limits, house.vault._clock)
    assert house.secure("d/a.jpg", policy=CLEAR, vault=full).kind == "vault_full"
    assert flags(place) == IMMUTABLE
    assert house.journal.outcomes() == [(StepState.UNDONE, "vault_full")]


def test_an_innocent_file_at_the_name_goes_back_and_the_hashed_one_has_its_flag_again(
    house: House, place: Path
) -> None:
    evil = place.with_name("evil")
    with house.request("d/a.jpg") as request:
        set_flags(place, 0)
        place.rename(evil)
        place.write_bytes(b"innocent")
        set_flags(evil, IMMUTABLE)
        assert house.securer(policy=CLEAR).secure(request).kind == "raced"
    assert (flags(evil), flags(place)) == (IMMUTABLE, 0)


def house_with_immutable_file(base: Path) -> tuple[House, Path]:
    house = House.build(base)
    house.write("d/a.jpg", b"picture")
    path = house.root / "d" / "a.jpg"
    set_flags(path, IMMUTABLE)
    return house, path


def test_a_kill_at_any_step_leaves_it_in_place_with_its_flag_or_in_the_vault(
    tmp_path: Path, place: Path
) -> None:
    cleared = 0
    for point in itertools.count(1):
        house, path = house_with_immutable_file(tmp_path / str(point))
        with unsynced():
            killed = dies_at(point, lambda house=house: house.secure("d/a.jpg", policy=CLEAR))
            cleared += path.exists() and not flags(path)
            house.recover()
        held = [i for i in house.vault.items() if house.vault.holds(i)]
        assert path.exists() != bool(held)
        if path.exists():
            assert flags(path) == IMMUTABLE
            set_flags(path, 0)
        else:
            assert held[0].attributes.flags == IMMUTABLE
        assert house.journal.open_steps() == []
        assert house.vault.verify().problems == ()
        if not killed:
            break
    assert cleared, "it was never killed between clearing the flag and the move"


def test_a_kill_at_any_step_of_a_restore_leaves_no_restored_file_without_its_flag(
    tmp_path: Path, place: Path
) -> None:
    bare = 0
    for point in itertools.count(1):
        house, path = house_with_immutable_file(tmp_path / str(point))
        with unsynced():
            item_id = house.secure("d/a.jpg", policy=CLEAR).quarantine_id
            killed = dies_at(point, lambda house=house, i=item_id: house.restorer().restore(i, None))
            bare += path.exists() and not flags(path)
            house.recover()
        if path.exists():
            assert flags(path) == IMMUTABLE
            set_flags(path, 0)
        assert house.staged() == []
        assert house.journal.open_steps() == []
        if not killed:
            break
    assert bare, "it was never killed between the name and the flag"
