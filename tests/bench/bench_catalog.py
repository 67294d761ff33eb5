"""How fast the catalog is: `python tests/bench/bench_catalog.py [files]`. Prints rates and bytes per file."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scanner.catalog import Catalog, DirectoryRecord
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests, PerceptualHash

FILES_IN_DIRECTORY = 20  # the mean of a hosting-shaped tree
FILES_IN_COMMIT = 20_000
LOOKUPS = 50_000


def records(files: int) -> Iterator[DirectoryRecord]:
    """Directories of pictures with three exact digests and two views of PDQ each."""
    for d in range(files // FILES_IN_DIRECTORY):
        noise = os.urandom(132 * FILES_IN_DIRECTORY)
        rows: list[KnownFile] = []
        for f in range(FILES_IN_DIRECTORY):
            n = noise[132 * f : 132 * (f + 1)]
            number = d * FILES_IN_DIRECTORY + f
            stat = FileStat(
                b"IMG_%08d.jpeg" % number, 0, number + 12, 180_000 + number % 9999,
                1_700_000_000_000_000_000 + number, 1_700_000_000_000_000_000 + number, 1, 352,
            )  # fmt: skip
            exact = {"md5": n[:16], "sha1": n[16:36], "sha256": n[36:68]}
            views = (
                PerceptualHash("pdq", "full", n[68:100], 100),
                PerceptualHash("pdq", "grid512", n[100:132], 100),
            )
            rows.append(KnownFile(stat, FileState.CLEAN, Digests(stat.size, "image/jpeg", exact, views)))
        yield DirectoryRecord(b"customer%03d/www/pictures/%06d" % (d % 500, d), noise[:16], rows)


def measure(files: int, path: Path) -> None:
    catalog = Catalog.open(path)
    volume = catalog.volume("web", b"/srv/www", b"profile")
    made = list(records(files))

    start = time.perf_counter()
    for i, record in enumerate(made, 1):
        volume.record(record)
        if i * FILES_IN_DIRECTORY % FILES_IN_COMMIT == 0:
            volume.commit()
    volume.commit()
    print(f"upserts, new      {files / (time.perf_counter() - start):12,.0f} rows/s")

    start = time.perf_counter()
    for record in made[: len(made) // 4]:
        volume.record(record)
    volume.commit()
    print(f"upserts, replaced {files / 4 / (time.perf_counter() - start):12,.0f} rows/s")

    reader = Catalog.open(path, read_only=True).volume("web", b"/srv/www", b"profile")
    paths = [record.path for record in made]
    asked = [paths[i * 7919 % len(paths)] for i in range(LOOKUPS)]
    start = time.perf_counter()
    ids = [found.id for p in asked if (found := reader.directory(p))]
    print(f"directory()       {LOOKUPS / (time.perf_counter() - start):12,.0f} lookups/s")

    start = time.perf_counter()
    read = sum(len(reader.files(i)) for i in ids[:5000])
    print(f"files()           {read / (time.perf_counter() - start):12,.0f} rows/s")

    start = time.perf_counter()
    seen = sum(len(batch) for batch in volume.iterate())
    print(f"iterate()         {seen / (time.perf_counter() - start):12,.0f} rows/s")

    start = time.perf_counter()
    volume.forget_directories_not_seen(paths)
    print(f"forget, none gone {len(paths) / (time.perf_counter() - start):12,.0f} directories/s")

    start = time.perf_counter()
    volume.stats()
    print(f"stats()           {(time.perf_counter() - start) * 1000:12.1f} ms")
    catalog.close()
    print(f"on disk           {path.stat().st_size / files:12.1f} bytes/file")
    start = time.perf_counter()
    Catalog.open(path).close()
    print(f"open and check    {(time.perf_counter() - start) * 1000:12.1f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, Path(directory) / "catalog.sqlite")
