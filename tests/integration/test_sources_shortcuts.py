"""XFS and btrfs say which inodes changed, and a scan looks only there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from walked import Catalog, told

from scanner.model.files import DirectoryMet
from scanner.sources import Shortcut, WalkPolicy, walk, walk_volume
from scanner.sources.inodemap import load
from scanner.sources.shortcuts import inode_source
from scanner.system.inodes import Inodes

pytestmark = pytest.mark.root
HOUR = 3_600_000_000_000


@pytest.fixture(params=["xfs", "btrfs"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in a file."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if shutil.which(f"mkfs.{request.param}") is None:
        pytest.skip(f"mkfs.{request.param} is missing: apt install xfsprogs btrfs-progs")
    image, target = tmp_path / "image", tmp_path / "storage"
    target.mkdir()
    with image.open("wb") as f:
        f.truncate(512 << 20)
    subprocess.run([f"mkfs.{request.param}", "-q", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(target)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a {request.param} can't be mounted here: {mounted.stderr.strip()}")
    yield target
    subprocess.run(["umount", "--lazy", str(target)], check=True)


def all_of(chunks: Iterator[Inodes]) -> dict[int, tuple[int, int, int]]:
    found = {}
    for chunk in chunks:
        assert len(chunk)
        assert (chunk["inode"][1:] > chunk["inode"][:-1]).all()
        found |= {int(n): (int(c), int(s), int(m)) for n, c, s, m in chunk.tolist()}
    return found


def stat_of(path: Path) -> tuple[int, int, int]:
    st = path.lstat()
    return st.st_ctime_ns, st.st_size if path.is_file() else 0, st.st_mode


def test_the_file_system_says_of_inodes_what_stat_says(storage: Path) -> None:
    for number in range(5000):
        (storage / f"{number}").write_bytes(b"x" * (number % 7))
    (storage / "below").mkdir()
    os.utime(storage / "1", ns=(1, 1))
    os.sync()  # an XFS tells sizes as they are on disk
    fd = os.open(storage, os.O_RDONLY | os.O_DIRECTORY)
    known = inode_source(fd)
    assert known is not None
    source, before = known
    beginning = before if source.whole else " ".join(("0", before.split(" ")[1]))
    found = all_of(iter(source.since(beginning)))
    for path in storage.iterdir():
        assert found[path.stat().st_ino] == stat_of(path)
    (storage / "7").write_bytes(b"changed")
    (storage / "below" / "new").touch()
    for number in range(1000, 5000, 7):
        (storage / f"{number}").unlink()
    os.sync()
    changed = [storage / "7", storage / "below" / "new", storage / "below", storage]
    source.token()
    later = all_of(iter(source.since(before)))
    for path in changed:
        assert later[path.stat().st_ino] == stat_of(path)
    assert source.whole or len(later) < 10
    os.close(fd)


def test_walks_see_every_change_between_plain_walks(storage: Path, tmp_path: Path) -> None:
    root = storage / "www"
    for customer in range(40):
        (root / f"c{customer}" / "img").mkdir(parents=True)
        for number in range(5):
            (root / f"c{customer}" / "img" / f"{number}.png").write_text(f"{customer} {number}")
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    catalog, shadow = Catalog(), Catalog()
    shortcut = Shortcut(tmp_path / "walks" / "web", "with", 24 * HOUR)
    later = time.time_ns() + HOUR  # nothing is young then

    def walked(when: int = 0) -> int:
        """Both ways; how many directories were looked at."""
        want = list(walk(fd, WalkPolicy(), shadow, lambda: later + when))
        got = list(walk_volume(fd, os.fsencode(root), WalkPolicy(), catalog, lambda: later + when, shortcut))
        assert told(got) == told(want)
        shadow.learn(want)
        catalog.learn(got)
        return sum(1 for e in got if isinstance(e, DirectoryMet) and not e.cached)

    assert walked() == 81
    assert load(shortcut.map) is not None
    assert walked() == 0
    (root / "c1" / "img" / "2.png").write_text("changed")
    os.rename(root / "c2", root / "c99")
    (root / "c3" / "img" / "4.png").unlink()
    (root / "c4" / "img" / "new").mkdir()
    (root / "c4" / "img" / "new" / "5.png").touch()
    (storage / "elsewhere").touch()
    assert walked() == 5  # those of 1, 3, 99 and its images, and the new one
    assert walked() == 0
    os.utime(root / "c5" / "img" / "0.png", ns=(5, 5))
    assert walked() == 1
    shortcut.map.write_bytes(b"nonsense")
    assert walked() == 0 and load(shortcut.map) is not None
    made = shortcut.map.stat().st_mtime_ns
    assert walked(25 * HOUR) == 0  # a plain one is due, which writes the map anew
    assert shortcut.map.stat().st_mtime_ns > made
    os.close(fd)


def test_a_mount_below_a_volume_is_not_taken_for_what_it_hides(storage: Path, tmp_path: Path) -> None:
    root = storage / "www"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "1").touch()
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    catalog, shortcut = Catalog(), Shortcut(tmp_path / "map", "with", 24 * HOUR)
    later = time.time_ns() + HOUR

    def paths() -> set[bytes]:
        got = list(walk_volume(fd, os.fsencode(root), WalkPolicy(), catalog, lambda: later, shortcut))
        catalog.learn(got)
        return {e.path for e in got if isinstance(e, DirectoryMet)}

    assert paths() == {b"", b"a", b"a/b"} == paths()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(root / "a" / "b")], check=True)
    try:
        assert paths() == {b"", b"a"}
    finally:
        subprocess.run(["umount", str(root / "a" / "b")], check=True)
        os.close(fd)


def subvolume(path: Path, of: Path | None = None) -> Path:
    if shutil.which("btrfs") is None:
        pytest.skip("btrfs is missing: apt install btrfs-progs")
    command = ["create"] if of is None else ["snapshot", str(of)]
    subprocess.run(["btrfs", "subvolume", *command, str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("storage", ["btrfs"], indirect=True)
def test_a_file_of_another_subvolume_with_the_same_inode_and_times_is_another_file(
    storage: Path, tmp_path: Path
) -> None:
    root = storage / "www"
    root.mkdir()
    shown, hidden = subvolume(root / "shown"), subvolume(storage / "hidden")
    for number in range(50):
        for directory, content in ((shown, b"good"), (hidden, b"evil")):
            # Not by open(), which has a look at it: that gives the next change another time.
            file = os.open(directory / f"{number}", os.O_CREAT | os.O_WRONLY)
            os.write(file, content)
            os.close(file)
    pairs = [[(st.st_ino, st.st_ctime_ns) for st in (d.joinpath(f"{n}").stat() for d in (shown, hidden))]
             for n in range(50)]  # fmt: skip
    if all(one != other for one, other in pairs):
        pytest.skip("no two files were written in one tick of the clock")
    fd, later, catalog = os.open(root, os.O_RDONLY | os.O_DIRECTORY), time.time_ns() + HOUR, Catalog()
    shortcut = Shortcut(tmp_path / "map", "with", 24 * HOUR)

    def changed() -> list[tuple[bytes, int]]:
        events = list(walk_volume(fd, os.fsencode(root), WalkPolicy(), catalog, lambda: later, shortcut))
        catalog.learn(events)
        return [(e.path, len(e.changed)) for e in events if isinstance(e, DirectoryMet) and e.changed]

    assert changed() == [(b"shown", 50)]
    os.rename(shown, root / "aside")
    os.rename(hidden, shown)
    assert changed() == [(b"shown", 50)]  # and what is aside now is known
    os.rename(shown, root / "renamed")
    assert changed() == []
    os.close(fd)


@pytest.mark.parametrize("storage", ["btrfs"], indirect=True)
def test_an_older_state_that_was_put_back_is_walked_plainly(storage: Path, tmp_path: Path) -> None:
    root = subvolume(storage / "www")
    (root / "1").write_text("listed")
    subvolume(storage / "yesterday", of=root)
    (root / "1").unlink()
    catalog, later = Catalog(), time.time_ns() + HOUR
    shortcut = Shortcut(tmp_path / "map", "with", 24 * HOUR)

    def files() -> int:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        events = list(walk_volume(fd, os.fsencode(root), WalkPolicy(), catalog, lambda: later, shortcut))
        catalog.learn(events)
        os.close(fd)
        return sum(len(e.changed) + e.clean for e in events if isinstance(e, DirectoryMet))

    assert files() == 0 == files()
    os.rename(root, storage / "broken")
    os.rename(storage / "yesterday", root)
    assert files() == 1
