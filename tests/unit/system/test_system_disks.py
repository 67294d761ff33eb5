"""What the kernel says of the disks below a file system, in copies of what it shows in /sys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scanner.system.disks import is_rotational


class Machine:
    """A /sys with devices, one of which is that of `at`."""

    def __init__(self, tmp_path: Path) -> None:
        self.sys = tmp_path
        self.at = os.open(tmp_path, os.O_RDONLY)
        self.numbers = os.fstat(self.at).st_dev
        if not os.major(self.numbers):
            pytest.skip("the file system here has no device of its own")

    def device(self, path: str, turns: int | None = None, *slaves: str) -> None:
        made = self.sys / "devices" / path
        (made / "slaves").mkdir(parents=True)
        for slave in slaves:
            (made / "slaves" / Path(slave).name).symlink_to(self.sys / "devices" / slave)
        if turns is not None:
            (made / "queue").mkdir()
            (made / "queue" / "rotational").write_text(f"{turns}\n")

    def turns(self, path: str) -> bool:
        block = self.sys / "dev" / "block"
        block.mkdir(parents=True)
        (block / f"{os.major(self.numbers)}:{os.minor(self.numbers)}").symlink_to(self.sys / "devices" / path)
        return is_rotational(self.at, self.sys)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("turns", [0, 1])
def test_a_partition_is_what_its_disk_is(machine: Machine, turns: int) -> None:
    machine.device("sda", turns)
    machine.device("sda/sda1")
    assert machine.turns("sda/sda1") == bool(turns)


def test_an_encrypted_volume_turns_if_any_disk_far_below_does(machine: Machine) -> None:
    machine.device("nvme0n1", 0)
    machine.device("sda", 1)
    machine.device("sda/sda2")
    machine.device("md0", 0, "nvme0n1", "sda/sda2")
    machine.device("dm-0", 0, "md0")
    machine.device("dm-1", 0, "dm-0")
    assert machine.turns("dm-1")


def test_of_a_device_that_is_not_shown_nothing_is_known(machine: Machine) -> None:
    assert not is_rotational(machine.at, machine.sys)
    machine.device("sda")
    assert not machine.turns("sda")
