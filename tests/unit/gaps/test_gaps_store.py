"""Gaps keep their age until a whole walk does not meet them, and never more than there is room for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.gaps import Gap, Gaps, store

VOLUME = ("web", b"/srv/www")


@pytest.fixture
def gaps(tmp_path: Path) -> Iterator[Gaps]:
    with Gaps.open(tmp_path / "gaps.sqlite") as opened:
        yield opened


def scan(
    gaps: Gaps, scan_id: str, now: int, found: list[tuple[bytes, str, int]], *, whole: bool = True
) -> None:
    gaps.begin(*VOLUME, scan_id, now)
    more = gaps.keep(*VOLUME, found, scan_id, now)
    if whole:
        gaps.end(*VOLUME, scan_id, b"profile", more, now)


def test_a_gap_keeps_its_age_until_a_whole_walk_does_not_meet_it(gaps: Gaps) -> None:
    scan(gaps, "1", 100, [(b"a/broken.jpg", "io", 1), (b"b.jpg", "too_large", 1)])
    scan(gaps, "2", 200, [(b"a/broken.jpg", "undecodable", 1)], whole=False)
    assert gaps.above(*VOLUME, b"a/broken.jpg") == (Gap(b"a/broken.jpg", "undecodable", 1, 100, 200),)
    assert gaps.above(*VOLUME, b"b.jpg"), "a scan that was cut short says nothing of what it did not come to"
    scan(gaps, "3", 300, [(b"a/broken.jpg", "undecodable", 1)])
    record = gaps.volume(*VOLUME)
    assert record is not None
    assert (record.since_ns, record.scan_id, record.profile) == (100, "3", b"profile")
    assert (record.gaps, record.oldest_ns) == (1, 100)
    scan(gaps, "4", 400, [])
    record = gaps.volume(*VOLUME)
    assert record is not None and (record.gaps, record.oldest_ns) == (0, 0)


def test_what_lies_below_a_directory_that_fails_now_is_still_a_gap(gaps: Gaps) -> None:
    scan(gaps, "1", 100, [(b"a/b/c.jpg", "io", 1), (b"ab/c.jpg", "io", 1)])
    scan(gaps, "2", 200, [(b"a", "permission", 1)])
    assert [g.path for g in gaps.oldest(*VOLUME, 10)] == [b"a/b/c.jpg", b"a"]
    assert [g.path for g in gaps.above(*VOLUME, b"a/b/c.jpg")] == [b"a/b/c.jpg", b"a"]
    # Files whose stat was refused are told of their directory, and what is below it was walked.
    scan(gaps, "3", 300, [(b"a", "unreadable", 2)])
    assert [g.path for g in gaps.oldest(*VOLUME, 10)] == [b"a"]


def test_gaps_that_are_too_many_are_counted_with_their_age(
    gaps: Gaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_MOST", 2)
    found = [(b"%d" % i, "io", 1) for i in range(5)]
    scan(gaps, "1", 100, found)
    scan(gaps, "2", 200, found[1:])
    scan(gaps, "3", 300, found[1:])
    record = gaps.volume(*VOLUME)
    assert record is not None and (record.gaps, record.more, record.oldest_ns) == (2, 2, 100)


def test_a_damaged_file_and_one_of_another_version_are_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "gaps.sqlite"
    path.write_bytes(b"no database at all" * 100)
    for version in (0, 99):
        with Gaps.open(path) as opened:
            assert opened.volume(*VOLUME) is None
            scan(opened, "1", 100, [])
            opened._connection.execute(f"PRAGMA user_version = {version or 99}")
    with Gaps.open(path) as opened:
        assert opened.volume(*VOLUME) is None
    assert path.stat().st_mode & 0o777 == 0o600
