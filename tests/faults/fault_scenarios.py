"""What faults strike at: each scenario is some work on a site, and what must hold of the site afterwards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fault_site import CONTENT, FEED, MATCH, Site, digests_of
from fault_tracer import Event, Fault, mark, run, strike

from scanner.app import cases
from scanner.catalog import Catalog, DirectoryRecord
from scanner.feeds import FormatOptions, import_list
from scanner.index import SnapshotBuilder
from scanner.ledger import Ledger
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, CaseState
from scanner.model.steps import Step, StepKind, StepState
from scanner.response import ItemState


def _nothing(site: Site) -> None:
    """Nothing is to be made ready."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Some work that is struck.

    Attributes:
        most: points struck at most in the default suite.
        prepare: once, on a new site; its outcome is where every run begins.
        before: at the beginning of every run.
        work: what is struck.
        at_once: what holds right after the fault.
        check: what holds after a fresh start, which it makes.
        floor: changing calls that the work makes at least: fewer, and the scenario no longer does its work.
    """

    name: str
    work: Callable[[Site], Any]
    check: Callable[[Site], None]
    floor: int
    prepare: Callable[[Site], None] = _nothing
    before: Callable[[Site], None] = _nothing
    at_once: Callable[[Site], None] = Site.check_at_once
    most: int = 5


# Securing, undoing, recovering


def _secure(site: Site) -> str:
    return site.secure() if site.file.exists() else "is in the vault"


def _undo(site: Site) -> str:
    """The file was written to since it was hashed: it is moved, copied, found changed, and put back."""
    return site.secure(digests_of(CONTENT.swapcase()))


def _interrupted(*after: Callable[[Event], bool]) -> Callable[[Site], None]:
    """Kill a securing right after a certain call."""

    def interrupt(site: Site) -> None:
        events = run(site.secure, record=True).events
        site.reset()
        at = 0
        for wanted in after:
            at = next(n for n in range(at + 1, len(events) + 1) if wanted(events[n - 1]))
        strike(site.secure, Fault(at + 1))

    return interrupt


def _moved(e: Event) -> bool:
    return e.call == "renameat2" and "/.hostsweep-staging/" in e.to


def _stored(e: Event) -> bool:
    return e.call == "rename" and "/objects/" in e.to


def _kept(e: Event) -> bool:
    return e.call == "rename" and "/items/" in e.to


def _place_taken(site: Site) -> None:
    _interrupted(_stored)(site)
    site.file.write_bytes(b"newcomer")


def _check_place_taken(site: Site) -> None:
    """The newcomer stays, and the file is in the vault."""
    site.start()
    assert site.file.read_bytes() == b"newcomer"
    site.file.unlink()
    site.check_after_start()
    assert site.held()


def _at_once_place_taken(site: Site) -> None:
    assert site.file.read_bytes() == b"newcomer"
    assert site.held() or [p.read_bytes() for p in site.staged()] == [CONTENT]


def _recover(site: Site) -> None:
    site.app().recover(_Silent())


class _Silent:
    """A reporter that tells nobody."""

    def note(self, event: str, **fields: object) -> None:
        pass


# Restoring, exporting, purging


def _secured(site: Site) -> None:
    assert site.secure() == "secured"


def _resolved(site: Site) -> None:
    _secured(site)
    (case,) = _cases(site)
    cases.resolve(site.app(), case.id, CaseState.CONFIRMED, "seen")


def _cases(site: Site) -> tuple[Case, ...]:
    with site.ledger() as ledger:
        return ledger.list()


def _false_positive(site: Site) -> None:
    (case,) = _cases_of(site)
    cases.resolve(site.app(), case.id, CaseState.FALSE_POSITIVE, "a mistake of the list")


def _cases_of(site: Site) -> tuple[Case, ...]:
    with site.app().ledger(read_only=True) as ledger:
        return ledger.list()


def _check_restore(site: Site) -> None:
    site.check_after_start()
    assert len(site.held()) == 1, "the vault keeps its copy"


def _restore_elsewhere(site: Site) -> None:
    site.restore(site.elsewhere / "back.jpg")


def _check_elsewhere(site: Site) -> None:
    site.check_after_start(restored_to=site.elsewhere / "back.jpg")
    assert len(site.held()) == 1


def _check_false_positive(site: Site) -> None:
    _check_restore(site)
    (case,) = _cases(site)
    with site.ledger() as ledger:
        excepted = ledger.is_exception(case.digests)
    if case.state is CaseState.FALSE_POSITIVE:
        assert excepted
        assert site.in_place()
    assert excepted or not site.in_place(), "restored, and the next scan would take it again"


def _purge(site: Site) -> None:
    """As the command does it."""
    app = site.app()
    (item,) = app.vault.items()
    with app.ledger() as ledger:
        for gone in app.vault.purge(lambda i: True, item_id=item.id):
            ledger.note(f"purged item {gone.id}", app.actor, app.clock.now_ns(), gone.case_id)


def _purged_at_once(site: Site) -> None:
    (item,) = site.app().vault.items()
    assert item.state is ItemState.PURGED or site.held()


def _export(site: Site) -> None:
    (item,) = site.app().vault.items()
    site.app().vault.export(item.id, site.export_target)


def _check_export(site: Site) -> None:
    site.check_after_start()
    assert site.held()
    assert not site.export_target.exists() or site.export_target.read_bytes() == CONTENT
    site.export_target.unlink(missing_ok=True)
    _export(site)
    assert site.export_target.read_bytes() == CONTENT
    beside = [p.name for p in site.base.iterdir() if p.name.startswith(".hostsweep")]
    assert beside == [], "what was left of the first is gone after the second"


# Feeds


def _values(name: str) -> list[bytes]:
    return [hashlib.sha256(f"{name}{n}".encode()).digest() for n in range(50)]


def _write_list(path: Path, text: str) -> None:
    """A list, and beside it the index that the process which reads it would leave."""
    path.write_text(text)
    builder = SnapshotBuilder()
    descriptor, options = os.open(path, os.O_RDONLY), FormatOptions(hash="sha256")  # closed by the import
    result = import_list(path, "plain", options, builder.add, max_bytes=1 << 20, descriptor=descriptor)
    meta = {
        "feed": FEED,
        "format": result.format,
        "built_ns": 1,
        "source_sha256": result.sha256,
        "default_categories": None,
        "counts": asdict(result.counts),
    }
    builder.finish(path.with_suffix(".index"), meta=meta)


def _no_list(site: Site) -> None:
    for name in ("old", "new", "newest"):
        text = "".join(f"{value.hex()}\n" for value in _values(name))
        _write_list(site.elsewhere / f"{name}.txt", text)
    site.strangers = site._strangers()


def _write_lists(site: Site) -> None:
    _no_list(site)
    site.swap_feed(site.elsewhere / "old.txt")


def _two_lists(site: Site) -> None:
    _write_lists(site)
    site.swap_feed(site.elsewhere / "new.txt")


def _swap_to(name: str) -> Callable[[Site], None]:
    return lambda site: site.swap_feed(site.elsewhere / f"{name}.txt")


def _in_use(site: Site, *names: str) -> str:
    """The list that is in use, whole and alone."""
    lists = site.lists()
    try:
        found = {
            n: [bool(lists.index.match(Digests(1, "", {"sha256": v}))) for v in _values(n)] for n in names
        }
        assert not lists.feeds or sorted(all(f) for f in found.values())[-1], "the index has half a list"
        used = [n for n, f in found.items() if any(f)]
    finally:
        for feed in lists.feeds:
            feed.snapshot.close()
    assert len(used) <= 1
    return used[0] if used else ""


def _check_feed(*names: str) -> Callable[[Site], None]:
    def check(site: Site) -> None:
        site.check_after_start()
        store = site.app().keeper.store
        state = store.state(FEED)
        used = _in_use(site, *names)
        assert used in names
        assert state.warning == ""
        # What a publisher is asked with must be of the list that is in use: else it says "not modified".
        assert state.etag in ("", f"{used}.txt")
        assert state.source_sha256 in (("", _sha256(site, used)) if used else ("",))
        site.swap_feed(site.elsewhere / f"{names[-1]}.txt")
        assert _in_use(site, *names) == names[-1]
        there = {p.name for p in store.current(FEED).parent.iterdir()}  # type: ignore[union-attr]
        state = store.state(FEED)
        assert there == {"state.json", "lock", state.current, state.previous} - {""}

    return check


def _sha256(site: Site, name: str) -> str:
    return hashlib.sha256((site.elsewhere / f"{name}.txt").read_bytes()).hexdigest()


# Catalog

_PICTURE = Digests(100, "image/jpeg", {"sha256": b"s" * 32})


def _row(name: bytes, inode: int) -> KnownFile:
    return KnownFile(FileStat(name, 0, inode, 100, 4, 5, 1, 8), FileState.CLEAN, _PICTURE)


def _first_commit(site: Site) -> None:
    with closing(Catalog.open(site.state.catalog)) as catalog:
        web = catalog.volume("web", b"/srv", b"profile")
        web.record(DirectoryRecord(b"a", b"first", [_row(b"x", 1), _row(b"y", 2)]))
        web.record(DirectoryRecord(b"b", b"first", [_row(b"z", 3)]))
        web.commit()
        web.begin_matching("first")
        web.end_matching("first")


def _second_commit(site: Site) -> None:
    with closing(Catalog.open(site.state.catalog)) as catalog:
        web = catalog.volume("web", b"/srv", b"profile", compared_with="second")
        web.record(DirectoryRecord(b"a", b"second", [_row(b"x", 9)], [b"y"]))
        web.record(DirectoryRecord(b"b", b"second", [_row(b"w", 4)]))
        web.record(DirectoryRecord(b"c", b"second", [_row(b"v", 5)]))
        web.commit()
        web.begin_matching("second")
        web.end_matching("second")
        web.forget_directories_not_seen([b"a", b"c"])


_CATALOGS: list[tuple[str, dict[bytes, tuple[bytes, dict[bytes, int]]]]] = [
    ("", {}),
    ("", {b"a": (b"first", {b"x": 1, b"y": 2}), b"b": (b"first", {b"z": 3})}),
    ("first", {b"a": (b"first", {b"x": 1, b"y": 2}), b"b": (b"first", {b"z": 3})}),
    (
        "",
        {b"a": (b"second", {b"x": 9}), b"b": (b"second", {b"z": 3, b"w": 4}), b"c": (b"second", {b"v": 5})},
    ),
    (
        "second",
        {b"a": (b"second", {b"x": 9}), b"b": (b"second", {b"z": 3, b"w": 4}), b"c": (b"second", {b"v": 5})},
    ),
    ("second", {b"a": (b"second", {b"x": 9}), b"c": (b"second", {b"v": 5})}),
]


def _rows(site: Site) -> tuple[str, dict[bytes, tuple[bytes, dict[bytes, int]]]]:
    """What the catalog says: (list it was matched with, directories, their fingerprints and rows)."""
    with closing(Catalog.open(site.state.catalog)) as catalog:
        assert catalog.note == "", "a crash is no damage"
        web = catalog.volume("web", b"/srv", b"profile")
        found = {}
        for path in (b"a", b"b", b"c"):
            directory = web.directory(path)
            if directory is not None:
                rows = {n: k.stat.inode for n, k in web.files(directory.id).items()}
                found[path] = (directory.fingerprint, rows)
        return web.matched_with, found


def _check_catalog(first: int, last: int) -> Callable[[Site], None]:
    def check(site: Site) -> None:
        site.check_after_start()
        assert _rows(site) in _CATALOGS[first : last + 1], "neither the rows before a commit nor those after"
        _first_commit(site)
        _second_commit(site)
        assert _rows(site) == _CATALOGS[-1], "and it goes on"

    return check


# Ledger

_CASE = Case(
    id="case-000001", opened_ns=1, updated_ns=1, volume="web", root=b"/srv", path=b"a.jpg", shown_as="/srv",
    customer="", size=1, mtime_ns=1, digests=digests_of(b"x"), match=MATCH, others=(),
    action=Action.REPORTED, reason="policy", state=CaseState.OPEN,
)  # fmt: skip
_STEP = Step("step-1", StepKind.SECURE, _CASE.id, "item-1", "nobody", 2, {"size": 1})


def _write_ledger(site: Site) -> None:
    """Every kind of record once."""
    with Ledger.open(site.state.ledger) as ledger:
        acts: list[Callable[[], object]] = [
            lambda: ledger.scan_started("scan-1", "web", "full", 1),
            lambda: ledger.open_case(_CASE),
            lambda: ledger.begin(_STEP),
            lambda: ledger.finish(_STEP.id, StepState.DONE, "done"),
            lambda: ledger.set_action(_CASE.id, Action.QUARANTINED, "policy", "item-1", 4),
            lambda: ledger.open_case(
                replace(_CASE, match=replace(MATCH, category="2"), action=Action.QUARANTINED)
            ),
            lambda: ledger.engage_brake("too many", 5),
            lambda: ledger.release_brake("somebody", 6),
            lambda: ledger.add_exception(_CASE.digests, _CASE.id, "mistake", "somebody", 7),
            lambda: ledger.resolve(_CASE.id, CaseState.CONFIRMED, "looked at", "somebody", 8),
            lambda: ledger.note("words", "somebody", 9),
            lambda: ledger.scan_finished("scan-1", {"files": 1}, complete=True, now_ns=10),
        ]
        for act in acts:
            act()
            mark()


_EVENTS = [
    "scan_started", "case_opened", "step_begun", "step_finished", "case_acted", "case_seen", "brake_engaged",
    "brake_released", "exception_added", "case_resolved", "exception_removed", "note", "scan_finished",
]  # fmt: skip


def _check_ledger(site: Site) -> None:
    """The record is whole up to some act, and nothing is half done."""
    with site.ledger() as ledger:
        assert ledger.verify().ok
        assert ledger.changed_tables() == ()
        events = [str(e.type) for e in ledger.events()]
        assert events == _EVENTS[: len(events)]
        assert events[-1:] != ["case_resolved"], "a decision is recorded whole"
        ledger.note("it goes on", "somebody", 11)
        assert ledger.verify().ok
    left = {p.name for p in site.state.path.iterdir()} - {"feeds", "work", "ledger.sqlite"}
    assert not [n for n in left if n.startswith(".ledger")], "half a ledger lies about"


def _no_ledger(site: Site) -> None:
    site.state.ledger.unlink()


def _ledger_at_once(site: Site) -> None:
    """Whatever became of the last act, those before it are on record."""
    if site.state.ledger.exists():
        with Ledger.open(site.state.ledger, read_only=True) as ledger:
            assert ledger.verify().ok


_ALL = 1000
SCENARIOS = (
    Scenario("secure", _secure, Site.check_after_start, 80, most=_ALL),
    Scenario("secure_undone", _undo, Site.check_after_start, 80),
    Scenario("recover_moved", _recover, Site.check_after_start, 40, before=_interrupted(_moved)),
    Scenario("recover_stored", _recover, Site.check_after_start, 40, before=_interrupted(_stored)),
    Scenario("recover_kept", _recover, Site.check_after_start, 40, before=_interrupted(_kept)),
    Scenario(
        "recover_place_taken",
        _recover,
        _check_place_taken,
        50,
        before=_place_taken,
        at_once=_at_once_place_taken,
    ),
    Scenario("restore", Site.restore, _check_restore, 60, prepare=_secured, most=_ALL),
    Scenario("restore_elsewhere", _restore_elsewhere, _check_elsewhere, 60, prepare=_secured),
    Scenario("false_positive", _false_positive, _check_false_positive, 80, prepare=_secured),
    Scenario("purge", _purge, Site.check_after_start, 30, _resolved, at_once=_purged_at_once, most=_ALL),
    Scenario("export", _export, _check_export, 6, prepare=_secured),
    Scenario("feed_first", _swap_to("new"), _check_feed("", "new"), 25, prepare=_no_list),
    Scenario("feed_second", _swap_to("new"), _check_feed("old", "new"), 25, prepare=_write_lists, most=_ALL),
    Scenario("feed_third", _swap_to("newest"), _check_feed("old", "new", "newest"), 25, prepare=_two_lists),
    Scenario("catalog_new", _first_commit, _check_catalog(0, 2), 20),
    Scenario("catalog_commit", _second_commit, _check_catalog(2, 5), 20, prepare=_first_commit),
    Scenario("ledger_new", _write_ledger, _check_ledger, 60, prepare=_no_ledger, at_once=_ledger_at_once),
    Scenario("ledger_write", _write_ledger, _check_ledger, 60, at_once=_ledger_at_once),
)  # fmt: skip
