"""What the walk says of files that are as they were, that changed, or that are not to be looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.model.files import (
    DirectoryMet,
    FilesSkipped,
    FileState,
    FormerDirectory,
    KnownDirectory,
    KnownFile,
    OthersMet,
    WalkEvent,
)
from scanner.model.hashes import Digests
from scanner.sources import WalkPolicy, compile_excludes, walk

SECOND = 1_000_000_000
LATER = 3600 * SECOND
NOTHING = Digests(0, "", {}, ())


class Memory:
    """A catalog in memory, that remembers a walk as if every changed file had been hashed."""

    def __init__(self) -> None:
        self.directories: dict[bytes, KnownDirectory] = {}
        self.rows: dict[int, dict[bytes, KnownFile]] = {}
        self.asked_for_all: list[int] = []

    def learn(self, events: Iterable[WalkEvent], state: FileState = FileState.CLEAN) -> None:
        for met in events:
            if not isinstance(met, DirectoryMet) or met.cached:
                continue
            id = self.directories[met.path].id if met.path in self.directories else len(self.directories)
            rows = self.rows.setdefault(id, {})
            rows.update({s.name: KnownFile(s, state, NOTHING) for s in met.changed})
            for name in met.gone:
                del rows[name]
            states = [row.state for row in rows.values()]
            clean = [row.stat.size for row in rows.values() if row.state is FileState.CLEAN]
            not_media = states.count(FileState.NOT_MEDIA)
            hot = len(clean) + not_media < len(rows)
            self.directories[met.path] = KnownDirectory(
                id, met.fingerprint, len(clean), not_media, sum(clean), hot
            )

    def directory(self, path: bytes) -> KnownDirectory | None:
        return self.directories.get(path)

    def formerly(self, inode: int) -> FormerDirectory | None:
        return None

    def files(self, directory_id: int) -> Mapping[bytes, KnownFile]:
        self.asked_for_all.append(directory_id)
        return self.rows[directory_id]

    def some_files(self, directory_id: int, names: Sequence[bytes]) -> Mapping[bytes, KnownFile]:
        rows = self.rows[directory_id]
        return {name: rows[name] for name in names if name in rows}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    return path


@pytest.fixture(params=["extension", "python"])
def look(root: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., list[WalkEvent]]]:
    """Walk the volume, an hour after its files were made."""
    native = request.param == "extension"
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def walked(
        known: Memory | None = None, policy: WalkPolicy | None = None, later: int = LATER
    ) -> list[WalkEvent]:
        latest = max((p.lstat().st_ctime_ns for p in root.rglob("*")), default=0)
        rules = replace(policy or WalkPolicy(), native=native)
        return list(walk(fd, rules, known, lambda: latest + later))

    yield walked
    os.close(fd)


Look = Callable[..., list[WalkEvent]]


def met(events: list[WalkEvent], path: bytes = b"") -> DirectoryMet:
    (found,) = (e for e in events if isinstance(e, DirectoryMet) and e.path == path)
    return found


def changed(events: list[WalkEvent]) -> set[bytes]:
    return {os.path.join(e.path, s.name) for e in events if isinstance(e, DirectoryMet) for s in e.changed}


def test_every_file_of_an_unknown_volume_is_changed(root: Path, look: Look) -> None:
    (root / "a").mkdir()
    (root / "a" / "one").write_bytes(b"1")
    (root / "two").write_bytes(b"22")
    (root / "link").symlink_to("two")

    events = look()

    assert changed(events) == {b"a/one", b"two"}
    assert [s.size for s in met(events).changed] == [2]
    assert [e for e in events if isinstance(e, OthersMet)] == [OthersMet({"symlink": 1})]


def test_a_known_directory_is_answered_without_its_rows(root: Path, look: Look) -> None:
    (root / "one").write_bytes(b"12345")
    memory = Memory()
    memory.learn(look())

    event = met(look(memory))

    assert event.cached
    assert (event.clean, event.not_media, event.unchanged_bytes, event.changed) == (1, 0, 5, ())
    assert not memory.asked_for_all


def test_a_file_rewritten_with_its_old_size_and_mtime_is_changed(root: Path, look: Look) -> None:
    (root / "kept").write_bytes(b"kept")
    (root / "forged").write_bytes(b"before")
    memory = Memory()
    memory.learn(look())
    st = (root / "forged").stat()
    (root / "forged").write_bytes(b"after!")
    os.utime(root / "forged", ns=(st.st_atime_ns, st.st_mtime_ns))

    events = look(memory)

    assert changed(events) == {b"forged"}
    assert met(events).clean == 1
    assert not met(events).cached


def test_a_removed_file_is_gone_and_only_that(root: Path, look: Look) -> None:
    for name in ("kept", "removed"):
        (root / name).touch()
    memory = Memory()
    memory.learn(look())
    (root / "removed").unlink()

    events = look(memory)

    assert met(events).gone == (b"removed",)
    assert (met(events).clean, changed(events)) == (1, set())
    memory.learn(events)
    assert met(look(memory)).cached


def test_a_renamed_file_is_met_under_its_new_name(root: Path, look: Look) -> None:
    (root / "old").touch()
    memory = Memory()
    memory.learn(look())
    (root / "old").rename(root / "new")

    events = look(memory)

    assert changed(events) == {b"new"}
    assert met(events).gone == (b"old",)


@pytest.mark.parametrize("state", [FileState.LISTED, FileState.UNDECODABLE])
def test_an_unchanged_file_that_is_not_clean_is_handed_on_each_time(
    root: Path, look: Look, state: FileState
) -> None:
    (root / "file").touch()
    memory = Memory()
    memory.learn(look(), state)

    event = met(look(memory))

    assert [k.stat.name for k in event.known] == [b"file"]
    assert not event.cached
    assert event.fingerprint == memory.directories[b""].fingerprint != b""


def test_files_that_are_no_media_are_counted_apart(root: Path, look: Look) -> None:
    (root / "file").write_bytes(b"text")
    memory = Memory()
    memory.learn(look(), FileState.NOT_MEDIA)
    memory.directories[b""] = memory.directories[b""]._replace(fingerprint=b"")

    event = met(look(memory))

    assert (event.not_media, event.clean, event.changed) == (1, 0, ())


def test_a_directory_with_a_young_file_is_not_relied_on(root: Path, look: Look) -> None:
    (root / "young").touch()

    assert met(look(later=SECOND)).fingerprint == b""
    assert met(look(later=3 * SECOND)).fingerprint != b""


def test_a_file_hashed_while_young_is_hashed_again(root: Path, look: Look) -> None:
    (root / "young").touch()
    memory = Memory()
    memory.learn(look(later=SECOND))
    rows = memory.rows[0]
    row = rows[b"young"]
    rows[b"young"] = row._replace(stat=row.stat._replace(ctime_ns=0))  # what the pipeline stores

    events = look(memory)
    assert changed(events) == {b"young"}

    memory.learn(events)
    assert met(look(memory)).cached


def test_a_young_file_is_changed_even_if_its_row_is_the_same(root: Path, look: Look) -> None:
    (root / "young").touch()
    memory = Memory()
    memory.learn(look(later=SECOND))

    assert changed(look(memory, later=SECOND)) == {b"young"}


def test_another_profile_makes_nothing_rely_on_old_fingerprints(root: Path, look: Look) -> None:
    (root / "file").touch()
    memory = Memory()
    memory.learn(look())

    assert not met(look(memory, WalkPolicy(profile=b"with another hash kind"))).cached


def test_counts_that_disagree_with_the_directory_are_not_believed(root: Path, look: Look) -> None:
    (root / "file").touch()
    memory = Memory()
    memory.learn(look())
    memory.directories[b""] = memory.directories[b""]._replace(clean=7)

    event = met(look(memory))

    assert (event.clean, event.cached) == (1, False)


def test_excluded_trees_are_counted_and_their_rows_fall_away(root: Path, look: Look) -> None:
    (root / "a" / "cache" / "deep").mkdir(parents=True)
    for name in ("a/cache/1", "a/cache/deep/2", "a/kept.jpg", "a/left.iso"):
        (root / name).touch()
    memory = Memory()
    memory.learn(look())

    excludes = compile_excludes(["**/cache/**", "*.iso"])
    events = look(memory, WalkPolicy(excludes=excludes))

    assert {e for e in events if isinstance(e, FilesSkipped)} == {
        FilesSkipped(b"a/cache", "excluded", 2),
        FilesSkipped(b"a", "excluded", 1),
    }
    assert met(events, b"a").clean == 1
    assert met(events, b"a").gone == (b"left.iso",)


def test_a_maildir_is_left_out_unless_a_ground_is_named(root: Path, look: Look) -> None:
    for name in ("cur", "new", "tmp"):
        (root / "Maildir" / name).mkdir(parents=True)
        (root / "Maildir" / name / "message").touch()
    (root / "Maildir" / "picture.jpg").touch()

    events = look()
    assert (
        sorted(e.files for e in events if isinstance(e, FilesSkipped) and e.reason == "mail_store") == [1] * 3
    )
    assert changed(events) == {b"Maildir/picture.jpg"}

    with_ground = look(policy=WalkPolicy(mail_ground="court order"))
    assert len(changed(with_ground)) == 4


def test_files_of_a_dovecot_folder_are_left_out(root: Path, look: Look) -> None:
    (root / "storage").mkdir()
    for name in ("m.1", "m.2", "dovecot.map.index"):
        (root / "storage" / name).touch()

    events = look()

    assert FilesSkipped(b"storage", "mail_store", 3) in events
    assert not changed(events)


def test_a_tree_below_the_depth_limit_is_counted(root: Path, look: Look) -> None:
    (root / "1" / "2" / "3" / "4").mkdir(parents=True)
    for path in ("1/a", "1/2/b", "1/2/3/c", "1/2/3/4/d"):
        (root / path).touch()

    events = look(policy=WalkPolicy(max_depth=2))

    assert changed(events) == {b"1/a", b"1/2/b"}
    assert FilesSkipped(b"1/2/3", "depth", 2) in events


def test_a_large_directory_comes_in_parts_and_is_cached_as_a_whole(
    root: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.sources.listing.BLOCK_ENTRIES", 8)
    for i in range(30):
        (root / f"{i}").touch()
    (root / "below").mkdir()
    (root / "below" / "file").touch()
    memory = Memory()
    first = look(memory)
    memory.learn(first)

    parts = [e for e in first if isinstance(e, DirectoryMet) and e.path == b""]
    assert max(len(p.changed) for p in parts) <= 8
    assert [p.last for p in parts] == [False] * (len(parts) - 1) + [True]
    assert len(changed(first)) == 31
    assert (met(look(memory)).cached, met(look(memory)).clean) == (True, 30)

    (root / "7").write_bytes(b"changed")
    second = look(memory)
    assert changed(second) == {b"7"}
    assert sum(e.clean for e in second if isinstance(e, DirectoryMet)) == 30
    assert not memory.asked_for_all


def test_rows_of_a_once_large_directory_are_not_all_fetched(root: Path, look: Look) -> None:
    (root / "file").touch()
    memory = Memory()
    memory.learn(look())
    memory.directories[b""] = memory.directories[b""]._replace(clean=5_000_000)

    assert met(look(memory)).clean == 1
    assert not memory.asked_for_all


def test_the_walk_closes_its_descriptors_when_it_is_stopped(root: Path) -> None:
    for i in range(5):
        (root / f"{i}" / "below" / "below").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    events = walk(fd, WalkPolicy(), None, lambda: LATER)
    for _ in range(3):
        next(events)
    assert len(os.listdir("/proc/self/fd")) > before + 1
    events.close()  # type: ignore[attr-defined]
    os.close(fd)

    assert len(os.listdir("/proc/self/fd")) == before


def test_on_a_spinning_disk_directories_and_files_come_in_the_order_of_their_inodes(
    root: Path, look: Look
) -> None:
    names = [f"{n * 7919 % 1009:04d}" for n in range(40)]
    for name in names:
        (root / f"d{name}").mkdir()
        (root / name).write_bytes(b"1")
    plain = look()
    events = look(policy=WalkPolicy(by_inode=True))
    directories = [e.path for e in events if isinstance(e, DirectoryMet)][1:]
    assert directories == sorted(directories, key=lambda path: (root / os.fsdecode(path)).stat().st_ino)
    files = [stat.inode for stat in met(events).changed]
    assert files == sorted(files) and files != [stat.inode for stat in met(plain).changed]
    assert met(events).fingerprint == met(plain).fingerprint
