"""Trees that a customer makes to lead the walk astray, to hang it or to hide from it."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from scanner.model.files import (
    DirectoryFailed,
    DirectoryMet,
    FilesSkipped,
    FormerDirectory,
    KnownDirectory,
    KnownFile,
    OthersMet,
    WalkEvent,
)
from scanner.sources import WalkPolicy, compile_excludes, walk
from scanner.system import opening


class Meddler:
    """A catalog that knows nothing, and does something when it is asked of the root."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def directory(self, path: bytes) -> KnownDirectory | None:
        if path == b"":
            self._act()
        return None

    def formerly(self, inode: int) -> FormerDirectory | None:
        return None

    def files(self, directory_id: int) -> Mapping[bytes, KnownFile]:
        return {}

    def some_files(self, directory_id: int, names: Sequence[bytes]) -> Mapping[bytes, KnownFile]:
        return {}


def walked(root: Path, policy: WalkPolicy | None = None, known: Meddler | None = None) -> list[WalkEvent]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list(walk(fd, policy or WalkPolicy(), known, lambda: 1 << 62))
    finally:
        os.close(fd)


def names(events: list[WalkEvent]) -> set[bytes]:
    return {s.name for e in events if isinstance(e, DirectoryMet) for s in e.changed}


@pytest.fixture(params=["openat2", "old kernel"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "old kernel":
        monkeypatch.setattr(opening, "have_openat2", lambda: False)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("one_filesystem", [True, False])
def test_a_link_swapped_in_for_a_listed_directory_is_not_followed(
    tmp_path: Path, one_filesystem: bool
) -> None:
    secret, volume = tmp_path / "secret", tmp_path / "volume"
    secret.mkdir()
    (secret / "shadow").touch()
    (volume / "victim").mkdir(parents=True)
    (volume / "victim" / "own").touch()

    def swap() -> None:
        shutil.rmtree(volume / "victim")
        (volume / "victim").symlink_to(secret)

    events = walked(volume, WalkPolicy(one_filesystem=one_filesystem), Meddler(swap))

    assert DirectoryFailed(b"victim", "link_race") in events
    assert names(events) == set()


@pytest.mark.usefixtures("kernel")
def test_a_directory_moved_away_during_the_walk_leads_nowhere_else(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "a" / "below").mkdir(parents=True)
    (volume / "a" / "below" / "inside").touch()
    (tmp_path / "outside").touch()
    events: list[WalkEvent] = []
    fd = os.open(volume, os.O_RDONLY | os.O_DIRECTORY)
    for event in walk(fd, WalkPolicy(), None, lambda: 1 << 62):
        if isinstance(event, DirectoryMet) and event.path == b"a":
            (volume / "a").rename(tmp_path / "moved")
        events.append(event)
    os.close(fd)

    assert names(events) == {b"inside"}


def test_a_directory_that_vanished_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()

    events = walked(tmp_path, known=Meddler(lambda: (tmp_path / "gone").rmdir()))

    assert DirectoryFailed(b"gone", "vanished") in events


def test_pipes_and_sockets_are_counted_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
    (tmp_path / "left-out").mkdir()
    os.mkfifo(tmp_path / "left-out" / "fifo")
    code = (
        "import os, sys; from scanner.sources import *; fd = os.open(sys.argv[1], os.O_RDONLY);"
        "policy = WalkPolicy(excludes=compile_excludes(['left-out']));"
        "print(list(walk(fd, policy, None, lambda: 1 << 62))[-1])"
    )
    # A pipe that is opened waits for its writer for ever; the time is the answer.
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], timeout=20, capture_output=True, text=True, check=True
    )
    assert sorted(re.findall(r"'(\w+)': (\d)", out.stdout)) == [("fifo", "2"), ("socket", "1")]


