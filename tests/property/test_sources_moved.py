"""Directories that are moved, swapped, deleted and made anew, before and during walks: the catalog never
says of a file what is not so, and what was only moved is not read again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.catalog import Catalog, DirectoryRecord, VolumeCatalog
from scanner.model.files import DirectoryMet, FileStat, FileState, KnownFile
from scanner.model.hashes import Digests
from scanner.sources.policy import WalkPolicy
from scanner.sources.walk import Walk
from scanner.system.mounts import type_of
from scanner.system.opening import mount_id

DIRECTORIES = ("a", "b", "a/x", "a/y", "b/x", "c", "c/x/y")
FILES = ("1", "2", "3")


def contents(path: Path) -> Digests:
    data = path.read_bytes()
    return Digests(len(data), "image/png", {"sha256": sha256(data).digest()})


def state_of(digests: Digests) -> FileState:
    """Listed by chance, so that files are told of with what is known of them, too."""
    return FileState.LISTED if digests.exact["sha256"][0] < 64 else FileState.CLEAN


def stat_of(path: Path) -> FileStat:
    return FileStat.of(os.fsencode(path.name), path.lstat())


class Volume:
    def __init__(self, root: Path, written: VolumeCatalog, read: VolumeCatalog) -> None:
        self.root = root
        self.written = written
        self.read = read
        for name in DIRECTORIES[:5]:
            (self.root / name).mkdir(parents=True, exist_ok=True)
            for file in FILES:
                (self.root / name / file).write_text(f"{name} {file}")
        self.fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        self.policy = WalkPolicy(racy_ns=0)
        self._made = 0

    @property
    def keeps_inodes(self) -> bool:
        return type_of(mount_id(self.fd)) in ("ext4", "xfs", "btrfs", "tmpfs")

    def act(self, what: str, one: str, two: str) -> None:
        """Something that a customer does; nothing where it can't be done now."""
        a, b = self.root / one, self.root / two
        self._made += 1
        with suppress(OSError):
            if what == "move":
                b.parent.mkdir(exist_ok=True)
                os.rename(a, b / "in" if b.exists() else b)
            elif what == "swap" and a.is_dir() and b.is_dir():
                aside = self.root / "aside"
                os.rename(a, aside)
                os.rename(b, a)
                os.rename(aside, b)
            elif what == "remake":  # the same inodes, as likely as not
                shutil.rmtree(a)
                a.mkdir()
                for file in FILES:
                    (a / file).write_text(f"{self._made} {file}"[: len(f"{one} {file}")].ljust(9))
            elif what == "delete":
                shutil.rmtree(a)
            elif what == "write":
                (a / "1").write_text("x" * (20 + self._made))
            elif what == "rename":
                os.rename(a / "1", b / "2")
            elif what == "link":
                os.link(a / "1", b / f"link{self._made}")

    def walk(self, commit_every: int, meanwhile: list[tuple[str, str, str]]) -> int:
        """Walk and write down what was met as a scan does; how many files were read."""
        read, seen, whole = 0, [], True
        waiting = list(meanwhile)
        clock = max(p.lstat().st_ctime_ns for p in (self.root, *self.root.rglob("*"))) + 10**12
        for number, event in enumerate(Walk(self.policy, self.read, lambda: clock).run(self.fd)):
            if isinstance(event, DirectoryMet):
                seen.append(event.path)
                if not event.cached:
                    read += len(event.changed)
                    self._take(event)
            else:
                whole = False
            if number % commit_every == 0:
                self.written.commit()
            if waiting and number % 2:
                self.act(*waiting.pop())
        self.written.commit()
        if whole:
            self.written.forget_directories_not_seen(seen)
        return read

    def _take(self, met: DirectoryMet) -> None:
        directory = self.root / os.fsdecode(met.path)
        rows, complete = [], True
        for known in met.known:
            path = directory / os.fsdecode(known.stat.name)
            with suppress(OSError):
                if known.stat.same_version(stat_of(path)):
                    assert known.digests == contents(path)
        for stat in met.changed:
            path = directory / os.fsdecode(stat.name)
            try:
                digests, now = contents(path), stat_of(path)
            except OSError:
                complete = False
                continue
            complete = complete and now.same_version(stat)
            rows.append(KnownFile(now, state_of(digests), digests))
        self.written.record(
            DirectoryRecord(met.path, met.fingerprint, rows, met.gone, complete, met.inode, met.moved_from)
        )

    def check(self, known: VolumeCatalog) -> int:
        """Every row about a file as it is now is right; how many files have none."""
        without = 0
        for path in self.root.rglob("*"):
            if not path.is_file():
                continue
            found = known.lookup(os.fsencode(path.relative_to(self.root)))
            if found is None or not found[1].stat.same_version(stat_of(path)):
                without += 1
            else:
                assert found[1].digests == contents(path), path
        return without


class Volumes:
    """Makes volumes, all in one catalog: a new one takes longer than a walk."""

    def __init__(self, base: Path) -> None:
        self.catalog = Catalog.open(base / "catalog.sqlite")
        self.reader = Catalog.open(base / "catalog.sqlite", read_only=True)
        self._made = 0

    @contextmanager
    def new(self) -> Iterator[Volume]:
        self._made += 1
        of = (f"web{self._made}", b"/srv", b"profile")
        with tempfile.TemporaryDirectory(dir="/tmp") as root:
            found = Volume(Path(root), self.catalog.volume(*of), self.reader.volume(*of))
            try:
                yield found
            finally:
                os.close(found.fd)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volumes]:
    made = Volumes(tmp_path_factory.mktemp("moved"))
    yield made
    made.reader.close()
    made.catalog.close()


WHERE = st.sampled_from(DIRECTORIES)
ACTS = st.tuples(
    st.sampled_from(("move", "move", "swap", "remake", "delete", "write", "rename", "link")), WHERE, WHERE
)
MOVES = st.tuples(st.sampled_from(("move", "swap")), WHERE, WHERE)
COMMITS = st.sampled_from((1, 2, 100))


@settings(max_examples=30, deadline=None)
@given(
    rounds=st.lists(st.tuples(st.lists(ACTS, max_size=5), st.lists(ACTS, max_size=2), COMMITS), max_size=3)
)
def test_no_row_says_of_a_file_what_is_not_so(
    volumes: Volumes,
    rounds: list[tuple[list[tuple[str, str, str]], list[tuple[str, str, str]], int]],
) -> None:
    with volumes.new() as v:
        v.walk(100, [])
        for before, meanwhile, commit_every in rounds:
            for act in before:
                v.act(*act)
            v.walk(commit_every, meanwhile)
            v.check(v.written)
        v.walk(100, [])
        assert v.check(v.written) == 0
        files = sum(p.is_file() for p in v.root.rglob("*"))
        assert v.written.stats().files == files == sum(map(len, v.written.everything()))
        assert v.walk(1, []) == 0


@settings(max_examples=20, deadline=None)
@given(moves=st.lists(MOVES, min_size=1, max_size=6), commit_every=COMMITS)
def test_what_was_only_moved_is_not_read_again(
    volumes: Volumes, moves: list[tuple[str, str, str]], commit_every: int
) -> None:
    with volumes.new() as v:
        if not v.keeps_inodes:
            pytest.skip("the file system does not keep inodes")
        v.walk(100, [])
        for move in moves:
            v.act(*move)
        assert v.walk(commit_every, []) == 0
        assert v.check(v.written) == 0
