"""The first scan: what a file costs in each process, how workers add up, and who waits for whom."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import materials
from hostsweep_runs import Hostsweep
from report import Row, judged
from shares import Shares
from slow_files import mounted

from scanner.hashing import exact
from scanner.model.hashes import DEFAULT_EXACT

_ROUNDS = 3
FEW, MANY, TINY = 2_000, 14_000, 160
PICTURES, PICTURE_SIDES, PICTURE_KINDS = 800, (640, 480), 20
ENTRIES = 1_000_000
SMALL_FILES, SMALL_SIZE, LARGE_FILES, LARGE_SIZE = 2_000, 20 << 10, 6, 192 << 20
LISTED = 100  # of the small files, to see when they are found
REMOTE_FILES, REMOTE_SIZE, DELAY = 400, 200 << 10, 0.005
ONE_PASS_SIZE = 64 << 20
_EXACT_ONLY = "perceptual: []"
_FILM = b"\0\0\0\x18ftypisom\0\0\0\0isomavc1"  # the beginning of a film, by which it is taken for one


def throughput(work: Path) -> Iterator[Row]:
    """A first scan of tiny files, of small pictures, and of small files behind large ones."""
    yield _one_pass(work)
    yield from _tiny(work)
    yield from _pictures(work)
    yield from _behind_large(work)
    yield _slow_storage(work)


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


# Three digests of a large file


def _one_pass(work: Path) -> Row:
    """What reading and hashing in one pass costs, beside the bare digests of the same bytes in memory."""
    path, content = work / "large", os.urandom(ONE_PASS_SIZE)
    path.write_bytes(content)
    reader, fd = exact.Reader(), os.open(path, os.O_RDONLY)

    def ours() -> None:
        device = os.fstat(fd).st_dev
        head = bytes(reader.read(fd, device, exact.CHUNK, 0))
        exact.read_and_hash(
            reader, fd, DEFAULT_EXACT, head, False,
            device=device, size_hint=len(content), budget=1 << 40, keep=0,
        )  # fmt: skip

    def bare() -> None:
        for kind in DEFAULT_EXACT:
            hashlib.new(kind, content, usedforsecurity=False).digest()

    times = [(_processor_time(bare), _processor_time(ours)) for _ in range(9)]
    os.close(fd)
    path.unlink()
    ratio = _median([b / o for b, o in times])
    rate = ONE_PASS_SIZE / _median([o for _, o in times]) / 1e6
    return judged(
        "MD5, SHA-1 and SHA-256 of a large file in one pass: rate, by OpenSSL's for the three in memory",
        "at least 0.9",
        f"{ratio:.2f}",
        ratio >= 0.9,
        f"{rate:,.0f} MB/s of a core, the file in the page cache",
    )


def _processor_time(action: Callable[[], None]) -> float:
    before = time.process_time()
    action()
    return time.process_time() - before


# Tiny files: what a file costs beside its content


def _tiny(work: Path) -> Iterator[Row]:
    few, many = work / "few", work / "many"
    materials.tree(few, FEW, TINY)
    materials.tree(many, MANY, TINY)
    materials.settle()
    hash_list = materials.small_list(work / "list.txt")
    for workers in (1, 2):
        sweep = Hostsweep(work, hash_list, f"{{{_EXACT_ONLY}, workers: {workers}}}")
        rounds = [(sweep.shares(few, FEW), sweep.shares(many, MANY)) for _ in range(_ROUNDS)]
        main, walker, theirs = (
            _median([(getattr(m, w) - getattr(f, w)) / (MANY - FEW) for f, m in rounds]) * 1e6
            for w in ("main", "walker", "workers")
        )
        wall = _median([(m.done.wall - f.done.wall) / (MANY - FEW) for f, m in rounds])
        yield judged(
            f"first scan of tiny files, {_count(workers, 'worker')}: processor time of the main process",
            "under 60 us a file",
            f"{main:.0f} us a file",
            main < 60,
            f"the walker {walker:.0f} us, workers {theirs:.0f} us a file; {1 / wall:,.0f} files/s",
        )
    yield _json(sweep, many)
    yield _hits(work, many)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n > 1 else ''}"


def _json(sweep: Hostsweep, many: Path) -> Row:
    pairs = [(sweep.shares(many, MANY), sweep.shares(many, MANY, json=False)) for _ in range(_ROUNDS)]
    more = sorted((a.main - b.main) / MANY * 1e6 for a, b in pairs)
    return judged(
        "first scan of tiny files with --json: processor time of the main process more than without",
        "none to be seen",
        f"{more[len(more) // 2]:+.1f} us a file ({more[0]:+.1f} to {more[-1]:+.1f})",
        more[len(more) // 2] < 2,
    )


def _hits(work: Path, many: Path) -> Row:
    """What a hit costs: a case in the ledger, on disk, and a line."""
    listed = _listed(work / "listed.txt", many, LISTED)
    settings = f"{{{_EXACT_ONLY}, workers: 2}}"
    some, none = Hostsweep(work, listed, settings), Hostsweep(work, work / "list.txt", settings)
    pairs = [(some.shares(many, MANY), none.shares(many, MANY)) for _ in range(_ROUNDS)]
    wall = _median([(a.done.wall - b.done.wall) / LISTED for a, b in pairs])
    cpu = _median([(a.main - b.main) / LISTED for a, b in pairs])
    return Row(
        "first scan of tiny files: what a hit adds, with its case in the ledger and its line",
        "-",
        f"{cpu * 1e3:.1f} ms of processor time",
        "-",
        f"{wall * 1e3:.1f} ms by the clock",
    )


def _listed(path: Path, tree: Path, count: int) -> Path:
    """A list of some of a tree's files, evenly spread."""
    files = sorted(p for p in tree.rglob("*") if p.is_file())
    chosen = files[:: max(1, len(files) // count)][:count]
    path.write_text("".join(hashlib.sha1(p.read_bytes()).hexdigest() + "\n" for p in chosen))
    return path


# Small pictures: how workers add up


def _pictures(work: Path) -> Iterator[Row]:
    few, many = work / "few-pictures", work / "many-pictures"
    materials.photographs(few, PICTURE_KINDS, PICTURE_KINDS, PICTURE_SIDES)
    materials.photographs(many, PICTURES, PICTURE_KINDS, PICTURE_SIDES)
    materials.settle()
    small, large = materials.small_list(work / "list.txt"), materials.large_list(work / "large.csv", ENTRIES)
    scans = (
        Hostsweep(work, small, "{workers: 1}"),
        Hostsweep(work, small, "{workers: 2}"),
        Hostsweep(work, large, "{workers: 2}"),
    )
    # By the difference of two scans, so without start-up: one of the workers takes longer than of one.
    rounds = [
        [(s.shares(few, PICTURE_KINDS), s.shares(many, PICTURES)) for s in scans] for _ in range(_ROUNDS)
    ]
    files = PICTURES - PICTURE_KINDS
    walls = [[(m.done.wall - f.done.wall) / files for f, m in one] for one in rounds]
    mains = [[(m.main - f.main) / files for f, m in one] for one in rounds]
    workers = _median([(m.workers - f.workers) / files for _, (f, m), _ in rounds])
    faster = sorted(one / two for one, two, _ in walls)
    ratio = faster[len(faster) // 2]
    size = sum(p.stat().st_size for p in many.iterdir()) / PICTURES / 1e3
    name = f"first scan of {PICTURES:,} pictures of {PICTURE_SIDES[0]}x{PICTURE_SIDES[1]} with PDQ"
    yield judged(
        f"{name}: 2 workers' rate, by one's",
        "at least 1.8",
        f"{ratio:.2f} ({faster[0]:.2f} to {faster[-1]:.2f})",
        ratio >= 1.8,
        f"of {size:.0f} kB; {1 / _median([w[1] for w in walls]):,.0f} files/s, "
        f"{workers * 1e3:.1f} ms of a worker a file",
    )
    plain, listed = (_median([main[n] for main in mains]) * 1e6 for n in (1, 2))
    yield Row(
        f"{name}: processor time of the main process",
        "-",
        f"{plain:.0f} us a file; {listed:.0f} us with a list of {ENTRIES:,} PDQ",
        "-",
        "all views of each picture are looked up in the list there",
    )


def _working(shares: Shares) -> float:
    """Seconds of the scan itself, and of starting the workers."""
    return shares.done.wall - shares.first_worker


# Small files behind large ones


def _behind_large(work: Path) -> Iterator[Row]:
    mixed, alone = work / "mixed", work / "alone"
    for tree in (mixed, alone):
        materials.tree(tree, SMALL_FILES, SMALL_SIZE)
    first = mixed / "a-films"
    first.mkdir()
    for n in range(LARGE_FILES):
        _film(first / f"film{n}.mp4")
    materials.settle()
    listed = _listed(work / "behind.txt", alone, LISTED)
    for workers in (1, 2):
        sweep = Hostsweep(work, listed, f"{{{_EXACT_ONLY}, workers: {workers}}}")
        pairs = [
            (sweep.shares(mixed, SMALL_FILES + LARGE_FILES), sweep.shares(alone, SMALL_FILES))
            for _ in range(_ROUNDS)
        ]
        late = sorted(_found(a)[-1] / _found(b)[-1] for a, b in pairs)
        times = [_median([_found(p[i])[-1] for p in pairs]) for i in (0, 1)]
        yield judged(
            f"small files behind {LARGE_FILES} large ones, {_count(workers, 'worker')}: until all are done, "
            "by the time without the large ones",
            "at most 2.5",
            f"{late[len(late) // 2]:.2f} ({late[0]:.2f} to {late[-1]:.2f})",
            late[len(late) // 2] <= 2.5,
            f"{times[0]:.1f} s and {times[1]:.1f} s from the first worker's start; the whole scan "
            f"{_median([_working(a) for a, _ in pairs]):.1f} s",
        )


def _film(path: Path) -> None:
    with path.open("wb") as file:
        file.write(_FILM)
        for _ in range(LARGE_SIZE >> 20):
            file.write(os.urandom(1 << 20))


def _found(shares: Shares) -> list[float]:
    """When each hit was told."""
    hits = [at for at, line in shares.told if json.loads(line).get("event") == "hit"]
    return [at - shares.first_worker for at in hits]


# Storage that answers late


def _slow_storage(work: Path) -> Row:
    """Files on a file system that answers each read late: how many reads wait for it at once."""
    source, at = work / "remote", work / "mount"
    source.mkdir()
    at.mkdir()
    for n in range(REMOTE_FILES):
        (source / f"film{n}.mp4").write_bytes(_FILM + os.urandom(REMOTE_SIZE))
    materials.settle()
    sweep = Hostsweep(work, materials.small_list(work / "list.txt"), f"{{{_EXACT_ONLY}, workers: 1}}")
    alone = sweep.shares(source, REMOTE_FILES)
    with mounted(source, at, DELAY) as server:
        shares = sweep.shares(at, REMOTE_FILES)
    one_by_one = server.reads * DELAY
    took = _working(shares) - _working(alone)
    return judged(
        f"first scan of files on storage that answers a read after {DELAY * 1e3:.0f} ms, 1 worker: "
        "time that it adds, by that of as many answers one after the other",
        "at most 0.5",
        f"{took / one_by_one:.2f}",
        took <= 0.5 * one_by_one,
        f"{REMOTE_FILES} files of {REMOTE_SIZE >> 10} KiB, {server.reads} reads, "
        f"at most {server.most} at once; "
        f"{took:.1f} s more than the {_working(alone):.1f} s without delay",
    )
