"""How large and how fast the catalog is, and how long new entries of lists take to meet all that it knows.

    python tests/bench/bench_catalog.py [files]

Rates are of processor time of one core: the catalog is used by one thread, and waits for little. Up to a
million files are written as a scan writes them. Of more, the rest are copies of their chunks under other
directories, put there by SQL: the same bytes in the same places of the file, in seconds instead of minutes.
Their digests are there several times then, which nothing that is measured depends on. Rates of a larger
catalog are those of files that are written to it after that.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import report
from report import Row

from scanner.catalog import Catalog, DirectoryRecord, VolumeCatalog
from scanner.index import Delta, Index, ListKey, OpenFeed, Snapshot, SnapshotBuilder, Threshold, added
from scanner.model.feeds import Entry, FeedTerms
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import KINDS, Digests, PerceptualHash
from scanner.pipeline.rematch import News, mark_listed

FILES_IN_DIRECTORY = 20  # the mean of a hosting-shaped tree
DIRECTORIES_IN_COMMIT = 1000
DIRECTORIES_OF_CUSTOMER = 100
NEW_ENTRIES = 1000
_EXACT = ("md5", "sha1", "sha256")
_THRESHOLDS = {"pdq": Threshold(31, 50)}
SCANNED = 20_000  # files a second of a first scan of small files; see the table
_LOOKUPS = 20_000
_LARGE = 100_000  # files from which what any catalog takes, however small, does not count
_AIMED = 10_000_000  # known files that the aims of a re-match are about
_WRITTEN = 1_000_000  # files that are written as a scan does, at most
_MORE = 500_000  # files written to a catalog that was made larger by copies

_COLUMNS = "profile, fingerprint, apart, inode, files, clean, not_media, undecodable, listed, digested, bytes"
_COPY_DIRECTORIES = f"""
INSERT INTO directories (id, volume_id, path, {_COLUMNS})
SELECT id + :directories, volume_id, CAST(:above || path AS BLOB), {_COLUMNS}
FROM directories WHERE id <= :of
"""
_COPY_CHUNKS = """
INSERT INTO chunks SELECT id + (:directories << 30), first, data FROM chunks WHERE id < (:of + 1) << 30
"""


def records(files: int, views: int = 2, above: bytes = b"") -> Iterator[DirectoryRecord]:
    """Directories of pictures with three exact digests and some views of PDQ each."""
    rng = random.Random(1)
    size = 68 + 32 * views
    for d in range(files // FILES_IN_DIRECTORY):
        noise = rng.randbytes(size * FILES_IN_DIRECTORY)
        day = 1_700_000_000_000_000_000 + rng.randrange(10**16)
        rows: list[KnownFile] = []
        for f in range(FILES_IN_DIRECTORY):
            n = noise[size * f : size * (f + 1)]
            number = d * FILES_IN_DIRECTORY + f
            written = day + rng.randrange(86_400 * 10**9)
            length = 20_000 + number * 7919 % 999_983
            blocks = -(-length // 4096) * 8
            name, was = b"IMG_%08d.jpeg" % number, written - rng.randrange(10**9)
            stat = FileStat(name, 0, number + 12, length, was, written, 1, blocks)
            exact = {"md5": n[:16], "sha1": n[16:36], "sha256": n[36:68]}
            seen = tuple(
                PerceptualHash("pdq", f"view{v}", n[68 + 32 * v : 100 + 32 * v], 100 - (number + v) % 30)
                for v in range(views)
            )
            rows.append(KnownFile(stat, FileState.CLEAN, Digests(length, "image/jpeg", exact, seen)))
        yield DirectoryRecord(above + path_of(d), noise[:16], rows)


def path_of(directory: int) -> bytes:
    """Where the made-up directories lie, in the order in which a walk comes by."""
    return b"customer%05d/www/pictures/%06d" % (directory // DIRECTORIES_OF_CUSTOMER, directory)


@dataclass
class Figures:
    """Of one catalog: rates are files in a second of one core, times are seconds."""

    files: int
    size: float = 0.0
    upserts: float = 0.0
    replaced: float = 0.0
    unchanged: float = 0.0
    compared: float = 0.0


def _clock() -> float:
    return time.process_time()


def fill(volume: VolumeCatalog, files: int, views: int, above: bytes = b"") -> float:
    """Record so many files; returns the seconds it took, without making them up."""
    took = 0.0
    for number, record in enumerate(records(files, views, above), 1):
        start = _clock()
        volume.record(record)
        if number % DIRECTORIES_IN_COMMIT == 0:
            volume.commit()
        took += _clock() - start
    start = _clock()
    volume.commit()
    return took + _clock() - start


def copy(path: Path, times: int) -> None:
    """Let a catalog know all that it knows under other directories, too."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (of,) = connection.execute("SELECT max(id) FROM directories").fetchone()
        for number in range(1, times):
            values = {"directories": number * of, "above": b"copy%d/" % number, "of": of}
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_COPY_DIRECTORIES, values)
            connection.execute(_COPY_CHUNKS, values)
            connection.execute("COMMIT")


