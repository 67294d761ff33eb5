"""`feed sync --dry-run`: what a list would change, without changing anything."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanner.app.app import App
from scanner.app.importing import Candidate
from scanner.app.terms import terms_of
from scanner.app.tools import profile
from scanner.catalog import Catalog
from scanner.config import FeedConfig
from scanner.feeds.guard import Finding
from scanner.index import Change, Index, OpenFeed, Snapshot, added, changes
from scanner.ledger import Ledger
from scanner.model.errors import ListKeyError, StorageError
from scanner.model.hashes import EXACT_KINDS, Digests
from scanner.model.matches import Match
from scanner.pipeline.rematch import touched_digests

NOT_MODIFIED, UPDATED, REFUSED = "not_modified", "updated", "refused"


@dataclass(slots=True)
class KnownHits:
    """Known files that an illegal list hits, or of which a benign one decides.

    Attributes:
        compared: files with digests that were looked at.
        hits: those that the candidate would make hits, by the kind of hash that is strongest. For a benign
            list: those that would be hits of some list.
        come, go: of these, which are no hits now, and which are hits now and would not be any more.
        excepted: would be hits, but are remembered as false positives.
    """

    compared: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    come: int = 0
    go: int = 0
    excepted: int = 0

    def as_dict(self) -> dict[str, Any]:
        exact = sum(n for kind, n in self.hits.items() if kind in EXACT_KINDS)
        return {
            "compared": self.compared,
            "hits": self.hits.total(),
            "exact": exact,
            "perceptual": self.hits.total() - exact,
            "by_kind": dict(sorted(self.hits.items())),
            "come": self.come,
            "go": self.go,
            "false_positives": self.excepted,
        }


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a list would change.

    Attributes:
        would: what a sync would come to: "updated", "not_modified" or "refused".
        findings: of the guard.
        before, after: entries.
        hashes: values by kind.
        known: what it means for files that are known; None where they could not be compared …
        not_compared: … and why.
    """

    feed: str
    would: str
    findings: tuple[Finding, ...] = ()
    before: int = 0
    after: int = 0
    hashes: Mapping[str, Change] = field(default_factory=dict)
    known: KnownHits | None = None
    not_compared: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; figures, never a value of the list."""
        return {
            "feed": self.feed,
            "result": "dry_run",
            "would": self.would,
            "findings": [{"check": f.check, "what": f.what} for f in self.findings],
            "entries": {"before": self.before, "after": self.after},
            "hashes": {
                kind: {"before": c.before, "after": c.after, "come": c.come, "go": c.go}
                for kind, c in self.hashes.items()
            },
            "known_files": self.known.as_dict() if self.known is not None else None,
            "not_compared": self.not_compared or None,
        }


async def rehearse(app: App, name: str) -> Rehearsal:
    """Fetch a feed and say what it would change.

    Raises:
        FeedError: the publisher's side failed, or the list can't be read at all.
    """
    async with app.syncing.rehearsed(name) as candidate:
        if candidate is None:
            entries = app.keeper.entries(name)
            return Rehearsal(name, NOT_MODIFIED, before=entries, after=entries)
        return await asyncio.to_thread(_look, app, app.keeper.feed(name), candidate)


async def rehearse_file(
    app: App, feed: FeedConfig, source: Path, descriptor: int, signature: bytes = b""
) -> Rehearsal:
    """Say what a list on this machine would change; arguments as of `HandImport.import_file`.

    Raises:
        FeedError: it can't be read at all.
    """
    async with app.syncing.by_hand.rehearsed(feed, source, descriptor, signature) as candidate:
        return await asyncio.to_thread(_look, app, feed, candidate)


def _look(app: App, feed: FeedConfig, candidate: Candidate) -> Rehearsal:
    current = app.keeper.store.current(feed.name)
    old = None if current is None else _opened(current, candidate.snapshot)
    try:
        findings = candidate.judged.findings if candidate.judged is not None else ()
        known, reason = _known(app, feed, candidate.snapshot)
        return Rehearsal(
            feed.name,
            REFUSED if findings else UPDATED,
            findings,
            0 if current is None else Snapshot.peek(current).entries,
            candidate.snapshot.meta.entries,
            changes(old, candidate.snapshot),
            known,
            reason,
        )
    finally:
        if old is not None:
            old.close()


def _opened(path: Path, candidate: Snapshot) -> Snapshot | None:
    """The list in use; None where it is stored under another key, so that nothing of it can be compared."""
    try:
        return Snapshot.open(path, key=candidate.key, verify=False)
    except ListKeyError:
        return None


def _known(app: App, feed: FeedConfig, candidate: Snapshot) -> tuple[KnownHits | None, str]:
    """The known files, or why they were not compared: a service that only syncs has no business with them."""
    try:
        if not app.state.catalog.exists():
            return None, "nothing was scanned yet"
        with ExitStack() as stack:
            catalog = Catalog.open(app.state.catalog, read_only=True)
            stack.callback(catalog.close)
            ledger = stack.enter_context(app.ledger(read_only=True))
            return _compare(app, feed, candidate, catalog, ledger), ""
    except (StorageError, OSError) as e:
        who = " by the service that syncs" if not app.state.feeds_are_ours else ""
        what = e.what if isinstance(e, StorageError) else e.strerror
        return None, f"the catalog and the ledger can't be read{who} ({what})"


def _compare(app: App, feed: FeedConfig, candidate: Snapshot, catalog: Catalog, ledger: Ledger) -> KnownHits:
    lists = app.keeper.open()
    opened = OpenFeed(terms_of(feed), candidate)
    after = [opened if f.terms.name == feed.name else f for f in lists.feeds]
    if opened not in after:
        after.append(opened)
    new = Index(after, lists.index.thresholds, suppressed=lists.suppressed)
    concerned = [f for f in (*lists.feeds, *after) if opened.benign or f.terms.name == feed.name]
    news = added(concerned, None, lists.index.thresholds)
    found = KnownHits()
    of = None if opened.benign else feed.name
    for volume in app.volumes:
        known = catalog.volume(volume.name, volume.root, profile(app.config))
        _count(found, touched_digests(known, news, threading.Event()), lists.index, new, of, ledger)
    for f in lists.feeds:
        f.snapshot.close()
    return found


def _count(
    found: KnownHits,
    batches: Iterator[tuple[int, list[Digests]]],
    old: Index,
    new: Index,
    of: str | None,
    ledger: Ledger,
) -> None:
    for compared, touched in batches:
        found.compared += compared
        for digests in touched:
            before, after = _of(old, digests, of), _of(new, digests, of)
            if (before or after) and ledger.is_exception(digests):
                found.excepted += bool(after)
                continue
            if after:
                found.hits[after[0].kind] += 1
            found.come += bool(after) and not before
            found.go += bool(before) and not after


def _of(index: Index, digests: Digests, feed: str | None) -> list[Match]:
    return [m for m in index.match(digests) if feed is None or m.feed == feed]
