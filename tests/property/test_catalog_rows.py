"""Rows come back as they went in, and what is derived of them always is what they say."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.catalog import Catalog, DirectoryRecord, VolumeCatalog
from scanner.model.files import FileStat, FileState, KnownDirectory, KnownFile
from scanner.model.hashes import EXACT_KINDS, KINDS, Digests, PerceptualHash

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
FEW_NAMES = st.sampled_from([b"a", b"b", b"\xff\xfe", b"'; --", b"d.jpg"])
SIXTY_FOUR = st.integers(0, (1 << 63) - 1)
TIMES = st.one_of(st.just(0), st.integers(-(1 << 63) * 10**9, ((1 << 63) - 1) * 10**9))

STATS = st.builds(
    FileStat,
    name=NAMES,
    device=st.just(5),
    inode=st.integers(0, (1 << 64) - 1),
    size=SIXTY_FOUR,
    mtime_ns=TIMES,
    ctime_ns=TIMES,
    links=st.integers(1, (1 << 32) - 1),
    blocks=SIXTY_FOUR,
)
VIEWS = st.builds(
    PerceptualHash,
    kind=st.sampled_from(["pdq", "phash", "photodna"]),
    view=st.text(max_size=8),
    value=st.binary(max_size=300),
    quality=st.integers(0, 100),
)
DIGESTS = st.builds(
    Digests,
    size=SIXTY_FOUR,
    media_type=st.sampled_from(["", "image/jpeg", "video/mp4"]),
    exact=st.fixed_dictionaries(
        {},
        optional={
            kind: st.binary(min_size=KINDS[kind].size, max_size=KINDS[kind].size) for kind in EXACT_KINDS
        },
    ),
    perceptual=st.lists(VIEWS, max_size=4).map(tuple),
    problem=st.sampled_from(["", "undecodable", "too_many_pixels"]),
)
FILES = st.builds(KnownFile, stat=STATS, state=st.sampled_from(FileState), digests=DIGESTS)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(FILES, max_size=8, unique_by=lambda row: row.stat.name), path=st.binary(max_size=40))
def test_every_row_comes_back_as_it_was(rows: list[KnownFile], path: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        with closing(Catalog.open(Path(directory) / "c.sqlite")) as catalog:
            volume = catalog.volume("v", b"/v", b"p", device=5)
            volume.record(DirectoryRecord(path, b"f", rows))
            volume.commit()
        # Another connection knows no word but those in the file.
        with closing(Catalog.open(Path(directory) / "c.sqlite", read_only=True)) as catalog:
            volume = catalog.volume("v", b"/v", b"p", device=5)
            found = volume.directory(path)
            assert found is not None
            assert volume.files(found.id) == {row.stat.name: row for row in rows}
            assert {key.name: digests for batch in volume.iterate(3) for key, digests in batch} == {
                row.stat.name: row.digests for row in rows if row.digests.exact or row.digests.perceptual
            }


SMALL_FILES = st.builds(
    KnownFile,
    stat=st.builds(
        FileStat,
        name=FEW_NAMES,
        device=st.just(0),
        inode=SIXTY_FOUR,
        size=st.integers(0, 1000),
        mtime_ns=SIXTY_FOUR,
        ctime_ns=SIXTY_FOUR,
        links=st.just(1),
        blocks=st.just(0),
    ),
    state=st.sampled_from(FileState),
    digests=st.sampled_from([Digests(0, ""), Digests(9, "image/png", {"md5": b"m" * 16})]),
)
PATHS = st.sampled_from([b"", b"a", b"a/b"])
PROFILES = st.sampled_from([b"one", b"two"])
RECORDS = st.builds(
    DirectoryRecord,
    path=PATHS,
    fingerprint=st.sampled_from([b"1", b"2"]),
    upserts=st.lists(SMALL_FILES, max_size=4),
    removed=st.lists(FEW_NAMES, max_size=2),
    complete=st.booleans(),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), RECORDS, st.booleans()),
        st.tuples(st.just("profile"), PROFILES, st.none()),
        st.tuples(st.just("forget"), st.lists(PATHS), st.none()),
        st.tuples(st.just("state"), FEW_NAMES, st.sampled_from(FileState)),
        st.tuples(st.just("remove"), FEW_NAMES, st.none()),
    ),
    max_size=12,
)


class Model:
    """The catalog as plain dictionaries."""

    def __init__(self) -> None:
        self.profile = b"one"
        self.directories: dict[bytes, tuple[bytes, bytes, dict[bytes, KnownFile]]] = {}

    def record(self, record: DirectoryRecord) -> None:
        profile, _, rows = self.directories.get(record.path, (self.profile, b"", {}))
        if profile != self.profile:
            rows = {}
        rows |= {row.stat.name: row for row in record.upserts}
        for name in record.removed:
            rows.pop(name, None)
        fingerprint = record.fingerprint if record.complete else b""
        self.directories[record.path] = (self.profile, fingerprint, rows)

    def everywhere(self, name: bytes, state: FileState | None) -> None:
        for path, (profile, _, rows) in self.directories.items():
            if name in rows and state is not None:
                rows[name] = KnownFile(rows[name].stat, state, rows[name].digests)
            elif name in rows:
                del rows[name]
                self.directories[path] = (profile, b"", rows)

    def counts(self, path: bytes) -> tuple[bytes, int, int, int, bool] | None:
        profile, fingerprint, rows = self.directories.get(path, (b"", b"", {}))
        if profile != self.profile:
            return None
        states = [row.state for row in rows.values()]
        size = sum(row.stat.size for row in rows.values() if row.state is FileState.CLEAN)
        hot = any(state not in (FileState.CLEAN, FileState.NOT_MEDIA) for state in states)
        return fingerprint, states.count(FileState.CLEAN), states.count(FileState.NOT_MEDIA), size, hot


def counts(directory: KnownDirectory | None) -> tuple[bytes, int, int, int, bool] | None:
    if directory is None:
        return None
    return directory.fingerprint, directory.clean, directory.not_media, directory.bytes, directory.hot


def keys_of(volume: VolumeCatalog, name: bytes) -> list[object]:
    found = (volume.lookup(path + b"/" + name if path else name) for path in (b"", b"a", b"a/b"))
    return [hit[0] for hit in found if hit]


@settings(max_examples=80, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_the_counts_are_those_of_the_rows(steps: list[tuple[str, object, object]]) -> None:
    model = Model()
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(Catalog.open(Path(directory) / "c.sqlite")) as catalog,
    ):
        volume = catalog.volume("v", b"/v", model.profile)
        for step in steps:
            match step:
                case "record", DirectoryRecord() as record, now:
                    volume.record(record)
                    model.record(record)
                    if now:
                        volume.commit()
                case "profile", bytes() as profile, _:
                    volume.commit()
                    volume, model.profile = catalog.volume("v", b"/v", profile), profile
                case "forget", list() as seen, _:
                    volume.forget_directories_not_seen(seen)
                    model.directories = {p: d for p, d in model.directories.items() if p in seen}
                case "state", bytes() as name, FileState() as state:
                    volume.commit()
                    for key in keys_of(volume, name):
                        volume.set_state(key, state)
                    model.everywhere(name, state)
                case "remove", bytes() as name, _:
                    volume.commit()
                    for key in keys_of(volume, name):
                        volume.remove(key)
                    model.everywhere(name, None)
        volume.commit()
        for path in (b"", b"a", b"a/b"):
            found = volume.directory(path)
            assert counts(found) == model.counts(path)
            if found is not None:
                assert volume.files(found.id) == model.directories[path][2]
        stats = volume.stats()
        rows = [row for _, _, rows in model.directories.values() for row in rows.values()]
        assert (stats.directories, stats.files) == (len(model.directories), len(rows))
        assert stats.with_digests == sum(bool(row.digests.exact) for row in rows)
        assert stats.states == {s: sum(row.state is s for row in rows) for s in FileState}
