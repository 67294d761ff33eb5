"""What a list no longer says, by its publisher, by a person here, or because it is gone: cases stay, and
nothing more is secured for it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from pathlib import Path

import pytest
from fakes_feeds import Site, files, use_in_process
from structlog.testing import capture_logs

from scanner.app import App
from scanner.app.decisions import lift, suppress
from scanner.app.freshness import OverdueLog, all_fresh
from scanner.app.health import readiness
from scanner.app.service import Service
from scanner.app.status import feed_status
from scanner.app.suppressing import LONGEST_NS, Suppression, parse_until
from scanner.model.errors import BusyError, ConfigError, NotFoundError, StorageError
from scanner.model.matches import Action, Case

HOUR, DAY = 3_600 * 10**9, 86_400 * 10**9


class Clock:
    """The time, as a test sets it."""

    def __init__(self) -> None:
        self.now = 2_000_000_000 * 10**9

    def now_ns(self) -> int:
        return self.now


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    use_in_process(monkeypatch)
    return Site(tmp_path)


def clocked(site: Site, clock: Clock) -> App:
    app = site.app()
    return App(app.config, app.state, clock=clock)


def cases(app: App) -> list[Case]:
    with app.ledger(read_only=True) as ledger:
        return list(ledger.list())


async def acted(service: Service) -> int:
    """What the daemon does after a change: new lists, and known files matched again. Returns the hits."""
    news = await service.swap_index()
    return (await service.act_on_known("web", news, threading.Event())).matched


def suppression(app: App, until_ns: int, entry: str = "0") -> Suppression:
    return Suppression(
        "police", entry, until_ns, app.clock.now_ns(), app.actor, "a stock picture; asked the police"
    )


async def test_a_suppressed_entry_opens_no_case_and_acts_again_by_itself_when_its_time_is_over(
    site: Site,
) -> None:
    site.put(*files(2))
    site.list("police", *files(1), *files(3, b"g"))
    clock = Clock()
    app = clocked(site, clock)
    await app.sync_feed("police")
    suppress(app, suppression(app, clock.now + 30 * DAY))
    copy = app.keeper.store.current("police")
    service = Service(app)
    await service.prepare()
    counts = await service.scan_volume("web", threading.Event())
    assert (counts.matched, counts.secured, cases(app)) == (0, 0, [])
    assert b'hostsweep_suppressed_matches_total{feed="police"}' in app.metrics.render()
    assert (site.tree / "0.bin").exists()
    assert await service.suppressions_changed() == ()
    clock.now += 29 * DAY
    assert await service.suppressions_changed() == ()
    clock.now += 2 * DAY
    assert await service.suppressions_changed() == ("police",)
    assert await service.suppressions_changed() == ()  # told once
    assert await acted(service) == 1
    assert [c.match.entry for c in cases(app)] == ["0"] and not (site.tree / "0.bin").exists()
    assert app.keeper.store.current("police") == copy
    with app.ledger(read_only=True) as ledger:
        notes = [e.payload["text"] for e in ledger.events() if e.type == "note"]
    assert len(notes) == 1 and "suppressed entry 0 of feed police until 2033" in notes[0]


async def test_an_entry_without_an_id_stays_suppressed_where_it_moves_and_lifting_counts_at_once(
    site: Site,
) -> None:
    def bare(*contents: bytes) -> None:
        rows = [hashlib.md5(c).hexdigest() for c in contents]
        site.sources["police"].write_text("\n".join(["md5", *rows]) + "\n")

    site.put(*files(1))
    bare(b"other", *files(1))
    app = site.app()
    await app.sync_feed("police")
    suppress(app, suppression(app, app.clock.now_ns() + DAY, "#2"))
    service = Service(app)
    await service.prepare()
    assert (await service.scan_volume("web", threading.Event())).matched == 0
    bare(b"other", b"one more", *files(1))
    await app.sync_feed("police")
    assert await acted(service) == 0
    assert service.lists is not None and service.lists.suppressed == {"police": {"#3"}}
    lift(app, "police", "#2", "it was one after all")
    assert await service.suppressions_changed() == ("police",)
    assert await acted(service) == 1


async def test_what_cannot_be_suppressed_and_what_is_suppressed_is_told(site: Site) -> None:
    site.list("police", *files(3))
    site.list("good", b"a font")
    app = site.app()
    for name in app.feed_names:
        await app.sync_feed(name)
    now = app.clock.now_ns()
    with pytest.raises(NotFoundError, match="no such entry"):
        suppress(app, suppression(app, now + DAY, "77"))
    with pytest.raises(ConfigError, match="within 5 years"):
        suppress(app, suppression(app, now + LONGEST_NS + HOUR))
    with pytest.raises(ConfigError, match="a time to come"):
        suppress(app, suppression(app, now - HOUR))
    with pytest.raises(ConfigError, match="benign"):
        suppress(app, Suppression("good", "0", now + DAY, now, "uid 0", "why not"))
    with pytest.raises(NotFoundError, match="not suppressed"):
        lift(app, "police", "0", "no reason")
    assert not app.state.suppressions.exists()
    words = ("feed", "suppress", "1", "--feed", "police", "--until", "90d", "--note", "stock picture")
    done = await asyncio.to_thread(site.run, *words)
    assert done.return_value == 0, done.output
    (told,) = map(
        json.loads,
        (await asyncio.to_thread(site.run, "feed", "suppress", "--list", "--json")).output.splitlines(),
    )
    assert (told["feed"], told["entry"], told["note"], told["who"]) == (
        "police",
        "1",
        "stock picture",
        app.actor,
    )
    assert app.state.suppressions.stat().st_mode & 0o777 == 0o600
    whole = json.loads(app.state.suppressions.read_bytes())
    (one,) = whole["suppressed"]
    for damaged in ({**one, "until_ns": "soon"}, {**one, "until_ns": 1 << 70}, {**one, "keys": ["x"]}, {}, 5):
        app.state.suppressions.write_text(json.dumps({**whole, "suppressed": [damaged]}))
        with pytest.raises(StorageError, match="what is suppressed can't be told"):
            app.keeper.open()
    for text in ("{", "[]", '{"version": 2, "suppressed": []}', "[" * 100_000):
        app.state.suppressions.write_text(text)
        with pytest.raises(StorageError, match="what is suppressed can't be told"):
            app.keeper.open()


def test_until_when_is_written_as_a_duration_or_a_time() -> None:
    assert parse_until("2d", 5) == 5 + 2 * DAY
    assert parse_until("1970-01-02", 0) == parse_until("1970-01-02T01:00:00+01:00", 0) == DAY
    for wrong in ("for ever", "2027-13-01", "", "90"):
        with pytest.raises(ConfigError, match="expected a duration"):
            parse_until(wrong, 0)


async def test_a_file_that_was_to_be_secured_is_left_once_no_list_names_it_and_secured_when_one_does_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put(*files(2))
    site.list("police", *files(2), *files(18, b"g"))
    app = site.app()
    await app.sync_feed("police")
    service = Service(app)
    await service.prepare()
    # Reported only for now: as if the vault had been full.
    await site.scan(app)
    with app.ledger() as ledger:
        for case in ledger.list():
            ledger.set_action(case.id, Action.FAILED, "vault_full", "", 1)
    site.list("police", *files(2)[1:], *files(18, b"g"))
    await app.sync_feed("police")
    await service.swap_index()
    with capture_logs() as logs:
        await service.retry_unsecured("web", threading.Event())
    assert [e["volume"] for e in logs if e["event"] == "case_no_longer_listed"] == ["web"]
    by_path = {c.path: c for c in cases(app)}
    gone, kept = by_path[b"0.bin"], by_path[b"1.bin"]
    assert (gone.action, gone.reason) == (Action.REPORTED, "no longer listed")
    assert kept.action is Action.QUARANTINED
    assert (site.tree / "0.bin").exists() and not (site.tree / "1.bin").exists()
    # Orphaned: shown as such, whatever became of its file; and by each case itself.
    said = [json.loads(line) for line in (await shown(site, "hits", "list", "--orphaned", "--json"))]
    assert [(c["id"], c["supported_by"]) for c in said] == [(gone.id, [])]
    assert json.loads((await shown(site, "hits", "show", kept.id, "--json"))[0])["supported_by"] == ["police"]
    assert "none: orphaned" in "\n".join(await shown(site, "hits", "show", gone.id))
    site.list("police", *files(2), *files(18, b"g"))
    await app.sync_feed("police")
    assert await acted(service) == 1
    assert {c.action for c in cases(app)} == {Action.QUARANTINED}
    assert await shown(site, "hits", "list", "--orphaned") == []


async def shown(site: Site, *words: str) -> list[str]:
    return (await asyncio.to_thread(site.run, *words)).stdout.splitlines()


async def test_the_cases_of_a_feed_that_was_taken_out_stay_and_its_list_is_forgotten_on_demand(
    site: Site,
) -> None:
    site.put(*files(1))
    site.list("police", *files(3))
    app = site.app()
    await app.sync_feed("police")
    await site.scan(app)
    (case,) = cases(app)
    with pytest.raises(ConfigError, match="is configured"):
        app.keeper.forget("police")
    site.sources = {"other": site.sources["police"], "good": site.sources["good"]}
    told = [json.loads(line) for line in await shown(site, "feed", "list", "--json")]
    assert [(f["name"], f["configured"]) for f in told] == [
        ("other", True),
        ("good", True),
        ("police", False),
    ]
    assert json.loads((await shown(site, "hits", "show", case.id, "--json"))[0])["supported_by"] == []
    fresh = site.app()
    lock = fresh.keeper.store.lock("police")
    with pytest.raises(BusyError):
        fresh.keeper.forget("police")
    lock.release()
    assert "forgotten" in (await shown(site, "feed", "forget", "police", "--yes"))[0]
    with pytest.raises(NotFoundError):
        fresh.keeper.forget("police")
    assert not (fresh.state.feeds / "police").exists()
    assert [c.id for c in cases(fresh)] == [case.id]


async def test_an_overdue_feed_is_told_once_everywhere_and_so_is_that_it_is_fresh_again(site: Site) -> None:
    site.list("police", *files(3))
    clock = Clock()
    app = clocked(site, clock)
    log = OverdueLog()

    def events() -> list[tuple[str, str]]:
        with capture_logs() as logs:
            log.look(all_fresh(app.keeper, app.config, clock.now))
        return [(e["event"], e["feed"]) for e in logs]

    assert events() == []  # nobody has tried yet: it is about to be fetched
    await app.sync_feed("police")
    app.keeper.store.record_failure("good", "no such server", clock.now)
    assert events() == [("feed_overdue", "good")]
    assert events() == []
    clock.now += 49 * HOUR
    assert events() == [("feed_overdue", "police")]
    status = feed_status(app, "police")
    assert status["overdue"] and status["max_age_seconds"] == 48 * 3600
    assert feed_status(app, "good")["overdue"]
    checks = {c.name: c.text for c in readiness(app.config, app.keeper, app.vault, None, clock).checks}
    assert checks["feed:police"] == "the list is 49.0 hours old, at most 48.0 wanted"
    assert checks["feed:good"] == "has no list yet"
    service = Service(app)
    await service.refresh_gauges()
    assert b'hostsweep_feed_overdue{feed="police"} 1.0' in app.metrics.render()
    assert "overdue" in "\n".join(await shown(site, "feed", "list"))
    await app.sync_feed("police")
    assert events() == [("feed_fresh_again", "police")]
