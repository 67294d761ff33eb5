"""Sizes and times of the index, one JSON object a line.

    .venv/bin/python tests/bench/bench_index.py [--exact 10000000] [--pdq 1000000]

The lists are random numbers. Memory is what the kernel counts as private to a fresh process that opened the
snapshot and asked (/proc/self/smaps_rollup), less what it had before: once with no other process that has the
file mapped, when Private_Clean holds pages of the file itself, and once beside one, as in the daemon.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.index import OpenFeed, Snapshot, SnapshotBuilder, Threshold, added
from scanner.model.feeds import Entry, FeedTerms

LOOKUPS = 100_000
BLOCK = 100_000


def show(**figures: object) -> None:
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}), flush=True)


def private_mb() -> dict[str, float]:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return {
        n: int(kb) / 1024 for n, kb, *_ in map(str.split, lines) if n in ("Private_Clean:", "Private_Dirty:")
    }


def growth(before: dict[str, float]) -> dict[str, float]:
    return {f"{n.rstrip(':').lower()}_mb": mb - before[n] for n, mb in private_mb().items()}


def random_values(seed: int, count: int, size: int) -> Iterable[bytes]:
    rng = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        n = min(BLOCK, count - start)
        data = rng.integers(0, 256, n * size, dtype=np.uint8).tobytes()
        yield from (data[i : i + size] for i in range(0, n * size, size))


def build(path: Path, kind: str, count: int, size: int) -> None:
    builder = SnapshotBuilder()
    start = time.perf_counter()
    for value in random_values(1, count, size):
        builder.add(Entry(((kind, value),)))
    middle = time.perf_counter()
    info = builder.finish(path, meta={"feed": "bench", "format": "plain", "built_ns": 0})
    end = time.perf_counter()
    show(
        what=f"build {kind}", hashes=count, add_s=middle - start, entries_per_s=int(count / (middle - start)),
        finish_s=end - middle, file_mb=info.length / 1e6,
    )  # fmt: skip


def timed_ms(call: Callable[[bytes], object], values: list[bytes]) -> list[float]:
    times = []
    for value in values:
        start = time.perf_counter()
        call(value)
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)


def ask_exact(path: Path, count: int) -> None:
    listed = list(islice(random_values(1, count, 20), LOOKUPS // 2))
    absent = list(random_values(2, LOOKUPS // 2, 20))
    before = private_mb()
    start = time.perf_counter()
    snapshot = Snapshot.open(path)
    opened = time.perf_counter() - start
    show(what="open", hashes=count, open_s=opened, **growth(before))
    for what, values in (("exact, absent", absent), ("exact, listed", listed)):
        start = time.perf_counter()
        found = sum(bool(snapshot.exact("sha1", v)) for v in values)
        took = (time.perf_counter() - start) / len(values) * 1e6
        show(what=what, hashes=count, found=found, of=len(values), us_per_lookup=took)
    show(what=f"after {LOOKUPS} lookups", hashes=count, **growth(before))


def ask_near(path: Path, count: int) -> None:
    snapshot = Snapshot.open(path)
    before = private_mb()
    values = list(random_values(3, 100, 32))
    for strategy in ("tables", "scan", "auto"):
        if strategy == "tables" and not snapshot.table("pdq").has_tables:
            continue
        times = timed_ms(lambda v, s=strategy: snapshot.near("pdq", v, 31, strategy=s), values)
        show(what=f"near 31, {strategy}", hashes=count, ms_median=times[50], ms_p95=times[95])
    show(what="near", hashes=count, **growth(before))


def values_of(seed: int, size: int) -> npt.NDArray[np.uint8]:
    """A thousand values, as a catalog hands them over."""
    return np.frombuffer(b"".join(random_values(seed, 1000, size)), dtype=np.uint8).reshape(1000, size)


def ask_delta(path: Path, other: Path) -> None:
    feed = OpenFeed(FeedTerms("bench"), Snapshot.open(path))
    old = OpenFeed(FeedTerms("bench"), Snapshot.open(other))
    start = time.perf_counter()
    delta = added([feed], [old], {"pdq": Threshold(31, 50)})
    took = time.perf_counter() - start
    batch = [(kind, values_of(seed, size)) for kind, seed, size in (("sha1", 5, 20), ("pdq", 6, 32))]
    start = time.perf_counter()
    for kind, values in batch:
        delta.concerned(kind, values)
    per_file = time.perf_counter() - start  # of 1000 files in seconds: of one in milliseconds
    show(what="delta", new=dict(delta.counts), added_s=took, ms_per_file=per_file)


def in_fresh_process(*arguments: str) -> None:
    subprocess.run([sys.executable, __file__, *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exact", type=int, default=10_000_000)
    parser.add_argument("--pdq", type=int, default=1_000_000)
    parser.add_argument("--ask", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--other", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        what, path = options.ask[0], Path(options.ask[1])
        if what == "delta":
            ask_delta(path, Path(options.other))
        else:
            {"exact": ask_exact, "near": ask_near}[what](
                path, options.exact if what == "exact" else options.pdq
            )
        return
    with tempfile.TemporaryDirectory(prefix="bench-index-") as directory:
        exact, near, small = (Path(directory) / name for name in ("exact", "near", "small"))
        for kind, path, count, size in (
            ("sha1", exact, options.exact, 20),
            ("pdq", near, options.pdq, 32),
            ("pdq", small, min(1000, options.pdq), 32),
        ):
            build(path, kind, count, size)
        for beside in (False, True):
            show(what="beside another process that has the file mapped", beside=beside)
            held = np.memmap(exact, dtype=np.uint8, mode="r") if beside else np.zeros(1, dtype=np.uint8)
            held.max()  # touches every page
            in_fresh_process("--ask", "exact", str(exact), "--exact", str(options.exact))
        in_fresh_process("--ask", "near", str(near), "--pdq", str(options.pdq))
        in_fresh_process("--ask", "delta", str(near), "--other", str(small))
        in_fresh_process("--ask", "delta", str(exact), "--other", str(small))


if __name__ == "__main__":
    os.nice(5)
    main()
