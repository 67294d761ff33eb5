"""A customer's process swaps what stands at a name while files are secured from it, as fast as it can.

Whatever happens: only hashed inodes reach the vault, and everything else is the customer's again.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from fakes_response import House, memory_directory

from scanner.model.steps import StepState
from scanner.system.renaming import rename_noreplace

ROUNDS = 300
INNOCENTS = 12
TARGET = b"d/a.jpg"


def attack(directory: Path, seed: int) -> None:
    """Put one thing after the other at the name, and take whatever stands there away; destroy nothing."""
    chance = random.Random(seed)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    number = 0
    while True:
        number += 1
        aside = [n for n in os.listdir(fd) if n != "a.jpg"]
        moves = [("a.jpg", f"aside-{seed}-{number}"), (chance.choice(aside or ["none"]), "a.jpg")]
        for source, target in moves:
            try:
                rename_noreplace(fd, source.encode(), fd, target.encode())
            except OSError:
                continue  # somebody was faster: that is the point


def make_innocents(directory: Path) -> dict[int, bytes]:
    """Files, links and hard links of strangers, by inode and content."""
    (directory.parent / "secret").write_bytes(b"not the customer's")
    for n in range(INNOCENTS):
        path = directory / f"innocent-{n}"
        if n % 3 == 2:
            path.symlink_to(directory.parent / "secret")
        else:
            path.write_bytes(b"innocent %d" % n)
    return {p.lstat().st_ino: shown(p) for p in directory.iterdir()}


def shown(path: Path) -> bytes:
    return os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()


def secure_rounds(house: House, directory: Path) -> Counter[str]:
    """Each round brings a new listed file to the name and secures it; the attacker is at it all the while."""
    outcomes: Counter[str] = Counter()
    for n in range(ROUNDS):
        fresh = directory.parent / "fresh"
        fresh.write_bytes(b"listed %d" % n)
        with house.request("fresh") as request:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                rename_noreplace(request.directory_fd, b"fresh", fd, b"a.jpg")
            except FileExistsError:
                rename_noreplace(request.directory_fd, b"fresh", fd, b"listed-%d" % n)
            moved = _moved(request, fd)
            outcomes[house.securer().secure(moved).kind] += 1
            os.close(fd)
    return outcomes


def _moved(request, fd: int):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(request, directory=b"d", name=b"a.jpg", directory_fd=fd)


@pytest.mark.parametrize("seed", [1, 2])
def test_only_hashed_inodes_reach_the_vault_and_all_others_come_back(seed: int) -> None:
    with memory_directory() as base:
        house = House.build(base)
        directory = house.root / "d"
        directory.mkdir()
        innocents = make_innocents(directory)
        attacker = os.fork()
        if attacker == 0:
            try:
                attack(directory, seed)
            finally:
                os._exit(1)
        try:
            outcomes = secure_rounds(house, directory)
        finally:
            os.kill(attacker, signal.SIGKILL)
            os.waitpid(attacker, 0)

        assert outcomes["raced"] and outcomes["secured"], outcomes
        assert set(outcomes) <= {"raced", "secured", "vanished"}, outcomes
        kept = [house.vault.object_path(i).read_bytes() for i in house.vault.items()]
        assert len(kept) == outcomes["secured"]
        assert all(content.startswith(b"listed ") for content in kept)

        # What could not go back because its name was taken again is under an open record until it can.
        for _ in range(len(house.journal.open_steps()) + 1):
            if (directory / "a.jpg").exists() or (directory / "a.jpg").is_symlink():
                (directory / "a.jpg").rename(directory / f"freed-{len(os.listdir(directory))}")
            notes = house.recover()
            assert all(not n.secured for n in notes if n.state is StepState.UNDONE)
        assert house.staged() == []
        assert house.journal.open_steps() == []
        found = {p.lstat().st_ino: shown(p) for p in directory.iterdir()}
        assert innocents.items() <= found.items()
        assert (house.root / "secret").read_bytes() == b"not the customer's"
        assert len(found) == len(innocents) + ROUNDS - outcomes["secured"]
