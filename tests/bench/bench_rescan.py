"""A second scan of a tree in which nothing changed, beside find: warm, cold, on XFS and btrfs, and how it
grows; and one of a tree in which all directories have other paths."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import materials
from hostsweep_runs import Hostsweep
from measuring import Run, Skipped, alternate, median_of, run
from plot import growth_plot
from report import Row, judged

from scanner.catalog import Catalog, DirectoryRecord
from scanner.model.files import DirectoryMet, FileState, KnownFile
from scanner.model.hashes import Digests
from scanner.model.profiles import ground_of
from scanner.sources import WalkPolicy, walk

_PLOT = Path(__file__).parents[2] / "docs" / "walk-growth.svg"
_EXACT_ONLY = "{perceptual: []}"
_SIZE = 160  # bytes of a file
_WARM, _COLD = 1.5, 1.15  # times find's own, at most
# Name of a volume, and the profile that its root was scanned with.
_SCANNED = """
SELECT name, profiles.profile FROM volumes JOIN directories ON volume_id = volumes.id
JOIN profiles ON profiles.id = directories.profile WHERE root = ?
"""
_DROP = Path("/proc/sys/vm/drop_caches")


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree that was scanned once, and what runs over it again."""

    root: Path
    files: int
    sweep: Hostsweep
    state: Path
    nothing: Path  # a state directory of scans of an empty directory
    first: Run

    @classmethod
    def made(cls, work: Path, at: Path, files: int, *, hashed: bool = True) -> _Tree:
        """Make and scan it.

        Args:
            hashed: else its files are entered into the catalog with made-up digests.
        """
        root = at / "tree"
        work.mkdir(exist_ok=True)
        sweep = Hostsweep(work, materials.small_list(work / "list.txt"), _EXACT_ONLY)
        state, nothing = sweep.fresh_state(), sweep.fresh_state()
        if not hashed:
            root.mkdir()
            run(sweep.command(root, state))  # makes the volume's row
        materials.tree(root, files, _SIZE)
        materials.settle()
        if not hashed:
            _enter(root, state)
        return cls(root, files, sweep, state, nothing, run(sweep.command(root, state)))

    def again(self) -> Run:
        return self.sweep.rescan(self.root, self.files, self.state)

    def find(self) -> Run:
        return run(["find", str(self.root), "-type", "f", "-printf", r"%i %s %C@ %m %p\n"])

    def start(self) -> Run:
        return self.sweep.rescan(self.sweep.empty, 0, self.nothing)

    def runs(self, rounds: int, before: Callable[[], None] = lambda: None) -> list[list[Run]]:
        """Second scans, finds, and scans of an empty directory, in turn; `before` each."""

        def after(action: Callable[[], Run]) -> Callable[[], Run]:
            def both() -> Run:
                before()
                return action()

            return both

        return alternate(rounds, after(self.again), after(self.find), after(self.start))


def _enter(root: Path, state: Path) -> None:
    """Take all files for hashed."""
    path = state / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        name, profile = connection.execute(_SCANNED, (os.fsencode(root),)).fetchone()
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume(name, os.fsencode(root), profile)
        for number, met in enumerate(walk(fd, WalkPolicy(profile=ground_of(profile)), None, time.time_ns)):
            if isinstance(met, DirectoryMet):
                rows = [KnownFile(stat, FileState.CLEAN, _digests(stat.size)) for stat in met.changed]
                volume.record(DirectoryRecord(met.path, met.fingerprint, rows, inode=met.inode))
            if not number % 1000:
                volume.commit()
        volume.commit()
    os.close(fd)


def _digests(size: int) -> Digests:
    kinds = {"md5": 16, "sha1": 20, "sha256": 32}
    return Digests(size, "image/gif", {kind: os.urandom(length) for kind, length in kinds.items()})


