"""Storage that stops answering: the scan of its volume ends with a clear error, everything else goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.app import App
from scanner.app.scanning import Scanner
from scanner.app.state import StateDirectory
from scanner.config import Config, VolumeConfig
from scanner.model.errors import SourceError
from scanner.pipeline.reporting import Reporters
from scanner.pipeline.stalling import Silence, Stuck
from scanner.pipeline.walking import WalkerProcess, WalkOrder
from scanner.system.mounts import is_pseudo, is_remote, mounts, type_at

HERE = str(Path(__file__).parent)


def test_a_walker_that_is_silent_and_idle_is_given_up_and_a_busy_one_is_not() -> None:
    busy = iter(range(10_000))
    silence = Silence(5.0, lambda: b"%d" % next(busy))
    assert not any(silence.too_long(float(second)) for second in range(1000))
    silence = Silence(5.0, lambda: b"same")
    assert [silence.too_long(float(second)) for second in range(7)] == [False] * 5 + [True] * 2
    silence.broken()
    assert not silence.too_long(100.0)


@pytest.fixture
def walker(tmp_path: Path) -> Iterator[WalkerProcess]:
    (tmp_path / "www").mkdir()
    fd = os.open(tmp_path / "www", os.O_RDONLY | os.O_DIRECTORY)
    made = WalkerProcess(WalkOrder("web", os.fsencode(tmp_path / "www"), "", b""), fd, Stuck())
    yield made
    made.stop()
    os.close(fd)


def test_the_kernel_tells_a_walker_that_works_from_one_that_hangs(walker: WalkerProcess) -> None:
    before = walker.activity()
    while walker.activity() == before:  # it starts: imports, reads, waits for the disk
        pass
    os.kill(walker.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, walker.pid, os.WSTOPPED | os.WNOWAIT)
    assert walker.activity() == walker.activity() != b""


def _volume(name: str, base: Path) -> VolumeConfig:
    return VolumeConfig.model_validate({"name": name, "path": base / name, "stall_limit": "1s"})


def test_a_scan_whose_walker_hangs_ends_incomplete_with_a_clear_error_and_the_next_volume_is_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dead", "alive"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text("x")

    class Stopped(WalkerProcess):
        """Hangs as soon as it is started, as in a system call that does not come back."""

        def __init__(self, order: WalkOrder, root_fd: int, stuck: Stuck) -> None:
            super().__init__(order, root_fd, stuck)
            if order.volume == "dead":
                os.kill(self.pid, signal.SIGSTOP)

    volumes = tuple(_volume(n, tmp_path) for n in ("dead", "alive"))
    app = App(Config(volumes=volumes), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    app.state.prepare()
    monkeypatch.setattr("scanner.app.walks.WalkerProcess", Stopped)
    scanner = Scanner(app.tools, app.keeper.open(), Reporters([]), threading.Event(), quarantine=False)
    with pytest.raises(SourceError, match="volume dead: its storage has not answered for 1 s"):
        scanner.scan([app.volume("dead")])
    with app.ledger(read_only=True) as ledger:
        assert not ledger.last_scans()["dead"].last.complete
    assert scanner.scan([app.volume("alive")]).counts.complete


def test_file_systems_are_told_by_the_table_of_mounts() -> None:
    assert type_at(b"/proc/self") == "proc" and is_pseudo("proc")
    assert type_at(b"/procession") != "proc"
    assert {m.point for m in mounts()} >= {b"/", b"/proc"}
    assert all(map(is_remote, ("nfs4", "cifs", "fuse", "fuse.sshfs", "fuseblk")))
    assert not any(map(is_remote, ("ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs")))


def in_namespace(script: str, base: Path) -> str:
    """Run a script as root of a mount namespace of its own, with the hanging file system at hand."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", script, str(base)],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "PYTHONPATH": HERE},
    )  # fmt: skip
    refused = ("Operation not permitted", "No such device", "'/dev/fuse'")
    if done.returncode and any(word in done.stderr for word in refused):
        pytest.skip(f"this container may not mount FUSE: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


_DEAD_ROOT = """
import os, sys, threading
from pathlib import Path
import hanging_fuse
from scanner.app import App
from scanner.app.scanning import Scanner
from scanner.app.state import StateDirectory
from scanner.config import Config, VolumeConfig, checking
from scanner.model.errors import SourceError
from scanner.pipeline.reporting import Reporters

base = Path(sys.argv[1])
hanging_fuse.mount(base / "dead")
checking._PROBE_SECONDS = 0.5
volumes = tuple(
    VolumeConfig.model_validate({"name": n, "path": base / n, "stall_limit": "1s"}) for n in ("dead", "alive")
)
app = App(Config(volumes=volumes), StateDirectory(base / "state", base / "state" / "quarantine"))
app.check()
app.state.prepare()
scanner = Scanner(app.tools, app.keeper.open(), Reporters([]), threading.Event(), quarantine=False)

def scan(name):
    try:
        return scanner.scan([app.volume(name)]).counts.complete
    except SourceError as e:
        return e.what

print(scan("dead"))
print(scan("dead").startswith("its storage has stopped answering: process"))
print(scan("alive"))
hanging_fuse.release(base / "dead")  # an operator's `umount -f`
while app.stuck.pid("dead"):
    pass
print(scan("dead"), flush=True)
os._exit(0)
"""


@pytest.mark.root
def test_a_volume_on_a_dead_file_system_holds_up_neither_start_nor_other_volumes(tmp_path: Path) -> None:
    for name in ("dead", "alive"):
        (tmp_path / name).mkdir()
    lines = in_namespace(_DEAD_ROOT, tmp_path).splitlines()
    assert lines[:3] == ["its storage (fuse) has not answered for 1 s", "True", "True"]
    assert "can't be opened (Transport endpoint is not connected)" in lines[3]


_BELOW = """
import os, sys, subprocess
from pathlib import Path
import hanging_fuse
from scanner.sources import WalkPolicy, walk

base = Path(sys.argv[1])
hanging_fuse.mount(base / "dead")
subprocess.run(["mount", "-t", "proc", "proc", base / "proc"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", base / "more"], check=True)
(base / "more" / "file").touch()
fd = os.open(base, os.O_RDONLY)
for one in (True, False):
    events = list(walk(fd, WalkPolicy(one_filesystem=one), None, lambda: 1 << 62))
    print(sorted(events[-1].counts.items()), sum(len(getattr(e, "changed", ())) for e in events), flush=True)
os._exit(0)
"""


@pytest.mark.root
def test_kernel_views_and_what_can_hang_are_counted_and_not_entered_below_a_volume(tmp_path: Path) -> None:
    for name in ("dead", "proc", "more"):
        (tmp_path / name).mkdir()
    one, all_of_them = in_namespace(_BELOW, tmp_path).splitlines()
    assert one == "[('mount', 3)] 0"
    assert all_of_them == "[('network_filesystem', 1), ('pseudo_filesystem', 1)] 1"
