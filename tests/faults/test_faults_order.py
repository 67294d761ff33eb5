"""Power may fail at any moment: the order in which things reach the disk, in real and in wrong traces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_order import Roles, Rule, lint, needed_syncs, rules
from fault_points import everything
from fault_scenarios import SCENARIOS, Scenario
from fault_site import Site
from fault_tracer import Event, Fault, run, strike

ROLES = Roles("/volume", "/vault", "/state")
PAGE = Path(__file__).parents[2] / "docs" / "durability.md"

STAGED, PART = "/volume/.hostsweep-staging/id", "/vault/incoming/item.part"
OBJECT, MANIFEST, NEW_MANIFEST = (
    "/vault/objects/ab/abcd",
    "/vault/items/item.json",
    "/vault/incoming/item.json",
)
LOG, BASE = "/state/ledger.sqlite-wal", "/state/ledger.sqlite"
SNAPSHOT, STATE = "/state/feeds/list/snapshot-00000001", "/state/feeds/list/state.json"

# For each rule: what must reach the disk, the sync that brings it there, and the call that must come after.
ORDERS: dict[str, tuple[list[Event], list[Event], list[Event]]] = {
    "content-before-name": (
        [Event("write", PART)],
        [Event("fsync", PART)],
        [Event("rename", PART, OBJECT)],
    ),
    "attributes-before-name": (
        [Event("fchown", STAGED), Event("fsetxattr", STAGED), Event("fchmod", STAGED)],
        [Event("fsync", STAGED)],
        [Event("renameat2", STAGED, "/volume/d/a.jpg")],
    ),
    "directory-before-entry": (
        [Event("mkdir", "/vault/objects/ab")],
        [Event("fsync", "/vault/objects")],
        [Event("rename", PART, OBJECT)],
    ),
    "all-before-the-end": (
        [Event("unlinkat", STAGED)],
        [Event("fsync", "/volume/.hostsweep-staging")],
        [],
    ),
    "intent-before-move": (
        [Event("pwrite64", LOG)],
        [Event("fdatasync", LOG)],
        [Event("renameat2", "/volume/d/a.jpg", STAGED)],
    ),
    "move-before-copy": (
        [Event("renameat2", "/volume/d/a.jpg", STAGED)],
        [Event("fsync", "/volume/d"), Event("fsync", "/volume/.hostsweep-staging")],
        [Event("write", PART)],
    ),
    "object-before-manifest": (
        [Event("rename", PART, OBJECT)],
        [Event("fsync", "/vault/objects/ab")],
        [Event("rename", NEW_MANIFEST, MANIFEST)],
    ),
    "manifest-before-removal": (
        [Event("rename", NEW_MANIFEST, MANIFEST)],
        [Event("fsync", "/vault/items")],
        [Event("unlinkat", STAGED)],
    ),
    "act-before-outcome": (
        [Event("unlinkat", STAGED)],
        [Event("fsync", "/volume/.hostsweep-staging")],
        [Event("pwrite64", LOG)],
    ),
    "vault-before-outcome": (
        [Event("rename", NEW_MANIFEST, MANIFEST)],
        [Event("fsync", "/vault/items")],
        [Event("pwrite64", LOG)],
    ),
    "place-before-manifest": (
        [Event("renameat2", STAGED, "/volume/d/a.jpg")],
        [Event("fsync", "/volume/d"), Event("fsync", "/volume/.hostsweep-staging")],
        [Event("rename", NEW_MANIFEST, MANIFEST)],
    ),
    "place-before-discard": (
        [Event("renameat2", STAGED, "/volume/d/a.jpg")],
        [Event("fsync", "/volume/d"), Event("fsync", "/volume/.hostsweep-staging")],
        [Event("unlink", OBJECT)],
    ),
    "purge-noted-before-manifest": (
        [Event("openat", "/vault/incoming/purge")],
        [Event("fsync", "/vault/incoming")],
        [Event("rename", NEW_MANIFEST, MANIFEST)],
    ),
    "manifest-before-object-goes": (
        [Event("rename", NEW_MANIFEST, MANIFEST)],
        [Event("fsync", "/vault/items")],
        [Event("unlink", OBJECT)],
    ),
    "snapshot-before-state": (
        [Event("rename", "/state/work/new.index", SNAPSHOT)],
        [Event("fsync", "/state/feeds/list")],
        [Event("rename", f"{STATE}.new", STATE)],
    ),
    "state-before-old-snapshot-goes": (
        [Event("rename", f"{STATE}.new", STATE)],
        [Event("fsync", "/state/feeds/list")],
        [Event("unlink", SNAPSHOT)],
    ),
    "commit-before-return": ([Event("pwrite64", LOG)], [Event("fdatasync", LOG)], [Event("mark")]),
    "log-before-database": (
        [Event("pwrite64", LOG)],
        [Event("fdatasync", LOG)],
        [Event("pwrite64", BASE)],
    ),
    "database-before-log-goes": (
        [Event("pwrite64", BASE)],
        [Event("fdatasync", BASE)],
        [Event("unlink", LOG)],
    ),
}  # fmt: skip
# Syncs that no rule needs, and why they are made nevertheless.
SPARE = {
    ("restore_elsewhere", "elsewhere"): "target and holder are one directory, which is synced twice",
    ("feed_first", "list"): "the state is written once more at the end, which syncs the directory again",
    ("feed_second", "list"): "the state is written once more at the end, which syncs the directory again",
    **dict.fromkeys(
        (("feed_first", "new.index"), ("feed_second", "new.index"), ("feed_third", "new.index")),
        "the copy out of the confined folder is synced, and once more where it is put into use",
    ),
    ("purge", "items"): "each manifest is synced; once more for those of a purge that was cut short",
    ("ledger_new", "state"): "SQLite syncs the directory again with its first commit",
    ("catalog_new", "state"): "SQLite syncs the directory again with its first commit",
}
# All that a start has to do something about; of these the default suite takes a few.
RECOVERED = [
    s
    for s in SCENARIOS
    if s.name in ("secure", "recover_stored", "restore", "purge")
    or (everything() and not s.name.startswith(("catalog", "ledger", "export")))
]
_SQLITE = re.compile(r"(-wal|-journal|/\.ledger-\w+|/catalog\.sqlite)$")


def broken(events: list[Event], names: tuple[Rule, ...], *, ended: bool = True) -> set[str]:
    return {v.rule for v in lint(events, names, ended=ended)}


def test_each_rule_has_a_wrong_order_here_and_stands_in_the_docs() -> None:
    names = [r.name for r in rules(ROLES)]
    assert len(set(names)) == len(names)
    assert set(ORDERS) == set(names)
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE) == names


@pytest.mark.parametrize("rule", ORDERS)
def test_a_wrong_order_is_found_by_its_rule(rule: str) -> None:
    before, sync, after = ORDERS[rule]
    ended = not after
    assert rule not in broken([*before, *sync, *after], rules(ROLES), ended=ended)
    assert rule in broken([*before, *after, *sync], rules(ROLES), ended=ended) or ended
    assert rule in broken([*before, *after], rules(ROLES), ended=ended)
    for missing in sync:  # each of them is needed
        part = [s for s in sync if s is not missing]
        assert rule in broken([*before, *part, *after], rules(ROLES), ended=ended)


def test_a_sync_that_failed_is_none_and_a_call_that_failed_promises_nothing() -> None:
    before, (sync,), (after,) = ORDERS["content-before-name"]
    failed = Event(sync.call, sync.path, error=5)
    assert "content-before-name" in broken([*before, failed, after], rules(ROLES))
    assert "content-before-name" not in broken(
        [*before, failed, Event(after.call, after.path, after.to, 5)], rules(ROLES), ended=False
    )


def of_site(site: Site) -> tuple[Rule, ...]:
    return rules(Roles(str(site.root), str(site.vault_directory), str(site.state.path)))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_the_order_holds_and_no_sync_can_be_left_out(
    scenario: Scenario, site: Site, tell: Callable[[str], None]
) -> None:
    scenario.prepare(site)
    site.keep()
    scenario.before(site)
    events = run(lambda: scenario.work(site), record=True).events
    assert len(events) >= scenario.floor
    assert list(lint(events, of_site(site))) == []
    needed = list(needed_syncs(events))
    assert needed
    for position in needed:
        path = events[position].path
        without = events[:position] + events[position + 1 :]
        spare = _SQLITE.search(path) or (scenario.name, Path(path).name) in SPARE
        assert broken(without, of_site(site)) or spare, f"nothing needs {events[position]}"
    tell(f"{scenario.name}: order of {len(events)} calls, {len(needed)} syncs")


def interrupted(site: Site, scenario: Scenario, events: list[Event]) -> Iterator[list[Event]]:
    """Traces of a work that was killed, of the start after it, and of the same work once more, as one."""
    points = range(1, len(events) + 1) if everything() else sync_points(events)
    for point in points:
        site.reset()
        scenario.before(site)
        dead = strike(lambda: scenario.work(site), Fault(point), record=True)
        started = run(site.start_again, record=True)
        again = run(lambda: scenario.work(site), record=True)
        assert started.finished
        assert not started.raised, started.text
        assert again.ours or not again.raised, again.text  # there may be nothing left to do
        yield dead.events + started.events + again.events


def sync_points(events: list[Event]) -> list[int]:
    """Where something was done that is not on the disk yet."""
    return [n for n, e in enumerate(events, 1) if e.call == "fsync"]


@pytest.mark.parametrize("scenario", RECOVERED, ids=lambda s: s.name)
def test_the_order_holds_over_a_kill_and_the_recovery_after_it(
    scenario: Scenario, site: Site, tell: Callable[[str], None]
) -> None:
    """What the dead had written and not synced may be lost after the recovery too, if power fails then."""
    scenario.prepare(site)
    site.keep()
    scenario.before(site)
    events = run(lambda: scenario.work(site), record=True).events
    traces = 0
    for trace in interrupted(site, scenario, events):
        broken = [(v.rule, v.event.call, v.lacking) for v in lint(trace, of_site(site), ended=False)]
        assert broken == [], f"killed at call {traces} of the points"
        traces += 1
    assert traces >= 2
    tell(f"{scenario.name}: order over {traces} kills and the starts after them")