def _rows(what: str, runs: list[list[Run]], aim: float | None) -> Iterator[Row]:
    """By the clock and by processor time, whole and without start-up.

    Args:
        aim: by the clock, whole process; None for none.
    """
    ours, theirs, starts = runs
    rounds = list(zip(ours, theirs, starts, strict=True))
    seconds = [f"{median_of(one):.2f} s ({median_of(one, 'cpu'):.2f} s of a core)" for one in runs]
    note = f"{seconds[0]}, find {seconds[1]}, hostsweep on an empty directory {seconds[2]}"
    if median_of(starts, "cpu") > median_of(theirs, "cpu"):
        note += "; starting Python and loading the libraries takes longer than find takes for all of it"
    for unit, title in (("wall", "wall"), ("cpu", "processor")):
        a, b, s = ([getattr(r, unit) for r in one] for one in zip(*rounds, strict=True))
        whole = sorted(x / y for x, y in zip(a, b, strict=True))
        net = sorted((x - z) / y for x, y, z in zip(a, b, s, strict=True))
        for part, values in (("whole process", whole), ("without start-up", net)):
            middle = values[len(values) // 2]
            measured = f"{middle:.2f} ({values[0]:.2f} to {values[-1]:.2f})"
            name = f"{what}: {part}, by find's {title} time"
            remark = note if (unit, part) == ("wall", "whole process") else ""
            if aim is None:
                yield Row(name, "-", measured, "-", remark)
            else:
                yield judged(name, f"at most {aim}", measured, middle <= aim, remark)


def small(work: Path) -> Iterator[Row]:
    """200,000 files, the page cache warm, and the same after every customer's directory was renamed."""
    tree = _Tree.made(work, work, 200_000)
    yield from _rows(f"second scan of {tree.files:,} unchanged files", tree.runs(7), _WARM)
    rate = f"{tree.first.wall:.1f} s, {tree.files / tree.first.wall:,.0f} files/s"
    yield Row(f"first scan of these {tree.files:,} files", "-", rate, "-")
    yield _renamed(tree)


def _renamed(tree: _Tree) -> Row:
    costs = []
    for number in range(3):
        for directory in list(tree.root.iterdir()):
            directory.rename(directory.with_name(f"{directory.name.partition('.')[0]}.{number}"))
        costs.append((tree.again(), tree.start()))  # which checks that nothing was hashed
    first = tree.first.cpu / tree.files * 1e6
    cpu, wall = (sorted(getattr(a, w) - getattr(s, w) for a, s in costs)[1] for w in ("cpu", "wall"))
    return Row(
        f"scan of these {tree.files:,} files after every customer's directory was renamed",
        "-",
        f"{cpu / tree.files * 1e6:.1f} us of processor time a file, {wall:.1f} s",
        "-",
        f"no file is read; without start-up; a first scan takes {first:.0f} us a file",
    )


def cold(work: Path) -> Iterator[Row]:
    """100,000 files on an ext4 of their own; everything that the kernel holds of files is dropped before each
    run."""
    with _mounted("ext4", work) as at:
        tree = _Tree.made(work / "runs", at, 100_000, hashed=False)

        def drop() -> None:
            os.sync()
            try:
                _DROP.write_text("3")
            except OSError as e:
                raise Skipped(f"caches can't be dropped here ({e.strerror})") from e

        yield from _rows(f"second scan of {tree.files:,} unchanged files, cold", tree.runs(3, drop), _COLD)


def xfs(work: Path) -> Iterator[Row]:
    """By all inodes of an XFS."""
    yield from _told("xfs", work)


def btrfs(work: Path) -> Iterator[Row]:
    """By the inodes of a btrfs that changed since the last scan."""
    yield from _told("btrfs", work)


def _told(kind: str, work: Path) -> Iterator[Row]:
    with _mounted(kind, work) as at:
        tree = _Tree.made(work / "runs", at, 100_000, hashed=False)
        os.sync()
        yield from _rows(f"second scan of {tree.files:,} unchanged files on {kind}", tree.runs(5), None)


def growth(work: Path) -> Iterator[Row]:
    """Ten thousand to a million files, as a plot."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for files in (10_000, 100_000, 1_000_000):
        at = work / str(files)
        at.mkdir()
        tree = _Tree.made(at, at, files, hashed=False)
        ours, theirs, starts = runs = tree.runs(5)
        net = sorted(a.cpu - s.cpu for a, s in zip(ours, starts, strict=True))
        for name, seconds in (
            ("second scan, whole process", median_of(ours, "cpu")),
            ("second scan, without start-up", net[len(net) // 2]),
            ("find", median_of(theirs, "cpu")),
        ):
            lines.setdefault(name, []).append((files, seconds))
        if files == 1_000_000:
            yield from _rows(f"second scan of {files:,} unchanged files", runs, _WARM)
        shutil.rmtree(at)
    _PLOT.write_text(growth_plot(lines, across="files"))
    for name, line in lines.items():
        points = "; ".join(f"{n:,}: {s:.2f} s" for n, s in line)
        yield Row(f"growth, processor time: {name}", "-", points, "-", "plot: docs/walk-growth.svg")


@contextmanager
def _mounted(kind: str, work: Path) -> Iterator[Path]:
    """A file system of its own in a file.

    Raises:
        Skipped: there is no right or no tool to make one.
    """
    if os.geteuid() != 0:
        raise Skipped(f"mounting an {kind} needs root")
    make = shutil.which(f"mkfs.{kind}")
    if make is None:
        raise Skipped(f"mkfs.{kind} is missing: apt install e2fsprogs xfsprogs btrfs-progs")
    image, at = work / "image", work / "mounted"
    at.mkdir()
    with image.open("wb") as f:
        f.truncate(4 << 30)
    run([make, "-q", str(image)])
    run(["mount", "-o", "loop", str(image), str(at)])
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)
