"""What the catalog takes on the disk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from scanner.catalog import Catalog, DirectoryRecord, queries
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests, PerceptualHash


def picture(number: int, views: int) -> KnownFile:
    """A file whose values can't be written shorter than they are."""
    stat = FileStat(
        b"IMG_%04d.jpg" % number, 0, number, 10**6 + number, 10**18, 10**18 + number * 10**15, 1, 1960
    )
    noise = (b"%08d" % number) * 8
    exact = {"md5": noise[:16], "sha1": noise[:20], "sha256": noise[:32]}
    seen = tuple(PerceptualHash("pdq", f"v{v}", noise[:32], 100 - (number + v) % 50) for v in range(views))
    return KnownFile(stat, FileState.CLEAN, Digests(stat.size, "image/jpeg", exact, seen))


def size_of(path: Path, directories: int, views: int) -> float:
    """Bytes a file, twenty in a directory."""
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("web", b"/srv", b"p")
        for d in range(directories):
            rows = [picture(20 * d + n, views) for n in range(20)]
            volume.record(DirectoryRecord(b"customer/pictures/%05d" % d, b"f" * 16, rows))
        volume.commit()
    return path.stat().st_size / (20 * directories)


def test_a_file_takes_no_more_than_it_has_to(tmp_path: Path) -> None:
    assert size_of(tmp_path / "plain", 2000, 0) < 120  # 68 of them digests
    few, many = (size_of(tmp_path / f"{views}", 200, views) for views in (2, 22))
    assert (many - few) / 20 < 42  # 33, and what pages have left at their end


def test_room_of_what_is_gone_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    before = size_of(path, 5000, 0)
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("web", b"/srv", b"p")
        volume.forget_directories_not_seen({b"customer/pictures/%05d" % d for d in range(0, 5000, 20)})
        left = volume.stats().files
    assert left == 5000
    assert path.stat().st_size < 0.55 * before * 100_000


@pytest.mark.parametrize("query", [name for name in vars(queries) if name.endswith("_FROM")])
def test_chunks_are_read_in_order_without_being_sorted(tmp_path: Path, query: str) -> None:
    """All of a node's chunks would be in memory at once."""
    sql = getattr(queries, query)
    with closing(Catalog.open(tmp_path / "catalog")) as catalog:
        plan = catalog._database.rows(f"EXPLAIN QUERY PLAN {sql}", (0,) * sql.count("?"))
    assert len(plan) == 2
    assert not [step for *_, step in plan if "TEMP" in step]
