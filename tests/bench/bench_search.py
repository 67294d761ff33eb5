"""Searching lists: perceptual values beside faiss's exhaustive search, exact ones in batches, and growth."""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Skipped, measure_memory, own_peak, run
from pdq_values import Hashes, Pictures
from plot import growth_plot
from report import Row, judged

from scanner.index import OpenFeed, Snapshot, SnapshotBuilder, Threshold, added
from scanner.index.exact import as_keys
from scanner.index.joining import Join
from scanner.model.feeds import FeedTerms, Packed
from scanner.model.hashes import KINDS

_PLOT = Path(__file__).parents[2] / "docs" / "index-growth.svg"
_QUERIES, _VIEWS, _BATCH = 60, 40, 1_000_000
_BLOCK = 1_000_000
_OLD, _NEW = 10_000_000, 10_000
_DISTANCE = 31
_LIMITS = {"pdq": Threshold(_DISTANCE, 50)}
_ORIGIN = {"feed": "bench", "format": "plain", "built_ns": 0}


def small(work: Path) -> Iterator[Row]:
    """A million entries of each kind."""
    yield from _perceptual(work, 1_000_000, [])
    yield from _exact(work, 1_000_000, [])
    yield from _joining()


def large(work: Path) -> Iterator[Row]:
    """Ten million perceptual entries, a hundred million exact ones, changes to ten million, the growth."""
    search: list[tuple[int, float]] = []
    brute: list[tuple[int, float]] = []
    exact: list[tuple[int, float]] = []
    for count in (1_000_000, 3_000_000, 10_000_000):
        for row in _perceptual(work, count, search, brute):
            if count == 10_000_000:
                yield row
    for kind in ("pdq", "sha256"):
        yield from _change(work, kind)
    for count in (1_000_000, 10_000_000, 100_000_000):
        for row in _exact(work, count, exact):
            if count == 100_000_000:
                yield row
    _PLOT.write_text(growth_plot({
        "within 31 bits of a PDQ, a question": search,
        "the same by faiss IndexBinaryFlat": brute,
        "an exact digest of a batch": exact,
    }))  # fmt: skip
    points = "; ".join(f"{n:,}: {s * 1e3:.2f} ms" for n, s in search)
    yield Row("index: growth of a perceptual question", "-", points, "-", "plot: docs/index-growth.svg")


def _built(path: Path, kind: str, blocks: Iterator[bytes]) -> tuple[float, int]:
    """Seconds of processor time, and bytes of the file."""
    start, builder = time.process_time(), SnapshotBuilder(scratch=path.parent)
    for block in blocks:
        builder.add(Packed(kind, block))
    info = builder.finish(path, meta=_ORIGIN, durable=False)
    return time.process_time() - start, info.length


