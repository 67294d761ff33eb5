"""The same as the crash tests of securing, with the real system calls of a real process, killed from outside.

SIGKILL comes at the entry of the call, so the call is not made. Calls are counted by name. strace runs
without --seccomp-bpf, with which (6.1) the signal never comes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes_response import FileJournal, House, memory_directory

CALLS = ("renameat2", "rename", "unlinkat", "unlink", "fsync")
# fsync is the call the kill lands on most; the places between are covered by the others.
MOST_OF_A_NAME = 12
SCRIPT = """
import sys
from pathlib import Path
from fakes_response import FileJournal, FixedClock, House, VaultLimits, Vault
base = Path(sys.argv[1])
vault = Vault(base / "vault", VaultLimits(reserve=0, reserve_inodes=0), FixedClock())
House(base / "volume", vault, FileJournal(base / "journal")).secure("d/a.jpg")
"""


def strace(base: Path, *options: str) -> subprocess.CompletedProcess[str]:
    tests = Path(__file__).parents[1]
    environment = {"PYTHONPATH": f"{tests}:{tests.parent}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["strace", "-f", *options, sys.executable, "-c", SCRIPT, str(base)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def build(base: Path) -> House:
    house = House.build(base)
    house.write("d/a.jpg", b"picture")
    return house


@pytest.fixture
def counts() -> dict[str, int]:
    """How often each call is made when nothing is killed."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: the crash tests in tests/integration cover the same calls")
    with memory_directory() as base:
        house = build(base / "whole")
        done = strace(base / "whole", "-e", f"trace={','.join(CALLS)}")
        if not house.vault.items():
            pytest.skip(f"strace can't trace here: {done.stderr[-200:]}")
        made = re.findall(r"^(?:\[pid +\d+\] )?(\w+)\(", done.stderr, re.MULTILINE)
    return {name: made.count(name) for name in CALLS}


def test_a_process_killed_at_any_system_call_loses_nothing(counts: dict[str, int]) -> None:
    assert counts["renameat2"] == 1
    assert counts["fsync"] > 5
    with memory_directory() as base:
        for name, made in counts.items():
            for point in range(1, min(made, MOST_OF_A_NAME) + 1):
                house = build(base / f"{name}-{point}")
                killed = strace(
                    base / f"{name}-{point}",
                    "-e",
                    f"trace={name}",
                    "-e",
                    f"inject={name}:signal=KILL:when={point}",
                )
                assert killed.returncode != 0, (name, point, killed.stderr)
                house.journal = FileJournal(base / f"{name}-{point}" / "journal")
                house.recover()
                in_place = (house.root / "d" / "a.jpg").exists()
                in_vault = [i for i in house.vault.items() if house.vault.holds(i)]
                assert in_place != bool(in_vault), (name, point)
                assert house.vault.verify().problems == (), (name, point)
                assert house.staged() == []
                assert house.journal.open_steps() == []
