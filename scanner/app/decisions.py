"""Entries of lists that don't act for a while: the decision, on record before it holds."""

from __future__ import annotations

import structlog

from scanner.app.app import App
from scanner.app.suppressing import Suppression, made
from scanner.index import Snapshot
from scanner.model.errors import ConfigError
from scanner.model.times import iso

log = structlog.get_logger("hostsweep.feeds")


def suppress(app: App, wanted: Suppression) -> Suppression:
    """Let an entry of a list not act for a while; on record.

    Raises:
        NotFoundError: the list in use has no such entry.
        ConfigError: see `suppressing.made`.
        BusyError, StorageError: it can't be written.
    """
    if app.keeper.feed(wanted.feed).polarity == "benign":
        raise ConfigError(
            "entries of a benign feed don't act: there is nothing to suppress",
            where=f"feed {wanted.feed}",
        )
    current = app.keeper.current(wanted.feed)
    snapshot = None if current is None else Snapshot.open(current, key=app.keeper.keys.read(), verify=False)
    try:
        decision = made(snapshot, wanted)
    finally:
        if snapshot is not None:
            snapshot.close()
    app.state.prepare()
    # On record first: a decision that nobody can be asked about must not hold.
    with app.ledger() as ledger:
        text = f"suppressed entry {wanted.entry} of feed {wanted.feed} until {iso(wanted.until_ns)}"
        ledger.note(f"{text}: {wanted.note}", wanted.who, wanted.since_ns)
    app.keeper.suppressions.add(decision, wanted.since_ns)
    log.warning("entry_suppressed", feed=wanted.feed, until=iso(wanted.until_ns), who=wanted.who)
    return decision


def lift(app: App, feed: str, entry: str, note: str) -> Suppression:
    """Let a suppressed entry act again; on record.

    Raises:
        NotFoundError: it is not suppressed.
        BusyError, StorageError: it can't be written.
    """
    now = app.clock.now_ns()
    lifted = app.keeper.suppressions.lift(feed, entry, now)
    with app.ledger() as ledger:
        ledger.note(f"lifted suppression of entry {entry} of feed {feed}: {note}", app.actor, now)
    log.warning("suppression_lifted", feed=feed, who=app.actor)
    return lifted
