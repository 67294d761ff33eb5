"""Several attackers swap file, name, parent, link and mount under the securer, as fast as they can.

Whatever happens: only hashed inodes reach the vault, everything else is the customer's again, and nothing
outside the volume is touched. The long run is `make test-race ROUNDS=20000`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from racing import Arena, fight, file_system, in_own_mounts, mount, mount_ext4, unsynced

ROUNDS = int(os.environ.get("RACE_ROUNDS", "150"))
LONG = 2000  # rounds from which on rare things are asked for too


def _fight(base: Path, kind: str, elsewhere: bool) -> dict[str, object]:
    volume, other = base / "on", base / "other"
    for path in (volume, other):
        path.mkdir()
    if kind == "tmpfs":
        mount("tmpfs", str(volume), "tmpfs")
    elif file_system(base) not in ("ext2/ext3", "ext4"):
        try:
            mount_ext4(base / "image", volume)
        except (OSError, subprocess.CalledProcessError) as e:
            return {"skip": f"no ext4 can be mounted here: {e}"}
    if elsewhere:
        mount("tmpfs", str(other), "tmpfs")
    vault = (other if elsewhere else volume) / "vault"
    assert elsewhere == (vault.parent.stat().st_dev != volume.stat().st_dev)
    with unsynced():
        return fight(Arena(volume, vault, seed=ROUNDS), ROUNDS)


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "elsewhere"),
    [("ext4", False), ("tmpfs", False), ("ext4", True)],
    ids=["ext4", "tmpfs", "ext4-vault_on_another_device"],
)
def test_only_hashed_inodes_reach_the_vault_and_all_others_come_back(kind: str, elsewhere: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="hostsweep-race-") as base:
        figures = in_own_mounts(lambda: _fight(Path(base), kind, elsewhere))
    if "skip" in figures:
        pytest.skip(str(figures["skip"]))
    assert "error" not in figures, figures["error"]
    print(figures)
    outcomes, seen = figures["outcomes"], figures["seen"]
    assert sum(outcomes.values()) == ROUNDS
    assert set(outcomes) <= {"secured", "raced", "changed", "vanished"}, outcomes
    assert outcomes["secured"] > 0
    assert all(figures["strikes"].values()), "an attacker never struck"
    # What the securer itself has met. Rare things need many rounds on a busy machine.
    wanted = {"open: openat2: Invalid cross-device link", "parent elsewhere", "links left"}
    assert wanted <= {name for name, n in seen.items() if n}, seen
    assert outcomes.get("raced", 0) + outcomes.get("vanished", 0) + outcomes.get("changed", 0) > 0
    if ROUNDS >= LONG:
        assert all(outcomes[k] for k in ("raced", "changed", "vanished")), outcomes
        assert all(seen.get(f"displaced {k}") for k in ("-", "l", "d", "hard link")), seen
