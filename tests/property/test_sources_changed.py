"""A walk over what changed by inode finds what a plain walk finds, whatever was done to the tree between."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walked import Catalog, told

from scanner.model.files import (
    DirectoryFailed,
    DirectoryMet,
    WalkEvent,
)
from scanner.sources.changed import ChangedWalk, changed_directories
from scanner.sources.excludes import compile_excludes
from scanner.sources.inodemap import InodeMap, load, save
from scanner.sources.mapping import Recorder
from scanner.sources.policy import WalkPolicy
from scanner.sources.walk import Walk
from scanner.system.inodes import Inodes, inodes

HOUR = 3_600_000_000_000
DIRECTORIES = ("", "a", "b", "a/x", "a/x/y", "a/z", "b/x", "skip", "skip/in")
FILES = ("1", "2", "3.skipped")


class Stats:
    """An inode source by plain stats of a whole file system: of the tree, and of things outside of it."""

    def __init__(self, base: Path, *, whole: bool, at_once: int = 3) -> None:
        self._base = base
        self.whole = whole
        self._at_once = at_once
        self._before: dict[int, tuple[int, int, int]] = {}

    def token(self) -> str:
        self._before = self._all()
        return "then"

    def _all(self) -> dict[int, tuple[int, int, int]]:
        found = {}
        for path in (self._base, *self._base.rglob("*")):
            s = path.lstat()
            found[s.st_ino] = (s.st_ctime_ns, s.st_size, s.st_mode)
        return found

    def since(self, token: str) -> Iterator[Inodes]:
        now = self._all()
        numbers = sorted(n for n in now if self.whole or now[n] != self._before.get(n))
        for i in range(0, len(numbers), self._at_once):
            some = numbers[i : i + self._at_once]
            yield inodes(some, *zip(*(now[n] for n in some), strict=True))


class Volume:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.outside = base / "outside"
        for path in (self.root, self.outside, *(self.root / d for d in DIRECTORIES[1:])):
            path.mkdir(exist_ok=True)
        for d in DIRECTORIES:
            for f in FILES[:2]:
                (self.root / d / f).write_text(d)
        self.fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        self.policy = WalkPolicy(excludes=compile_excludes(("/skip", "*.skipped"), os.fsencode(self.root)))
        # An hour later than anything here, so that nothing is young.
        self.now: Callable[[], int] = lambda: max(p.lstat().st_ctime_ns for p in base.rglob("*")) + HOUR

    def plain(self, catalog: Catalog) -> tuple[list[WalkEvent], InodeMap]:
        recorder = Recorder(self.base)
        events = list(Walk(self.policy, catalog, self.now, recorder).run(self.fd))
        made = recorder.finish("policy", 1, "then")
        assert made is not None
        return events, made

    def changed(
        self, catalog: Catalog, old: InodeMap, source: Stats
    ) -> tuple[list[WalkEvent], InodeMap, int]:
        recorder = Recorder(self.base, old)
        flags = changed_directories(old, source, ())
        walk = ChangedWalk(self.policy, catalog, self.now, old, flags, recorder)
        events = list(walk.run(self.fd))
        made = recorder.finish("policy", 1, "then")
        assert made is not None
        return events, made, walk.looked_at


@contextmanager
def volume() -> Iterator[Volume]:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        made_volume = Volume(Path(made))
        try:
            yield made_volume
        finally:
            os.close(made_volume.fd)


KINDS = ["write", "create", "delete", "move", "swap", "remove", "mkdir", "link", "chmod", "out", "symlink"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from(DIRECTORIES),
        st.sampled_from(FILES),
        st.sampled_from(DIRECTORIES),
    ),
    max_size=6,
)  # fmt: skip


def do(v: Volume, step: tuple[str, str, str, str]) -> None:
    what, d, f, e = step
    one, other = v.root / d, v.root / e
    with suppress(OSError):
        if what == "write":
            (one / f).write_text("more " * 3)
        elif what == "create":
            (one / f"new-{f}").write_text("new")
        elif what == "delete":
            (one / f).unlink()
        elif what == "move":
            os.rename(one, other / "moved") if d else os.rename(one / f, other / f"moved-{f}")
        elif what == "swap" and d and e:
            os.rename(one, v.outside / "swap")
            os.rename(other, one)
            os.rename(v.outside / "swap", other)
        elif what == "remove" and d:
            os.rename(one, v.outside / d.replace("/", "-"))
        elif what == "mkdir":
            (one / "made" / "below").mkdir(parents=True)
            (one / "made" / "below" / f).write_text("deep")
        elif what == "link":
            os.link(one / f, other / f"link-{f}")
        elif what == "chmod":
            (one / f).chmod(0o600)
        elif what == "out":
            (v.outside / f).write_text("not ours")
        elif what == "symlink" and not d.startswith("skip"):
            os.symlink("nowhere", one / "sym")


@settings(deadline=None, max_examples=60)
@given(rounds=st.lists(STEPS, min_size=1, max_size=3), whole=st.booleans())
def test_it_finds_what_a_plain_walk_finds(rounds: list[list[tuple[str, str, str, str]]], whole: bool) -> None:
    with volume() as v:
        source, catalog, shadow = Stats(v.base, whole=whole), Catalog(), Catalog()
        events, known = v.plain(catalog)
        catalog.learn(events)
        shadow.learn(events)
        source.token()
        for steps in rounds:
            for step in steps:
                do(v, step)
            want, _ = v.plain(shadow)
            got, known, _ = v.changed(catalog, known, source)
            source.token()
            assert told(got) == told(want)
            catalog.learn(got)
            shadow.learn(want)
        _, plain_map = v.plain(shadow)
        assert sorted(known.inodes.tolist()) == sorted(plain_map.inodes.tolist())


@pytest.mark.parametrize("whole", [True, False])
def test_only_what_changed_is_looked_at(whole: bool) -> None:
    with volume() as v:
        source, catalog = Stats(v.base, whole=whole), Catalog()
        events, known = v.plain(catalog)
        catalog.learn(events)
        source.token()
        assert v.changed(catalog, known, source)[2] == 0
        (v.root / "a" / "x" / "1").write_text("changed")
        got, _, looked_at = v.changed(catalog, known, source)
        assert looked_at == 1
        (met,) = (e for e in got if isinstance(e, DirectoryMet) and not e.cached)
        assert (met.path, [s.name for s in met.changed]) == (b"a/x", [b"1"])


def test_what_could_not_be_dealt_with_is_looked_at_again() -> None:
    with volume() as v:
        source, catalog = Stats(v.base, whole=True), Catalog()
        events, known = v.plain(catalog)
        catalog.learn(e for e in events if not (isinstance(e, DirectoryMet) and e.path == b"a/z"))
        assert [
            e.path for e in v.changed(catalog, known, source)[0] if isinstance(e, DirectoryMet) and e.changed
        ] == [b"a/z"]


def test_a_directory_that_could_not_be_opened_is_met_by_the_next_walk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with volume() as v:
        source, catalog = Stats(v.base, whole=True), Catalog()
        events, known = v.plain(catalog)
        catalog.learn(events)
        (v.root / "a" / "x" / "1").write_text("changed")
        (v.root / "b" / "1").write_text("changed")
        opened = ChangedWalk._open

        def refused(self: ChangedWalk, root_fd: int, names: list[bytes]) -> int:
            if names == [b"a", b"x"]:
                raise OSError(errno.EIO, "the disk is asleep")
            return opened(self, root_fd, names)

        with monkeypatch.context() as patched:
            patched.setattr(ChangedWalk, "_open", refused)
            recorder = Recorder(v.base, known)
            walk = ChangedWalk(
                v.policy, catalog, v.now, known, changed_directories(known, source, ()), recorder
            )
            events = list(walk.run(v.fd))
        assert DirectoryFailed(b"a/x", "io") in events and walk.failed
        assert b"a/x" in {e.path for e in v.changed(catalog, known, source)[0] if isinstance(e, DirectoryMet)}


def test_a_young_directory_is_looked_at_again() -> None:
    with volume() as v:
        catalog = Catalog()
        v.now = lambda: (v.root / "b").stat().st_ctime_ns + 1
        events, known = v.plain(catalog)
        catalog.learn(events)
        source = Stats(v.base, whole=True)
        assert v.changed(catalog, known, source)[2] == len(known)


def test_directories_above_mounts_are_looked_at() -> None:
    with volume() as v:
        _, known = v.plain(Catalog())
        flags = changed_directories(known, Stats(v.base, whole=True), [b"a/x/new", b"nowhere"])
        assert {known.name(int(i)) for i in np.flatnonzero(flags)} == {b"", b"a", b"x"}


def test_a_map_is_read_as_it_was_saved_or_not_at_all(tmp_path: Path) -> None:
    with volume() as v:
        _, known = v.plain(Catalog())
    path = tmp_path / "maps" / "web"
    save(known, path)
    again = load(path)
    assert again is not None
    assert again.told == known.told and (again.made_with, again.walked_ns, again.token) == (
        "policy",
        1,
        "then",
    )
    for field in ("directories", "names", "inodes", "owners"):
        assert np.array_equal(getattr(again, field), getattr(known, field))
    whole = path.read_bytes()
    for cut in range(0, len(whole), 37):
        path.write_bytes(whole[:cut])
        assert load(path) is None
    assert load(tmp_path / "none") is None


def test_what_is_kept_counts_towards_what_a_map_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    with volume() as v:
        source, catalog = Stats(v.base, whole=True), Catalog()
        events, old = v.plain(catalog)
        catalog.learn(events)
        source.token()
        monkeypatch.setattr("scanner.sources.mapping._MOST", len(old.inodes))
        assert len(v.changed(catalog, old, source)[1].inodes) == len(old.inodes)
        monkeypatch.setattr("scanner.sources.mapping._MOST", len(old.inodes) - 1)
        recorder = Recorder(v.base, old)
        walk = ChangedWalk(v.policy, catalog, v.now, old, changed_directories(old, source, ()), recorder)
        list(walk.run(v.fd))
        assert recorder.finish("policy", 1, "then") is None