@pytest.mark.root
def test_devices_are_counted_as_such(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this container may not make device nodes")
    assert OthersMet({"device": 1}) in walked(tmp_path)


@contextmanager
def chain(root: Path, levels: int, name: str, *, branch: bool = False) -> Iterator[None]:
    """Directories in each other with a file in each, made without ever using a path.

    Branching, each level has another directory that is listed after the one that goes on.
    """
    fd = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        if branch:
            os.mkdir("z" + name, dir_fd=fd)
        first = next(n for n in os.listdir(fd) if n.endswith(name)) if branch else name
        below = os.open(first, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", *root.iterdir()], check=True)


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """Leave only so many descriptors to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = set(map(int, os.listdir("/proc/self/fd")))
    free = [number for number in range(soft) if number not in in_use]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def skipped_for_depth(events: list[WalkEvent]) -> int:
    return sum(e.files for e in events if isinstance(e, FilesSkipped) and e.reason == "depth")


def failures(events: list[WalkEvent]) -> list[str]:
    return [e.kind for e in events if isinstance(e, DirectoryFailed)]


def test_a_tree_deeper_than_a_path_can_be_is_walked_to_its_end(tmp_path: Path) -> None:
    with chain(tmp_path, 100, "d" * 200):
        events = walked(tmp_path)

    paths = [e.path for e in events if isinstance(e, DirectoryMet) and e.changed]
    assert len(paths) == 100
    assert max(map(len, paths)) > 20_000
    assert failures(events) == []


def test_a_chain_of_directories_costs_no_descriptor_for_each(tmp_path: Path) -> None:
    with chain(tmp_path, 600, "d"), descriptors(12):
        events = walked(tmp_path, WalkPolicy(max_depth=300))

    assert len(names(events)) == 1
    assert sum(len(e.changed) for e in events if isinstance(e, DirectoryMet)) == 300
    assert skipped_for_depth(events) == 300
    assert failures(events) == []


@pytest.mark.parametrize(("levels", "problems"), [(200, []), (300, ["too_deep"])])
def test_a_tree_below_the_depth_limit_is_counted_as_far_as_descriptors_go(
    tmp_path: Path, levels: int, problems: list[str]
) -> None:
    with chain(tmp_path, levels, "d", branch=True):
        events = walked(tmp_path, WalkPolicy(max_depth=10))

    assert failures(events) == problems
    assert 0 < skipped_for_depth(events) <= levels - 10
    assert (skipped_for_depth(events) == levels - 10) is not bool(problems)


def test_a_tree_that_uses_up_the_descriptors_is_a_failure_and_the_rest_is_walked(tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "picture").touch()
    with chain(tmp_path / "trap", 100, "d", branch=True), descriptors(30):
        events = walked(tmp_path)

    assert "too_deep" in failures(events)
    assert b"picture" in names(events)


def test_our_own_directories_are_left_out_by_what_they_are_not_by_name(tmp_path: Path) -> None:
    for name in ("vault", "renamed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "evidence").touch()
    st = (tmp_path / "vault").stat()
    (tmp_path / "vault").rename(tmp_path / "elsewhere")
    (tmp_path / "renamed").rename(tmp_path / "vault")

    events = walked(tmp_path, WalkPolicy(own=frozenset({(st.st_dev, st.st_ino)})))

    assert FilesSkipped(b"elsewhere", "own", 1) in events
    assert [e.path for e in events if isinstance(e, DirectoryMet) and e.changed] == [b"vault"]


_BIND = """
import os, sys, subprocess
root = sys.argv[1]
subprocess.run(["mount", "--bind", root + "/source", root + "/volume/bound"], check=True)
from scanner.sources import *
from scanner.system import opening
fd = os.open(root + "/volume", os.O_RDONLY)
if sys.argv[2] == "old":
    opening.have_openat2 = lambda: False
for one in (True, False):
    print(list(walk(fd, WalkPolicy(one_filesystem=one), None, lambda: 1 << 62))[1:])
    traced = trace(fd, b"bound/file", WalkPolicy(one_filesystem=one))
    print(traced.reach, traced.at, traced.reason)
"""


@pytest.mark.root
@pytest.mark.parametrize("kernel", ["new", "old"])
def test_a_bind_mount_of_the_same_file_system_is_not_entered(tmp_path: Path, kernel: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").touch()
    (tmp_path / "volume" / "bound").mkdir(parents=True)
    out = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", _BIND, str(tmp_path), kernel],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    if out.returncode and ("permission" in out.stderr or "Operation not permitted" in out.stderr):
        pytest.skip(f"this container may not mount: {out.stderr.strip()[-200:]}")
    assert out.returncode == 0, out.stderr
    one, traced_one, all_of_them, traced_all = out.stdout.splitlines()
    assert one == "[OthersMet(counts={'mount': 1})]"
    assert traced_one == "left_out b'bound' mount"
    assert "b'file'" in all_of_them
    assert traced_all.rstrip() == "file b'bound/file'"


_AS_NOBODY = """
import os, sys
from scanner.sources import *
fd = os.open(sys.argv[1], os.O_RDONLY)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for event in walk(fd, WalkPolicy(excludes=compile_excludes(["left-out"])), None, lambda: 1 << 62):
    print(type(event).__name__, event.path, getattr(event, "kind", ""), getattr(event, "reason", ""),
          getattr(event, "files", ""))
"""


@pytest.mark.root
def test_what_may_not_be_read_is_told_and_never_passes_as_clean(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for name, mode in (("closed", 0o700), ("names-only", 0o744), ("left-out", 0o700)):
        (volume / name).mkdir(parents=True)
        (volume / name / "file").touch()
        (volume / name).chmod(mode)

    def as_nobody(root: Path) -> list[str]:
        command = [sys.executable, "-c", _AS_NOBODY, str(root)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert as_nobody(volume / "closed") == ["DirectoryFailed b'' permission  "]
    out = as_nobody(volume)
    assert "DirectoryFailed b'closed' permission  " in out
    assert "FilesSkipped b'names-only'  unreadable 1" in out
    assert "FilesSkipped b'left-out'  excluded 0" in out


def test_a_hostile_name_is_only_a_name(tmp_path: Path) -> None:
    hostile = [b"new\nline", b"\xff", b"\x1b]0;x\x07", b"..a", b"a" * 255]
    for name in hostile:
        os.mkdir(os.path.join(os.fsencode(tmp_path), name))
        os.close(os.open(os.path.join(os.fsencode(tmp_path), name, name), os.O_CREAT))

    events = walked(tmp_path, WalkPolicy(excludes=compile_excludes(["nothing*"])))

    assert {(e.path, e.changed[0].name) for e in events if isinstance(e, DirectoryMet) and e.path} == {
        (name, name) for name in hostile
    }
