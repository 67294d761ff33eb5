"""The vault keeps what it was given, tells what is damaged, and removes only what is resolved."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from fakes_response import NOW_NS, FixedClock, House

from scanner.model.errors import NotFoundError, VaultError, VaultFullError
from scanner.response import Item, ItemState, Vault, VaultLimits


def secured(house: House, path: str, content: bytes) -> Item:
    house.write(path, content)
    return house.vault.get(house.secure(path).quarantine_id)


def resolved(item: Item) -> bool:
    return True


def object_file(house: House, item: Item) -> Path:
    return house.vault.object_path(item)


def test_content_and_record_are_readable_by_the_owner_alone(house: House) -> None:
    item = secured(house, "a.jpg", b"picture")
    assert object_file(house, item).read_bytes() == b"picture"
    for path in house.vault.directory.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_equal_content_is_kept_once_and_each_item_remembers_its_place(house: House) -> None:
    one, two = secured(house, "a.jpg", b"same"), secured(house, "d/b.jpg", b"same")
    assert house.vault.usage() == (2, 4)
    assert {i.path for i in house.vault.items()} == {b"a.jpg", b"d/b.jpg"}
    assert one.sha256 == two.sha256


def test_an_item_is_found_by_a_unique_beginning_of_its_id_only(house: House) -> None:
    one, _ = secured(house, "a", b"1"), secured(house, "b", b"2")
    assert house.vault.get(one.id[:-1]) == one
    for text in (one.id[:6], one.id[:5], "", "../items/" + one.id, "*" * 8, "nothing-here"):
        with pytest.raises(NotFoundError):
            house.vault.get(text)


def test_verify_names_damaged_missing_and_left_over_files(house: House) -> None:
    flipped, missing, torn, fine = (secured(house, n, n.encode()) for n in ("flip", "miss", "torn", "fine"))
    object_file(house, flipped).write_bytes(b"flop")
    object_file(house, missing).unlink()
    manifest = house.vault.directory / "items" / f"{torn.id}.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"size":4', b'"size":5'))
    (house.vault.directory / "incoming" / "x.part").write_bytes(b"half")

    report = house.vault.verify()

    found = {p.kind: p.where for p in report.problems}
    assert found == {
        "damaged": object_file(house, flipped),
        "missing": object_file(house, missing),
        "manifest": manifest,
        "orphan": object_file(house, torn),
        "unfinished": house.vault.directory / "incoming" / "x.part",
    }
    assert not report.sound
    assert house.vault.holds(fine)


def test_a_sound_vault_has_no_problems(house: House) -> None:
    secured(house, "a", b"1")
    secured(house, "b", b"22")
    report = house.vault.verify()
    assert (report.items, report.objects, report.bytes, report.problems) == (2, 2, 3, ())
    assert report.sound


def test_export_writes_a_new_private_file_and_never_over_another(house: House, tmp_path: Path) -> None:
    item = secured(house, "a.jpg", b"picture")
    target = tmp_path / "evidence"
    house.vault.export(item.id, target)
    assert target.read_bytes() == b"picture"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for taken in (target, link):
        with pytest.raises(VaultError):
            house.vault.export(item.id, taken)
    assert not (tmp_path / "elsewhere").exists()


def test_a_damaged_object_is_never_exported(house: House, tmp_path: Path) -> None:
    item = secured(house, "a.jpg", b"picture")
    object_file(house, item).write_bytes(b"pictur3")
    with pytest.raises(VaultError, match="damaged"):
        house.vault.export(item.id, tmp_path / "evidence")
    assert not (tmp_path / "evidence").exists()


def test_purge_removes_an_object_with_its_last_item_and_keeps_the_record(house: House) -> None:
    one, two = secured(house, "a.jpg", b"same"), secured(house, "b.jpg", b"same")
    house.vault.purge(resolved, item_id=one.id)
    assert house.vault.holds(two)
    house.vault.purge(resolved, secured_before_ns=NOW_NS + 1)
    assert not object_file(house, two).exists()
    assert [i.state for i in house.vault.items()] == [ItemState.PURGED] * 2
    assert house.vault.usage() == (0, 0)
    assert house.vault.verify().problems == ()


def test_purge_leaves_what_is_open_or_young(house: House) -> None:
    item = secured(house, "a.jpg", b"picture")
    with pytest.raises(VaultError, match="not resolved"):
        house.vault.purge(lambda _: False, item_id=item.id)
    assert house.vault.purge(lambda _: False, secured_before_ns=NOW_NS + 1) == ()
    assert house.vault.purge(resolved, secured_before_ns=NOW_NS) == ()
    assert house.vault.holds(item)


def test_purge_removes_no_object_while_a_manifest_is_damaged(house: House) -> None:
    one, two = secured(house, "a.jpg", b"same"), secured(house, "b.jpg", b"same")
    (house.vault.directory / "items" / f"{two.id}.json").write_bytes(b"{}")
    with pytest.raises(VaultError, match="damaged"):
        house.vault.purge(resolved, item_id=one.id)
    assert object_file(house, one).exists()


@pytest.mark.parametrize(
    "limits",
    [
        VaultLimits(reserve=1 << 60, reserve_inodes=0),
        VaultLimits(reserve=0, max_size=6, reserve_inodes=0),
    ],
)
def test_a_full_vault_leaves_the_original_untouched(tmp_path: Path, limits: VaultLimits) -> None:
    house = House.build(tmp_path, limits=limits)
    path = house.write("a.jpg", b"picture")
    before = os.stat(path)
    result = house.secure("a.jpg")
    assert (result.secured, result.kind) == (False, "vault_full")
    assert os.stat(path) == before  # not even its ctime: it was never moved
    with pytest.raises(VaultFullError):
        house.vault.check_room(7)


def test_a_vault_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "open"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    with pytest.raises(VaultError, match="0700"):
        Vault(directory, VaultLimits(), FixedClock()).prepare()


def test_a_manifest_is_canonical_json_without_raw_names(house: House) -> None:
    name = b"new\nline\xff\x1b[2J.jpg"
    house.write(name, b"picture")
    item = house.vault.get(house.secure(name).quarantine_id)
    raw = (house.vault.directory / "items" / f"{item.id}.json").read_bytes()
    body = json.loads(raw)
    assert raw == json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert item.path == name


def test_tidy_removes_what_the_dead_were_writing_and_nothing_else(house: House) -> None:
    item = secured(house, "a.jpg", b"picture")
    incoming = house.vault.directory / "incoming"
    for left in ("x.part", "x.json"):
        (incoming / left).write_bytes(b"half")
    house.vault.tidy()
    assert list(incoming.iterdir()) == []
    assert house.vault.holds(item)


def test_tidy_finishes_a_purge_that_was_cut_short(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    item = secured(house, "a.jpg", b"picture")
    kept = secured(house, "b.jpg", b"other")
    monkeypatch.setattr(
        Vault, "_remove_purged_objects", lambda self: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        house.vault.purge(resolved, item_id=item.id)
    monkeypatch.undo()
    assert object_file(house, item).exists()
    house.vault.tidy()
    assert not object_file(house, item).exists()
    assert house.vault.get(item.id).state is ItemState.PURGED
    assert house.vault.holds(kept)
    assert list((house.vault.directory / "incoming").iterdir()) == []


def test_tidy_touches_nothing_while_a_manifest_is_damaged(house: House) -> None:
    item = secured(house, "a.jpg", b"picture")
    (house.vault.directory / "incoming" / "purge").touch()
    manifest = house.vault.directory / "items" / f"{item.id}.json"
    manifest.write_bytes(b"{}")
    house.vault.tidy()
    assert object_file(house, item).exists()
    assert (house.vault.directory / "incoming" / "purge").exists()


def test_an_export_that_breaks_off_leaves_nothing_at_the_target(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = secured(house, "a.jpg", b"picture")
    target = tmp_path / "out.jpg"
    left = tmp_path / f".hostsweep-export-{item.id}"
    left.write_bytes(b"of an export that was killed")
    seen = []
    whole = Vault.copy_out

    def watched(self: Vault, item: Item, fd: int) -> None:
        seen.append(target.exists())
        whole(self, item, fd)

    monkeypatch.setattr(Vault, "copy_out", watched)
    house.vault.export(item.id, target)
    assert seen == [False], "it gets its name when it is whole"
    assert target.read_bytes() == b"picture"
    assert not left.exists()
