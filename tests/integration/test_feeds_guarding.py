"""A list that is not as it should be is not put into use; what a list would do can be asked before."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from fakes_feeds import Site, files, use_in_process
from structlog.testing import capture_logs

from scanner.app import App, rehearsing
from scanner.app.guarding import Guarding
from scanner.app.service import Service
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig
from scanner.feeds.guard import FeedGuardError
from scanner.feeds.harmless import one_pixel_pictures
from scanner.index import Snapshot, SnapshotBuilder
from scanner.model.feeds import Entry, ImportCounts
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, CaseState, Match

PIXEL = next(iter(one_pixel_pictures()))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    use_in_process(monkeypatch)
    return Site(tmp_path)


async def test_a_list_with_harmless_content_is_refused_counted_and_taken_on_record_where_accepted(
    site: Site,
) -> None:
    """One-pixel pictures, what a benign feed has, and false positives; each alone would have been let
    pass."""
    known = files(300)
    site.list("police", *known)
    site.list("good", b"stock picture 0", b"stock picture 1")
    app = site.app()
    for name in app.feed_names:
        await app.sync_feed(name)
    good = app.keeper.store.current("police")
    wrong = b"a holiday picture"
    with app.ledger() as ledger:
        digests = Digests(len(wrong), "", {"sha256": hashlib.sha256(wrong).digest()})
        ledger.open_case(case_of(digests))
        ledger.add_exception(digests, "c" * 20, "looked at", "uid 0", 1)
    bad = [PIXEL, wrong, *(b"stock picture %d" % n for n in range(2)), *known]
    site.list("police", *bad[:2], *known)
    assert (await app.sync_feed("police")).result == "updated"  # a few are let pass
    assert app.keeper.store.state("police").guard == {"left_out": 1, "false_positives": 1}
    assert b'hostsweep_feed_benign_entries{feed="police"}' not in app.metrics.render()
    await Service(app).prepare()
    assert b'hostsweep_feed_benign_entries{feed="police"} 2.0' in app.metrics.render()
    current = app.keeper.store.current("police")
    assert current is not None and current != good
    site.list("police", *bad, *one_pixels(6))
    with capture_logs() as logs, pytest.raises(FeedGuardError, match=r"benign feeds: 2.*--accept") as refused:
        await app.sync_feed("police")
    assert refused.value.reasons == ("benign",)
    assert [e["checks"] for e in logs if e["event"] == "feed_guard_refused"] == [["benign"]]
    assert app.keeper.store.current("police") == current
    state = app.keeper.store.state("police")
    assert state.refusals == {"benign": 1} and "harmless content" in state.last_error
    assert b'hostsweep_feed_refused_total{feed="police",reason="benign"} 1.0' in app.metrics.render()
    with capture_logs() as logs:
        change = await app.sync_feed("police", accept=True)
    assert len(change.accepted) == 1 and change.accepted[0].startswith("benign: ")
    assert [e["check"] for e in logs if e["event"] == "feed_guard_accepted"] == ["benign"]
    (record,) = app.keeper.store.state("police").accepted
    assert record["who"] == app.actor and record["findings"] == list(change.accepted)
    for content in (wrong, b"stock picture 0", PIXEL):
        # A false positive is listed all the same; who judges a file asks the ledger.
        assert bool(app.keeper.open().index.match(digests_of(content))) == (content == wrong)


def one_pixels(count: int) -> list[bytes]:
    return sorted(set(one_pixel_pictures()))[:count]


def digests_of(content: bytes) -> Digests:
    return Digests(len(content), "", {k: hashlib.new(k, content).digest() for k in ("md5", "sha256")})


async def test_a_canary_must_be_found_and_a_benign_list_must_not_blind(site: Site) -> None:
    known, canary = files(100), b"the canary"
    site.guard = {"canary": {"sha256": hashlib.sha256(canary).hexdigest()}}
    site.list("police", *known)
    app = site.app()
    with pytest.raises(FeedGuardError, match="canary"):
        await app.sync_feed("police")
    assert app.keeper.store.current("police") is None
    site.list("police", *known, canary)
    await app.sync_feed("police")
    site.list("good", *known[:2], b"a font")
    await app.sync_feed("good")
    site.list("good", *known[:50], b"a font")
    with pytest.raises(FeedGuardError, match="would veto 50 of the 101 entries of police"):
        await app.sync_feed("good")
    assert app.keeper.open().index.match(digests_of(known[40]))
    # The canary may well be known to be harmless; that is no reason to refuse the list it is in.
    site.list("good", canary)
    await app.sync_feed("good")
    site.list("police", *known[:30], canary)
    assert (await app.sync_feed("police")).accepted == ()
    assert "benign_feeds" not in app.keeper.store.state("police").guard


def test_too_many_malformed_records_are_a_finding_that_says_where_the_first_is(tmp_path: Path) -> None:
    feed = FeedConfig(name="police", url="file:///list", max_malformed=0.1)
    app = App(Config(feeds=(feed,)), StateDirectory(tmp_path / "s", tmp_path / "q"))
    guarding = Guarding(app.config, app.keeper.store, None)
    counts = ImportCounts(entries=8, malformed=2, first_malformed="line 4: too short", hashes={"md5": 8})
    snapshot = built(tmp_path / "index", 8)
    judged = guarding.judge(app.keeper.feed("police"), snapshot, counts)
    assert [f.check for f in judged.findings] == ["malformed"]
    assert "2 of 10 records" in judged.findings[0].what and "line 4: too short" in judged.findings[0].what


def built(path: Path, entries: int) -> Snapshot:
    builder = SnapshotBuilder()
    for n in range(entries):
        builder.add(Entry((("md5", hashlib.md5(b"%d" % n).digest()),)))
    builder.finish(path, meta={"feed": "police", "format": "test", "built_ns": 1})
    return Snapshot.open(path)


def test_a_dry_run_says_what_would_change_and_changes_nothing(site: Site) -> None:
    site.put(*files(6))
    site.list("police", *files(2), *files(20, b"g"))
    app = site.app()
    asyncio.run(app.sync_feed("police"))
    asyncio.run(site.scan(app))
    site.list("police", *files(2)[1:], *files(6)[3:], *files(20, b"g"))
    state = (site.base / "state" / "feeds" / "police" / "state.json").read_bytes()
    with capture_logs() as logs:
        done = site.run("feed", "sync", "police", "--dry-run", "--json")
    assert done.return_value == 0, done.output
    said = json.loads(done.output)
    assert (said["result"], said["would"], said["findings"]) == ("dry_run", "updated", [])
    assert said["entries"] == {"before": 22, "after": 24}
    assert said["hashes"]["md5"] == {"before": 22, "after": 24, "come": 3, "go": 1}
    assert said["known_files"] == {
        "compared": 6, "hits": 4, "exact": 4, "perceptual": 0, "by_kind": {"sha256": 4},
        "come": 3, "go": 1, "false_positives": 0,
    }  # fmt: skip
    assert (site.base / "state" / "feeds" / "police" / "state.json").read_bytes() == state
    assert not [e for e in logs if e["event"].startswith(("feed_synced", "feed_guard"))]
    assert list(app.state.feeds_work.iterdir()) == []
    # As text; a list that would be refused; one that would make known hits harmless; one as it is.
    text = site.run("feed", "sync", "police", "--dry-run").output
    assert "Of 6 known files 4 would be hits (4 by sha256); 3 of them are none now, and 1" in text
    other = site.base / "short.csv"
    other.write_text(f"md5\n{hashlib.md5(b'x').hexdigest()}\n")
    refused = site.run("feed", "import", str(other), "--name", "police", "--dry-run")
    assert refused.return_value == 2 and "It would be refused (shrink)" in refused.output
    site.list("good", *files(1), b"a font")
    held = json.loads(site.run("feed", "sync", "good", "--dry-run", "--json").output)
    assert held["known_files"]["go"] == 1 and held["known_files"]["hits"] == 1
    asyncio.run(app.sync_feed("police"))
    assert "nothing would change" in site.run("feed", "sync", "police", "--dry-run").output


async def test_a_dry_run_says_plainly_where_the_known_files_are_out_of_reach(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.list("police", *files(3))
    app = site.app()
    assert (await rehearsing.rehearse(app, "police")).not_compared == "nothing was scanned yet"

    candidate = built(site.base / "index", 3)

    def closed(path: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    known, why = rehearsing._known(app, app.keeper.feed("police"), candidate)
    assert known is None and "can't be read" in why and "Permission denied" in why


def case_of(digests: Digests) -> Case:
    return Case(
        id="c" * 20, opened_ns=1, updated_ns=1, volume="web", root=b"/tree", path=b"x", shown_as="/tree",
        customer="", size=1, mtime_ns=1, digests=digests, match=Match("sha256", "police", "1", "listed"),
        others=(), action=Action.REPORTED, reason="", state=CaseState.OPEN,
    )  # fmt: skip
