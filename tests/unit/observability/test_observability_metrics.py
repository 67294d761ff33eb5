"""The metrics: names and labels as documented, running counts added once, nothing secret in a label."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from scanner.model.outcomes import ScanCounts
from scanner.observability import Metrics

REFERENCE = Path(__file__).parents[3] / "docs" / "metrics.md"


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and label values, in the order of the reference page."""
    families = text_string_to_metric_families(metrics.render().decode())
    order = Metrics().names()
    samples = [s for family in families for s in family.samples]
    return {(s.name, *(s.labels[n] for n in order.get(s.name, s.labels))): s.value for s in samples}


def test_names_types_and_labels_are_those_of_the_reference_page() -> None:
    rows = re.findall(r"(?m)^\| `(hostsweep_\w+)` \| (\w+) \| ([^|]*?) ?\|", REFERENCE.read_text())
    told = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    assert told == Metrics().names()
    rendered = Metrics().render().decode()
    for name, kind, _ in rows:
        assert f"# TYPE {name} {kind}\n" in rendered


def test_running_counts_of_a_scan_are_added_once_however_often_they_are_told() -> None:
    metrics, counts = Metrics("1"), ScanCounts()
    counts.files, counts.clean, counts.bytes = 2, 2, 100
    metrics.record_scan("web", counts)
    metrics.record_scan("web", counts)
    counts.files, counts.clean, counts.bytes = 9, 5, 300
    counts.skipped["not_media"] = 3
    counts.failed["undecodable"] = 1
    counts.directories_failed = 2
    metrics.record_scan("web", counts)
    metrics.record_scan("web", counts)
    seen = values(metrics)
    assert seen["hostsweep_files_total", "web", "clean"] == 5
    assert seen["hostsweep_files_total", "web", "skipped"] == 3
    assert seen["hostsweep_files_total", "web", "failed"] == 1
    assert seen["hostsweep_files_total", "web", "matched"] == 0
    assert seen["hostsweep_skipped_total", "web", "not_media"] == 3
    assert seen["hostsweep_bytes_hashed_total", "web"] == 300
    assert seen["hostsweep_errors_total", "file", "undecodable"] == 1
    assert seen["hostsweep_errors_total", "directory", "unreadable"] == 2


def test_a_second_scan_with_the_very_same_counts_is_added_in_full() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.record_scan("web", ScanCounts(files=7, unchanged=7))
    assert values(metrics)["hostsweep_files_total", "web", "unchanged"] == 14


def test_two_scans_that_report_in_turn_are_not_mixed_up() -> None:
    metrics, scan, rematch = Metrics(), ScanCounts(), ScanCounts()
    for n in (1, 2, 3):
        scan.clean, rematch.matched = n, 10 * n
        metrics.record_scan("web", scan)
        metrics.record_scan("web", rematch)
    seen = values(metrics)
    assert seen["hostsweep_files_total", "web", "clean"] == 3
    assert seen["hostsweep_files_total", "web", "matched"] == 30


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_files_by_outcome_add_up_to_the_files_met(steps: list[tuple[int, int, int]]) -> None:
    metrics, counts = Metrics(), ScanCounts()
    for clean, skipped, failed in steps:
        counts.clean += clean
        counts.skipped["depth"] = counts.skipped.get("depth", 0) + skipped
        counts.failed["io"] = counts.failed.get("io", 0) + failed
        counts.files += clean + skipped + failed
        metrics.record_scan("web", counts)
    total = sum(v for (name, *_), v in values(metrics).items() if name == "hostsweep_files_total")
    assert total == counts.files


@pytest.mark.parametrize(
    "value",
    [
        "/srv/www/customer",
        "a/b",
        "d41d8cd98f00b204e9800998ecf8427e",
        "x-DEADBEEFDEADBEEF",
        "",
        "a\nb",
        'a"b',
        "ü",
    ],
)
def test_no_label_holds_a_path_or_a_hash_or_anything_else_that_is_not_plain(value: str) -> None:
    metrics = Metrics()
    metrics.record_scan(value, ScanCounts(skipped={value: 1}, failed={value: 1}))
    metrics.scan_finished(value, 1.0, complete=True, now_ns=1)
    metrics.hit(value, value, value)
    metrics.feed_entries(value, {value: 1})
    metrics.feed_synced(value, value, 1)
    metrics.feed_overdue(value, True)
    metrics.workers({value: 1}, {value})
    metrics.queue(value, 1)
    metrics.error(value, value)
    labels = {label for key in values(metrics) for label in key[1:]}
    assert "other" in labels
    assert value not in labels - {"", "other"}


def test_made_up_reasons_can_not_fill_the_memory() -> None:
    metrics = Metrics()
    for n in range(2_000):
        metrics.error("file", f"reason-{n}")
    seen = values(metrics)
    assert seen["hostsweep_errors_total", "file", "other"] == 1_900
    assert len([key for key in seen if key[0] == "hostsweep_errors_total"]) == 101


def test_gauges_forget_what_is_no_longer_so() -> None:
    metrics = Metrics()
    metrics.feed_entries("police", {"md5": 5, "pdq": 2})
    metrics.feed_entries("other-feed", {"md5": 1})
    metrics.feed_entries("police", {"md5": 6})
    metrics.workers({}, {"landlock", "seccomp"})
    metrics.workers({"crashed": 1}, {"seccomp"}, {"seccomp", "user"})
    seen = values(metrics)
    entries = {key[1:]: v for key, v in seen.items() if key[0] == "hostsweep_feed_entries"}
    assert entries == {("police", "md5"): 6, ("other-feed", "md5"): 1}
    assert seen["hostsweep_worker_sandbox", "landlock"] == 0
    assert seen["hostsweep_worker_sandbox", "user"] == 0
    assert seen["hostsweep_worker_sandbox", "seccomp"] == 1


def test_an_incomplete_scan_does_not_move_the_time_of_the_last_complete_one() -> None:
    metrics = Metrics()
    metrics.scan_finished("web", 5.0, complete=True, now_ns=10**9)
    metrics.scan_finished("web", 6.0, complete=False, now_ns=2 * 10**9)
    seen = values(metrics)
    assert seen["hostsweep_scan_last_complete_timestamp_seconds", "web"] == 1
    assert seen["hostsweep_scan_duration_seconds", "web"] == 6


def test_nothing_but_the_documented_series_is_written() -> None:
    metrics = Metrics("1.2.3")
    metrics.record_scan("web", ScanCounts(files=1, clean=1))
    metrics.secured(-5)
    text = metrics.render().decode()
    assert 'hostsweep_build_info{version="1.2.3"} 1.0' in text
    assert 'hostsweep_exposure_seconds_bucket{le="60.0"} 1.0' in text
    assert "_created" not in text


def test_a_textfile_is_replaced_whole_and_readable_by_all(tmp_path: Path) -> None:
    place = tmp_path / "hostsweep.prom"
    place.write_text("old")
    with place.open() as reader:
        Metrics().write_textfile(place)
        assert reader.read() == "old"  # whoever is reading keeps the whole old file
    assert place.read_bytes() == Metrics().render()
    assert stat.S_IMODE(place.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["hostsweep.prom"]


def test_a_textfile_never_replaces_a_link_device_or_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError):
            Metrics().write_textfile(tmp_path / name)
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]
