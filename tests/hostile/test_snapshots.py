"""Directories of snapshots: left out where they are real, and never a hiding place."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import pytest

from scanner.app import App
from scanner.app.reporters import MetricsReporter
from scanner.app.state import StateDirectory
from scanner.config import Config, Hashing
from scanner.model.files import DirectoryMet, OthersMet
from scanner.sources import WalkPolicy, walk

pytestmark = pytest.mark.root
BAD = b"GIF89a bad"


def met(root: Path, policy: WalkPolicy) -> tuple[set[bytes], dict[str, int]]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        events = list(walk(fd, policy, None, lambda: 1 << 62))
    finally:
        os.close(fd)
    others = [e.counts for e in events if isinstance(e, OthersMet)]
    return {e.path for e in events if isinstance(e, DirectoryMet) and e.changed}, others[0] if others else {}


def test_snapshots_are_left_out_counted_and_walked_if_wanted(tmp_path: Path) -> None:
    for name in (".zfs/snapshot", ".snapshot/daily", ".snapshots/1", "deep/.snapshot/hourly", "www"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    assert met(tmp_path, WalkPolicy()) == ({b"www"}, {"snapshot": 4})
    paths, others = met(tmp_path, WalkPolicy(snapshots=True))
    assert len(paths) == 5 and others == {}


@pytest.mark.parametrize(("owner", "mode"), [(1000, 0o755), (0, 0o775), (0, 0o1777)])
def test_a_folder_that_a_customer_can_make_or_fill_is_no_snapshot(
    tmp_path: Path, owner: int, mode: int
) -> None:
    for name in (".zfs", ".snapshot", ".snapshots"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        os.chown(tmp_path / name, owner, owner)
        (tmp_path / name).chmod(mode)
    (tmp_path / "real").mkdir()
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / ".snapshots").symlink_to(tmp_path / "real")
    (tmp_path / "www" / ".snapshot").write_text("a file of this name")
    paths, others = met(tmp_path, WalkPolicy())
    assert paths == {b".zfs", b".snapshot", b".snapshots", b"www"}
    assert others == {"symlink": 1}


def test_a_case_says_that_snapshots_may_still_hold_the_file_where_there_are_some(tmp_path: Path) -> None:
    for volume in ("with", "without"):
        (tmp_path / volume).mkdir()
        (tmp_path / volume / "bad.gif").write_bytes(BAD)
    (tmp_path / "with" / ".snapshots" / "1").mkdir(parents=True)
    (tmp_path / "with" / ".snapshots" / "1" / "bad.gif").write_bytes(BAD)
    (tmp_path / "list.txt").write_text(f"{hashlib.sha256(BAD).hexdigest()}  x\n")
    app = App(
        Config(hashing=Hashing(workers=1)),
        StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"),
    )
    outcome = asyncio.run(
        app.scan_paths(
            [tmp_path / "with", tmp_path / "without"], [str(tmp_path / "list.txt")],
            MetricsReporter(app.metrics, app.clock), threading.Event(), quarantine=True, full=False,
        )
    )  # fmt: skip
    assert outcome.counts.secured == 2 and outcome.counts.complete
    assert outcome.counts.other == {"snapshot": 1}
    with app.ledger(read_only=True) as ledger:
        said = {
            case.volume: "snapshots of the volume may still hold it" in case.reason for case in ledger.list()
        }
    assert said == {"with": True, "without": False}
    assert (tmp_path / "with" / ".snapshots" / "1" / "bad.gif").exists()