def _timed(calls: list[Callable[[], Any]]) -> float:
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _perceptual(
    work: Path,
    count: int,
    points: list[tuple[int, float]],
    beside: list[tuple[int, float]] | None = None,
) -> Iterator[Row]:
    path, pictures = work / f"pdq-{count}", Pictures(1)
    built, length = _built(path, "pdq", (pictures.values(100_000).tobytes() for _ in range(count // 100_000)))
    snapshot = Snapshot.open(path)
    name = f"PDQ within {_DISTANCE} bits among {count:,} entries"
    table = snapshot.table("pdq")
    assert table is not None
    asked = _questions(Pictures(2), table.hashes)
    ours = [lambda v=v.tobytes(): snapshot.near("pdq", v, _DISTANCE) for v in asked]
    _timed(ours[:10])
    flat, remark = _faiss(table.hashes)
    if flat is None:
        single = _timed(ours)
        yield Row(f"{name}, by faiss's time", "10 times as fast", f"{single * 1e3:.2f} ms", "-", remark)
    else:
        theirs = [lambda v=v: flat.range_search(v.reshape(1, -1), _DISTANCE + 1) for v in asked]
        rounds = [(_timed([a]), _timed([b])) for a, b in zip(ours, theirs, strict=True)]
        single, faiss = (statistics.median(times) for times in zip(*rounds, strict=True))
        missed = sum(len(b()[2]) != len(a()) for a, b in zip(ours, theirs, strict=True))
        if beside is not None:
            beside.append((count, faiss))
        yield judged(
            f"{name}: a question, faiss IndexBinaryFlat's time by ours",
            "at least 10",
            f"{faiss / single:.1f}",
            faiss >= 10 * single and not missed,
            f"{single * 1e3:.2f} ms, faiss {faiss * 1e3:.2f} ms, one thread, in turn; "
            f"{missed} of {len(asked)} answers differ from faiss's",
        )
    points.append((count, single))
    views = [v.tobytes() for v in asked[:_VIEWS]]
    many = _timed([lambda: list(snapshot.near_many("pdq", views, _DISTANCE))] * 5) / _VIEWS
    yield judged(
        f"{name}: bytes an entry, hash included",
        "at most 110",
        f"{length / count:.1f}",
        length <= 110 * count,
        f"built in {built:.1f} s of a core; {_VIEWS} questions at once take {many * 1e3:.2f} ms each",
    )
    snapshot.close()
    path.unlink()


def _questions(pictures: Pictures, listed: Hashes) -> Hashes:
    """Half of them pictures of their own, half listed ones with some bits changed."""
    asked = pictures.values(_QUERIES)
    rng = np.random.default_rng(3)
    near = listed[rng.integers(0, len(listed), _QUERIES // 2)]
    asked[::2] = near ^ np.packbits(rng.random((len(near), 256)) < 0.06, axis=1)
    return asked


def _faiss(hashes: Hashes) -> tuple[Any, str]:
    try:
        faiss: Any = importlib.import_module("faiss")
    except ImportError:
        return None, "faiss is not installed (pip install faiss-cpu): nothing to compare with"
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexBinaryFlat(256)
    flat.add(np.array(hashes))
    return flat, ""


def _exact(work: Path, count: int, points: list[tuple[int, float]]) -> Iterator[Row]:
    path = work / f"sha256-{count}"
    # A process of its own, so that its memory is that of building alone.
    command = [sys.executable, __file__, "exact", str(path), str(count)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise Skipped(f"the list of {count:,} digests could not be built: {done.stderr[-200:]}")
    seconds, length, peak = map(float, done.stdout.split())
    snapshot = Snapshot.open(path, verify=False)
    batches = [as_keys(np.random.default_rng(seed).bytes(32 * _BATCH), 32) for seed in (5, 1)]
    rates = []
    for batch in batches:
        times = []
        for _ in range(5):
            start = time.thread_time()
            found = int(snapshot.contains_many("sha256", batch).sum())
            times.append(time.thread_time() - start)
        rates.append((_BATCH / statistics.median(times), found))
    (absent, none), (listed, every) = rates
    assert not none and every == min(_BATCH, count)
    points.append((count, 1 / absent))
    yield judged(
        f"exact: {count:,} SHA-256, digests looked up in batches",
        "at least 5 million/s",
        f"{absent / 1e6:.1f} million/s",
        absent >= 5e6,
        f"of processor time of one core, none of them listed; {listed / 1e6:.1f} million/s where all are",
    )
    beyond = length / count - 32
    yield judged(
        f"exact: {count:,} SHA-256, bytes an entry beyond the digest",
        "at most 12",
        f"{beyond:.1f}",
        beyond <= 12,
    )
    yield judged(
        f"exact: {count:,} SHA-256, peak memory of building",
        "at most 1 GB",
        f"{peak / 1e6:.0f} MB",
        peak <= 1e9,
        f"{seconds:.1f} s of a core",
    )
    snapshot.close()
    path.unlink()


def _joining() -> Iterator[Row]:
    """A thousand new values against values of known files."""
    new, known = Pictures(11).values(1000), Pictures(12).values(1_000_000)
    start = time.thread_time()
    join = Join(new, _DISTANCE)
    middle = time.thread_time()
    join.any_within(known)
    each = (time.thread_time() - middle) / len(known)
    yield judged(
        "PDQ of known files by 1,000 new entries",
        "10 million in 20 s",
        f"{each * 1e7 + middle - start:.1f} s",
        each * 1e7 + middle - start <= 20,
        f"{each * 1e9:.0f} ns of a core a value, measured with a million of them; "
        f"{middle - start:.2f} s to make ready",
    )


def _change(work: Path, kind: str) -> Iterator[Row]:
    """New entries on a list of ten million: until they are in use."""
    rng, size = np.random.default_rng(21), KINDS[kind].size
    _built(work / "old", kind, (rng.bytes(size * _BLOCK) for _ in range(_OLD // _BLOCK)))
    # A process of its own, so that its memory is that of the change alone; looking at that takes time of it.
    command = [sys.executable, __file__, "change", str(work), kind]
    built, took, cpu = map(float, run(command, keep=True).output.split())
    memory = measure_memory(command)[1]
    yield judged(
        f"{_NEW:,} new {kind} on {_OLD:,}: until they are in use",
        "under 10 s",
        f"{took:.1f} s",
        took < 10,
        f"{built:.1f} s of it writing; {cpu:.1f} s of a core; peak memory {memory.private / 1e6:.0f} MB, "
        f"{memory.pss / 1e6:.0f} MB with the pages of the mapped files",
    )
    for path in (work / "old", work / "changed"):
        path.unlink()


def _measure_change(work: Path, kind: str) -> None:
    old, changed = work / "old", work / "changed"
    new = np.random.default_rng(22).bytes(KINDS[kind].size * _NEW)
    start, cpu = time.perf_counter(), time.process_time()
    with_old = Snapshot.open(old, verify=False)
    builder = SnapshotBuilder(base=with_old, scratch=work)
    builder.add(Packed(kind, new))
    builder.finish(changed, meta=_ORIGIN)
    built = time.perf_counter() - start
    with_new = Snapshot.open(changed)
    with_new.check()
    feeds = [OpenFeed(FeedTerms("bench"), snapshot) for snapshot in (with_new, with_old)]
    delta = added(feeds[:1], feeds[1:], _LIMITS)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert delta.counts == {kind: _NEW}
    print(built, took, cpu)


def _build_exact(path: Path, count: int) -> None:
    rng = np.random.default_rng(1)
    sizes = [min(_BLOCK, count - first) for first in range(0, count, _BLOCK)]
    seconds, length = _built(path, "sha256", (rng.bytes(32 * size) for size in sizes))
    print(seconds, length, own_peak())


if __name__ == "__main__":
    if sys.argv[1] == "change":
        _measure_change(Path(sys.argv[2]), sys.argv[3])
    else:
        _build_exact(Path(sys.argv[2]), int(sys.argv[3]))