def figures(path: Path, files: int, views: int) -> Figures:
    """Fill a catalog and measure it."""
    result = Figures(files)
    written = min(files, _WRITTEN)
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("web", b"/srv/www", b"profile")
        result.upserts = written / fill(volume, written, views)
    copy(path, files // written)
    result.size = path.stat().st_size / files
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("web", b"/srv/www", b"profile")
        if files > written:
            result.upserts = _MORE / fill(volume, _MORE, views, b"later/")
            volume.forget_directories_not_seen(_paths(files))
        again = min(files, DIRECTORIES_IN_COMMIT * FILES_IN_DIRECTORY)
        result.replaced = again / fill(volume, again, views)
    with closing(Catalog.open(path, read_only=True)) as catalog:
        volume = catalog.volume("web", b"/srv/www", b"profile")
        paths = _paths(files)
        asked = [paths[i * 7919 % len(paths)] for i in range(_LOOKUPS)]
        start = _clock()
        ids = [found.id for p in asked if (found := volume.directory(p))]
        result.unchanged = len(ids) * FILES_IN_DIRECTORY / (_clock() - start)
        start = _clock()
        read = sum(len(volume.files(directory_id)) for directory_id in ids[:2000])
        result.compared = read / (_clock() - start)
    return result


def _paths(files: int) -> list[bytes]:
    """Of all directories of a catalog of so many files."""
    written = min(files, _WRITTEN)
    once = [path_of(d) for d in range(written // FILES_IN_DIRECTORY)]
    return once + [b"copy%d/" % number + path for number in range(1, files // written) for path in once]


def news_of(folder: Path, kinds: Sequence[str], key: ListKey | None) -> Delta:
    """A list of made-up entries, all of them new."""
    rng = random.Random(NEW_ENTRIES)
    builder = SnapshotBuilder(key=key)
    for _ in range(NEW_ENTRIES):
        builder.add(Entry(tuple((kind, rng.randbytes(KINDS[kind].size)) for kind in kinds)))
    path = folder / f"{'-'.join(kinds)}{'-keyed' if key else ''}.snapshot"
    builder.finish(path, meta={"feed": "new", "format": "test", "built_ns": 1})
    return added([OpenFeed(FeedTerms("new"), Snapshot.open(path, key=key))], None, _THRESHOLDS)


@contextmanager
def scanning(path: Path) -> Iterator[None]:
    """Another process writes files of another volume to the same catalog, as many as a first scan hashes."""
    script = [sys.executable, __file__, "--write", str(path)]
    with subprocess.Popen(script, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            yield
        finally:
            process.terminate()


def write_on(path: Path) -> None:
    """What that process does."""
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("other", b"/srv/other", b"profile")
        for number in count():
            start = time.monotonic()
            fill(volume, SCANNED, 0, b"%d/" % number)
            print(number, flush=True)
            time.sleep(max(0.0, 1 - (time.monotonic() - start)))


def rematch(path: Path, news: Delta) -> tuple[float, float]:
    """Match all that a catalog knows with what is new: seconds of processor time, and of the clock."""
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("web", b"/srv/www", b"profile")
        matcher = Index([], _THRESHOLDS)
        volume.begin_matching(matcher.id)
        volume.end_matching(matcher.id)
        start, clock = _clock(), time.perf_counter()
        mark_listed(volume, _Next(), News(matcher.id, news), threading.Event())
        return _clock() - start, time.perf_counter() - clock


class _Next:
    """An index that comes after another: nothing is asked of it where its news is known."""

    id = "next"

    def match(self, digests: Digests) -> tuple[()]:
        raise RuntimeError("what is new was to be enough")


def table(work: Path, files: int) -> Iterator[Row]:
    """Rows of the table for a catalog of so many files."""
    plain = figures(work / "plain.sqlite", files, 0)
    judged = report.judged if files >= _LARGE else _unjudged
    yield judged(
        f"catalog of {files:,} files: bytes a file with MD5, SHA-1 and SHA-256 (68 of digests)",
        "at most 120",
        f"{plain.size:.0f}",
        plain.size <= 120,
    )
    yield judged(
        f"catalog of {files:,} files: files written",
        "at least 200,000/s",
        f"{plain.upserts:,.0f}/s",
        plain.upserts >= 200_000,
        f"files that were there before {plain.replaced:,.0f}/s",
    )
    yield judged(
        f"catalog of {files:,} files: unchanged files, by directory",
        "at least 500,000/s",
        f"{plain.unchanged:,.0f}/s",
        plain.unchanged >= 500_000,
        f"file by file, where something in a directory changed, {plain.compared:,.0f}/s",
    )
    exact = "1,000 new entries with three exact digests"
    for name, key in ((exact, None), (f"{exact}, lists stored under a key", ListKey(bytes(range(32))))):
        yield _rematched(work / "plain.sqlite", name, partial(news_of, work, _EXACT, key), files, 5)
    (work / "plain.sqlite").unlink()
    pictures = figures(work / "pictures.sqlite", files, 2)
    yield Row(
        f"catalog of {files:,} pictures with two views of PDQ: bytes a file",
        "-",
        f"{pictures.size:.0f}",
        "-",
        f"written {pictures.upserts:,.0f}/s",
    )
    name = "1,000 new entries of PDQ, two views a file, within 31"
    yield _rematched(work / "pictures.sqlite", name, partial(news_of, work, ("pdq",), None), files, 20)
    (work / "pictures.sqlite").unlink()


def _rematched(path: Path, what: str, made: Callable[[], Delta], files: int, aim: int) -> Row:
    """The aims are for ten million files, while a scan goes on."""
    (cpu, wall), (_, again) = rematch(path, made()), rematch(path, made())
    with scanning(path):
        busy, beside = rematch(path, made())
    note = f"alone {wall:.2f} s and {again:.2f} s; {cpu:.2f} s of processor time, {busy:.2f} s beside it"
    judged = _unjudged
    if files == _AIMED:
        judged = report.judged
    else:
        note += f"; {beside * _AIMED / files:.1f} s for ten million files at this rate"
    return judged(
        f"re-match: {what}, with {files:,} known files, beside a scan of {SCANNED:,} files/s",
        f"under {aim} s",
        f"{beside:.2f} s",
        beside < aim,
        note,
    )


def _unjudged(what: str, aim: str, measured: str, met: bool, note: str = "") -> Row:
    """A size that the aim is not about: it shows how the figure grows."""
    return Row(what, "-", measured, "-", note)


def many_views(work: Path) -> Iterator[Row]:
    """What further views of a picture cost."""
    few, many = (figures(work / f"{views}.sqlite", 40_000, views) for views in (2, 22))
    yield Row(
        "catalog: bytes for each further view of PDQ of a picture",
        "-",
        f"{(many.size - few.size) / 20:.1f}",
        "-",
        f"a picture with 22 views takes {many.size:.0f} bytes; written {many.upserts:,.0f}/s",
    )


def small(work: Path) -> Iterator[Row]:
    """How it grows: ten thousand to a million files."""
    for files in (10_000, 100_000, 1_000_000):
        yield from table(work, files)
    yield from many_views(work)


def large(work: Path) -> Iterator[Row]:
    """Ten million files; five minutes, and 6 GB."""
    yield from table(work, 10_000_000)


if __name__ == "__main__" and sys.argv[1:2] == ["--write"]:
    write_on(Path(sys.argv[2]))
elif __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for row in table(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 200_000):
            print(f"{row.what}: {row.measured} ({row.aim}) {row.note}", flush=True)
