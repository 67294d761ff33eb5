"""Coverage never claims what is not known: scans that were cut short, died, run, or never were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from scanner.app.coverage import coverage
from scanner.app.covered import Coverage, State
from scanner.app.gapkeeping import scan_tokens
from scanner.gaps import Gaps
from scanner.ledger import Ledger
from tests.scanning import app_of

SECOND = 10**9
WHOLE = {
    "files": 100,
    "matched": 1,
    "clean": 60,
    "unchanged": 20,
    "skipped": {"not_media": 9, "excluded": 10},
}


class Clock:
    """Stands still at a time, in seconds."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def now_ns(self) -> int:
        return int(self.seconds * SECOND)


class Site:
    def __init__(self, tmp_path: Path) -> None:
        self.app = app_of(tmp_path, ())
        self.app.clock = self.clock = Clock()
        self.app.state.prepare()

    def scan(
        self,
        scan_id: str,
        began: float,
        ended: float = 0.0,
        counts: Mapping[str, object] | None = None,
        *,
        complete: bool = False,
    ) -> None:
        with Ledger.open(self.app.state.ledger) as ledger:
            ledger.scan_started(scan_id, "web", "normal", int(began * SECOND))
            if counts is not None:
                ledger.scan_finished(scan_id, counts, complete=complete, now_ns=int(ended * SECOND))

    def coverage(self) -> Coverage:
        return coverage(self.app, ["web"], "lists")["web"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    # Whether known files met the lists of now is the catalog's to say; here they have.
    from scanner.app import coverage as module

    monkeypatch.setattr(module._Stores, "_matched", lambda *_: True)
    return Site(tmp_path)


def test_a_volume_that_was_never_scanned_has_no_share_and_is_due_now(site: Site) -> None:
    found = site.coverage()
    assert (found.state, found.share, found.whole, found.walked_ns) == (State.NEVER, 0.0, False, None)
    assert (found.next_ns, found.next_end_ns) == (site.clock.now_ns(), None)


def test_files_left_out_by_choice_are_in_no_share(site: Site) -> None:
    counts = {**WHOLE, "files": 102, "failed": {"io": 1}, "skipped": {**WHOLE["skipped"], "too_large": 1}}
    site.scan("a", 1000, 1100, counts)
    found = site.coverage()
    assert (found.state, found.covered, found.left_out) == (State.INCOMPLETE, 90, {"excluded": 10})
    assert found.uncovered == {"io": 1, "too_large": 1}
    assert found.share == pytest.approx(90 / 92)
    assert found.oldest_gap_ns == 1000 * SECOND, "it was never complete, so it is as old as the first scan"
    site.scan("b", 2000, 2100, WHOLE, complete=True)
    found = site.coverage()
    assert (found.state, found.share, found.oldest_gap_ns) == (State.WHOLE, 1.0, None)
    assert found.next_ns == site.clock.now_ns() and found.next_end_ns == site.clock.now_ns() + 100 * SECOND


def test_directories_that_can_not_be_read_leave_no_volume_whole(site: Site) -> None:
    site.scan("a", 1000, 1100, {**WHOLE, "directories_failed": 1})
    found = site.coverage()
    assert (found.state, found.directories_unknown) == (State.INCOMPLETE, 1)
    assert found.share == pytest.approx(90 / 91), "a share of 1 is said of all there is"
    site.scan("b", 2000, 2100, WHOLE)
    assert site.coverage().state is State.INCOMPLETE, "recorded before directories were counted"
    assert not site.coverage().whole and found.oldest_gap_ns == 1000 * SECOND


def test_a_scan_that_was_cut_short_covers_what_it_came_to_and_one_that_died_nothing(site: Site) -> None:
    site.scan("a", 1000, 1100, WHOLE, complete=True)
    short = {"files": 40, "clean": 25, "skipped": {"not_media": 5, "interrupted": 10}, "interrupted": True}
    site.scan("b", 2000, 2050, short)
    found = site.coverage()
    assert (found.state, found.files, found.covered) == (State.INTERRUPTED, 100, 30)
    assert found.uncovered == {"unscanned": 70}
    assert found.share == pytest.approx(0.3)
    assert (found.walked_ns, found.oldest_gap_ns) == (1000 * SECOND, 1000 * SECOND)
    assert found.next_ns == site.clock.now_ns(), "the daemon goes on at once"
    site.scan("c", 3000)
    found = site.coverage()
    assert (found.state, found.covered, found.uncovered) == (State.INTERRUPTED, 0, {"unscanned": 100})


def test_a_first_scan_that_was_cut_short_has_no_share_at_all(site: Site) -> None:
    site.scan("a", 1000, 1050, {"files": 40, "clean": 40, "interrupted": True})
    found = site.coverage()
    assert (found.state, found.share, found.covered, found.oldest_gap_ns) == (
        State.INTERRUPTED,
        0.0,
        40,
        1000 * SECOND,
    )


def test_a_running_scan_tells_how_far_it_is_and_until_when_and_leaves_the_last_word_to_the_one_before(
    site: Site,
) -> None:
    site.scan("a", 1000, 1100, WHOLE, complete=True)
    site.scan("b", site.clock.seconds - 30)
    tokens = scan_tokens(site.app.state)
    tokens.claim("b")
    root = site.app.volumes[0].root
    with Gaps.open(site.app.state.gaps) as gaps:
        gaps.begin("web", root, "b", site.clock.now_ns())
        gaps.progress("web", root, 60, site.clock.now_ns())
    found = site.coverage()
    assert found.state is State.WHOLE and found.next_ns is None
    assert found.running is not None
    assert (found.running.files, found.running.share) == (60, 0.6)
    assert found.running.eta_ns == site.clock.now_ns() + 20 * SECOND
    tokens.release()
    found = site.coverage()
    assert (found.state, found.running) == (State.INTERRUPTED, None), "its process died"


def test_the_oldest_gap_is_as_old_as_the_first_time_it_was_met(site: Site) -> None:
    counts = {**WHOLE, "files": 101, "failed": {"io": 1}}
    site.scan("a", 1000, 1100, WHOLE, complete=True)
    root = site.app.volumes[0].root
    with Gaps.open(site.app.state.gaps) as gaps:
        for scan_id, now in (("b", 2000), ("c", 3000)):
            site.scan(scan_id, now, now + 100, counts)
            gaps.begin("web", root, scan_id, now * SECOND)
            gaps.keep("web", root, [(b"x", "io", 1)], scan_id, now * SECOND)
            gaps.end("web", root, scan_id, b"", 0, now * SECOND)
    assert site.coverage().oldest_gap_ns == 2000 * SECOND


def test_lists_that_known_files_have_not_met_cover_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    site.scan("a", 1000, 1100, WHOLE, complete=True)
    found = site.coverage()
    assert (found.state, found.covered, found.uncovered) == (State.UNMATCHED, 9, {"unmatched": 81})
    assert found.oldest_gap_ns == 1000 * SECOND
