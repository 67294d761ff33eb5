"""From entries to a finished snapshot, and changes to one: speed and memory by number of entries.

    .venv/bin/python tests/bench/run.py --only feeds [--only feeds-large]

Each figure is a process of its own: its peak is what the kernel counts as resident, pages of files included.
The lists are random numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measuring import own_peak, run
from report import Row, judged

KIND, SIZE = "sha1", 20
CHANGES = 1000
_BLOCK = 100_000  # entries made at a time
_MIB = 1 << 20
_KEY = "5" * 64


def small(work: Path) -> Iterator[Row]:
    """A million entries."""
    yield from _rows(work, 1_000_000)


def large(work: Path) -> Iterator[Row]:
    """Ten million entries: minutes."""
    yield from _rows(work, 10_000_000)


def _rows(work: Path, count: int) -> Iterator[Row]:
    for how, key in (("packed", ""), ("packed", _KEY), ("entries", _KEY), ("records", _KEY)):
        got = _child("build", how, str(count), str(work / how), key)
        rate, peak = count / got["cpu"], got["peak"] / _MIB
        what = f"import by builder, {count:,} {how}, {'keyed' if key else 'not keyed'}"
        note = (
            f"{got['wall']:.1f} s, the last {got['finish']:.1f} of them writing; {got['size'] / 1e6:.0f} MB"
        )
        yield judged(f"{what}: peak memory", "under 200 MB", f"{peak:.0f} MiB", got["peak"] < 200e6, note)
        if how == "packed" and not key:
            yield judged(f"{what}: rate", "2 million/s", f"{rate / 1e6:.2f} million/s of a core", rate >= 2e6)
        else:
            yield Row(f"{what}: rate", "-", f"{rate / 1e6:.2f} million/s of a core", "-")
    got = _child("change", "records", str(count), str(work / "records"), _KEY)
    what = f"{CHANGES:,} changes (new, newer, taken back) to {count:,} records"
    yield judged(
        f"{what}: building the new list", "under 5 s", f"{got['wall']:.1f} s", got["wall"] < 5,
        f"{got['cpu']:.1f} s of a core; peak {got['peak'] / _MIB:.0f} MiB",
    )  # fmt: skip
    got = _child("whole", "packed", str(count), str(work / "packed"), _KEY)
    yield judged(
        f"{CHANGES:,} new entries to {count:,}: from the list to its being in use", "under 5 s",
        f"{got['wall']:.1f} s", got["wall"] < 5,
        f"with process, copy, verification and promotion; {got['cpu']:.1f} s of a core, the rest is waiting",
    )  # fmt: skip


def _child(*arguments: str) -> dict[str, float]:
    output = run([sys.executable, __file__, *arguments], keep=True).output
    found: dict[str, float] = json.loads(output)
    return found


def _values(seed: int, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for start in range(0, count, _BLOCK):
        yield rng.integers(0, 256, min(_BLOCK, count - start) * SIZE, dtype=np.uint8).tobytes()


def _items(how: str, seed: int, count: int) -> Iterator[object]:
    from scanner.model.feeds import Entry, Packed

    for data in _values(seed, count):
        if how == "packed":
            yield Packed(KIND, data)
            continue
        for at in range(0, len(data), SIZE):
            value = data[at : at + SIZE]
            if how == "records":
                own = value[:8].hex()
                yield Entry(((KIND, value),), own, "1", own, 1)
            else:
                yield Entry(((KIND, value),))


def _now() -> tuple[float, float]:
    """Seconds that passed, and of a core that were used."""
    return time.perf_counter(), time.process_time()


def build(how: str, count: int, path: Path, key: str) -> dict[str, float]:
    """Build a list; making its entries is not counted."""
    from scanner.index import ListKey, SnapshotBuilder

    builder = SnapshotBuilder(key=ListKey(bytes.fromhex(key)) if key else None, scratch=path.parent)
    making = [0.0, 0.0]
    start = _now()
    items = _items(how, 1, count)
    while True:
        before = _now()
        # Objects are made for some thousand entries at a time, so that taking the time costs nothing.
        batch = [item for _, item in zip(range(1 if how == "packed" else 4096), items, strict=False)]
        making = [m + a - b for m, a, b in zip(making, _now(), before, strict=True)]
        if not batch:
            break
        for item in batch:
            builder.add(item)
    middle = time.perf_counter()
    info = builder.finish(path, meta={"feed": "bench", "format": "plain", "built_ns": 0})
    end = _now()
    wall, cpu = (e - s - m for e, s, m in zip(end, start, making, strict=True))
    return {"wall": wall, "cpu": cpu, "finish": end[0] - middle, "size": info.length}


def change(count: int, path: Path, key: str) -> dict[str, float]:
    """Half of the changes are new, a quarter newer statements, a quarter removals."""
    from scanner.index import ListKey, Snapshot, SnapshotBuilder
    from scanner.model.feeds import Entry, Removal

    old = next(iter(_values(1, min(count, _BLOCK))))
    new = next(iter(_values(2, CHANGES)))
    start = _now()
    base = Snapshot.open(path, key=ListKey(bytes.fromhex(key)))
    builder = SnapshotBuilder(key=base.key, base=base, scratch=path.parent)
    for n in range(CHANGES):
        value = (new if n % 2 else old)[n * SIZE : (n + 1) * SIZE]
        own = value[:8].hex()
        builder.add(Removal(own, 2) if n % 4 == 2 else Entry(((KIND, value),), own, "1", own, 2))
    info = builder.finish(path.with_name("changed"), meta={"feed": "bench", "format": "plain", "built_ns": 0})
    end = _now()
    if (info.added, info.replaced, info.removed) != (CHANGES // 2, CHANGES // 4, CHANGES // 4):
        raise RuntimeError(f"the changes were not made: {info}")
    wall, cpu = (e - s for e, s in zip(end, start, strict=True))
    return {"wall": wall, "cpu": cpu}


def whole(count: int, path: Path, key: str) -> dict[str, float]:
    """Changes by the way of a feed: confined process, copy, verification, promotion."""
    from scanner.app.importing import Importer, opened_list
    from scanner.config import Config, FeedConfig
    from scanner.feeds import FeedStore
    from scanner.index import ListKey
    from scanner.model.ports import SystemClock, SystemIds

    state, work = path.parent / "feeds", path.parent / "work"
    work.mkdir()
    store, ids = FeedStore(state), SystemIds()
    shutil.copy(path, work / "base")
    store.promote("bench", work / "base")
    source = work / "list"
    (new,) = _values(3, CHANGES)
    source.write_text("".join(f"{new[i : i + SIZE].hex()}\n" for i in range(0, len(new), SIZE)))
    feed = FeedConfig(name="bench", url=f"file://{source}", format="plain")
    importer = Importer(Config(), SystemClock(), ids, store, work)
    start, loaded = _now()
    with opened_list(source) as descriptor:
        built = asyncio.run(
            importer.build(feed, source, descriptor, key=ListKey(bytes.fromhex(key)), partial=True)
        )
    wall = time.perf_counter() - start
    answer = built.answer
    if (answer.list.entries, answer.list.added) != (count + CHANGES, CHANGES):
        raise RuntimeError(f"the changes were not made: {answer.list}")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"wall": wall, "cpu": sum(u.ru_utime + u.ru_stime for u in used) - loaded}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("build", "change", "whole"))
    parser.add_argument("how")
    parser.add_argument("count", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("key")
    o = parser.parse_args()
    if o.what == "build":
        found = build(o.how, o.count, o.path, o.key)
    else:
        found = (change if o.what == "change" else whole)(o.count, o.path, o.key)
    found["peak"] = own_peak()
    print(json.dumps(found))


if __name__ == "__main__":
    os.nice(5)
    main()
