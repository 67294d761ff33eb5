"""Files on other mounts inside a volume: staged on their own mount, recovered and restored through it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes_response import House, dies_at, memory_directory
from racing import in_own_mounts, mount, unmount

import scanner.response.securing as securing
from scanner.model.errors import VaultError
from scanner.response import VaultLimits
from scanner.system.opening import open_directory
from scanner.system.renaming import rename_noreplace

pytestmark = pytest.mark.root
_BIND = 4096


def passes(work: Callable[[Path], None]) -> None:
    """Run work with mounts of its own, and fail as it fails."""
    with memory_directory() as base:

        def run() -> dict[str, object]:
            work(base)
            return {}

        answer = in_own_mounts(run)
    assert "error" not in answer, answer["error"]


def with_mount(base: Path, kind: str) -> House:
    """A volume in which `m` is another mount, with a file two directories below it."""
    house = House.build(base)
    (house.root / "m").mkdir()
    if kind == "tmpfs":
        mount("tmpfs", str(house.root / "m"), "tmpfs")
    else:
        (base / "elsewhere").mkdir()
        mount(str(base / "elsewhere"), str(house.root / "m"), "", _BIND)
    house.write("m/d/e/a.jpg", b"picture")
    return house


def staging_folders(house: House) -> dict[str, list[str]]:
    found = house.root.rglob(".hostsweep-staging")
    return {str(p.parent.relative_to(house.root)): sorted(os.listdir(p)) for p in found}


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_file_on_another_mount_goes_through_its_own_staging_folder_and_back(kind: str) -> None:
    def work(base: Path) -> None:
        house = with_mount(base, kind)
        result = house.secure("m/d/e/a.jpg")
        assert result.secured, result
        assert not (house.root / "m/d/e/a.jpg").exists()
        assert staging_folders(house) == {"m": []}
        item = house.vault.get(result.quarantine_id)
        assert item.staging == b"m"
        assert house.vault.holds(item)
        house.restorer().restore(item.id, None)
        assert (house.root / "m/d/e/a.jpg").read_bytes() == b"picture"
        assert staging_folders(house) == {"m": []}

    passes(work)


def test_where_the_mount_can_not_be_crossed_even_so_the_files_own_directory_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def like_a_project_quota(source_fd: int, source: bytes, target_fd: int, *rest: object, **more: object):  # type: ignore[no-untyped-def]
        if os.readlink(f"/proc/self/fd/{target_fd}").endswith("/m/.hostsweep-staging"):
            raise OSError(18, "Invalid cross-device link")
        rename_noreplace(source_fd, source, target_fd, *rest, **more)  # type: ignore[arg-type]

    def work(base: Path) -> None:
        house = with_mount(base, "tmpfs")
        with monkeypatch.context() as patch:
            patch.setattr(securing, "rename_noreplace", like_a_project_quota)
            result = house.secure("m/d/e/a.jpg")
        assert result.secured, result
        assert house.vault.get(result.quarantine_id).staging == b"m/d/e"
        assert [kind for _, kind in house.journal.outcomes()] == ["other_filesystem", "secured"]
        house.restorer().restore(result.quarantine_id, None)
        assert (house.root / "m/d/e/a.jpg").read_bytes() == b"picture"

    passes(work)


def test_a_kill_at_any_step_on_another_mount_loses_nothing() -> None:
    def work(base: Path) -> None:
        staged = 0
        for point in itertools.count(1):
            house = with_mount(base / str(point), "tmpfs")
            killed = dies_at(point, lambda house=house: house.secure("m/d/e/a.jpg"))
            staged += any(staging_folders(house).values())
            house.recover()
            held = [i for i in house.vault.items() if house.vault.holds(i)]
            assert (house.root / "m/d/e/a.jpg").exists() != bool(held), point
            assert not any(staging_folders(house).values())
            assert house.journal.open_steps() == []
            unmount(str(house.root / "m"))
            if not killed:
                break
        assert staged > 5, "it was hardly ever killed with the file in staging"

    passes(work)


def test_a_step_stays_open_while_its_mount_is_away(tmp_path: Path) -> None:
    def work(base: Path) -> None:
        house = with_mount(base, "bind")
        for point in itertools.count(1):
            assert dies_at(point, lambda: house.secure("m/d/e/a.jpg"))
            if any(staging_folders(house).values()):
                break
            house.recover()
        unmount(str(house.root / "m"))
        (note,) = house.recover()
        assert str(note.state) == "intent", note
        mount(str(base / "elsewhere"), str(house.root / "m"), "", _BIND)
        (note,) = house.recover()
        assert (house.root / "m/d/e/a.jpg").read_bytes() == b"picture", note

    passes(work)


def test_nothing_is_restored_into_what_was_mounted_over_the_place() -> None:
    def work(base: Path) -> None:
        house = House.build(base)
        house.write("d/a.jpg", b"picture")
        item_id = house.secure("d/a.jpg").quarantine_id
        (base / "outside").mkdir()
        mount(str(base / "outside"), str(house.root / "d"), "", _BIND)
        with pytest.raises(VaultError, match="mounted"):
            house.restorer().restore(item_id, None)
        assert os.listdir(base / "outside") == []
        unmount(str(house.root / "d"))
        house.restorer().restore(item_id, None)
        assert (house.root / "d" / "a.jpg").read_bytes() == b"picture"

    passes(work)


def test_recovery_puts_nothing_into_what_was_mounted_over_the_place() -> None:
    def work(base: Path) -> None:
        house = House.build(base)
        house.write("d/a.jpg", b"picture")
        for point in itertools.count(1):
            assert dies_at(point, lambda: house.secure("d/a.jpg"))
            if house.staged() and not house.vault.items():
                break
            house.recover()
        (base / "outside").mkdir()
        mount(str(base / "outside"), str(house.root / "d"), "", _BIND)
        house.recover()
        assert os.listdir(base / "outside") == []
        (item,) = house.vault.items()
        assert house.vault.holds(item), "it could not go back, so it went on into the vault"

    passes(work)


def test_a_vault_on_another_device_holds_whole_copies() -> None:
    def work(base: Path) -> None:
        (base / "disk").mkdir()
        mount("tmpfs", str(base / "disk"), "tmpfs")
        house = House.build(
            base / "h", vault=base / "disk" / "vault", limits=VaultLimits(reserve=0, reserve_inodes=0)
        )
        house.write("d/a.jpg", b"picture" * 100_000)
        item = house.vault.get(house.secure("d/a.jpg").quarantine_id)
        assert house.vault.object_path(item).stat().st_dev != house.root.stat().st_dev
        assert house.vault.holds(item)
        assert house.staged() == []
        house.restorer().restore(item.id, None)
        assert (house.root / "d" / "a.jpg").read_bytes() == b"picture" * 100_000

    passes(work)


@pytest.mark.parametrize("openat2", [True, False])
def test_a_directory_on_another_mount_is_not_opened_where_one_mount_is_wanted(openat2: bool) -> None:
    def work(base: Path) -> None:
        house = with_mount(base, "bind")
        if not openat2:
            from scanner.system import opening

            opening.have_openat2 = lambda: False  # in a child of its own
        root_fd = os.open(house.root, os.O_RDONLY)
        os.close(open_directory(root_fd, b"m/d"))
        with pytest.raises(OSError, match=r"cross-device|another mount"):
            open_directory(root_fd, b"m/d", one_mount=True)

    passes(work)
