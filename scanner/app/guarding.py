"""Before a list takes the place of the one in use: its figures are gathered here, and judged by
`feeds.guard`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from scanner.app.terms import terms_of
from scanner.config import Config, FeedConfig
from scanner.feeds import FeedStore
from scanner.feeds.guard import Figures, Finding, Terms, judge
from scanner.index import (
    OpenFeed,
    Snapshot,
    acting_categories,
    acting_values,
    most_repeated,
    nothing_shown,
    shared_entries,
)
from scanner.ledger import Ledger
from scanner.model.errors import FeedProcessError, LedgerError, SnapshotError
from scanner.model.feeds import ImportCounts
from scanner.model.hashes import EXACT_KINDS

log = structlog.get_logger("hostsweep.feeds")

# Values that are left out when a list is read and are those of harmless files; all_zeros and all_ones stand
# for "none" in many lists and say nothing of their quality.
_REFUSED_AS_BENIGN = ("empty_input", "one_pixel")


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate that was looked at.

    Attributes:
        findings: why it should not be used.
        figures: what it is like.
    """

    findings: tuple[Finding, ...]
    figures: Figures


class Guarding:
    """Looks at candidates of the configured feeds; blocking.

    Args:
        ledger: where false positives are remembered; None where it belongs to somebody else.
    """

    def __init__(self, config: Config, store: FeedStore, ledger: Path | None) -> None:
        self._config = config
        self._store = store
        self._ledger = ledger

    def judge(self, feed: FeedConfig, candidate: Snapshot, counts: ImportCounts) -> Judged:
        """Compare a candidate with the list in use, the other lists and what is known to be harmless.

        Raises:
            SnapshotError: the list in use, or another one, is damaged.
            FeedProcessError: the candidate is: it leads out of itself.
        """
        benign = feed.polarity == "benign"
        with _blamed(feed.name):
            figures = Figures(
                entries=candidate.meta.entries,
                hashes=candidate.counts,
                malformed=counts.malformed,
                records=counts.entries + counts.removals + counts.malformed,
                first_malformed=counts.first_malformed,
                digests=max((candidate.counts.get(k, 0) for k in EXACT_KINDS), default=0),
                repeats={} if benign else most_repeated(candidate, feed.guard.max_repeats),
                benign={} if benign else self._benign(feed, candidate, counts),
                vetoes=self._vetoes(feed, candidate) if benign else {},
                canaries_missing=tuple(_missing(candidate, feed.guard.canary)),
            )
        return Judged(judge(figures, self._in_use(feed.name), _terms(feed)), figures)

    def _in_use(self, name: str) -> Figures | None:
        """The list in use, as it says itself: the state beside it may have been lost."""
        path = self._store.current(name)
        if path is None:
            return None
        try:
            meta = Snapshot.peek(path)
        except SnapshotError:
            return _told(self._store.state(name).counts)
        return Figures(meta.entries, {kind: of.hashes for kind, of in meta.kinds.items()})

    def _benign(self, feed: FeedConfig, candidate: Snapshot, counts: ImportCounts) -> Mapping[str, int]:
        left_out = sum(counts.refused.get(name, 0) for name in _REFUSED_AS_BENIGN)
        kinds = max(1, sum(k in candidate.counts for k in EXACT_KINDS))
        found = {
            "left_out": -(-left_out // kinds),  # an entry was counted once for each of its digests
            "nothing_shown": nothing_shown(candidate),
            "false_positives": self._false_positives(feed, candidate),
            "benign_feeds": self._in_benign_feeds(feed, candidate),
        }
        return {name: n for name, n in found.items() if n}

    def _in_benign_feeds(self, feed: FeedConfig, candidate: Snapshot) -> int:
        numbers = [np.empty(0, dtype=np.uint32)]
        for other in self._opened(candidate, "benign"):
            numbers.append(shared_entries(candidate, acting_values(other.snapshot, acting_categories(other))))
        own = np.array(list(_canary_entries(candidate, feed.guard.canary)), dtype=np.uint32)
        return len(np.setdiff1d(np.concatenate(numbers), own))

    def _vetoes(self, feed: FeedConfig, candidate: Snapshot) -> Mapping[str, tuple[int, int]]:
        """What a benign candidate would take away of the lists in use."""
        open_candidate = OpenFeed(terms_of(feed), candidate)
        values = acting_values(candidate, acting_categories(open_candidate))
        found = {}
        for other in self._opened(candidate, "illegal"):
            n = len(shared_entries(other.snapshot, values))
            if n:
                found[other.terms.name] = n, other.snapshot.meta.entries
        return found

    def _opened(self, candidate: Snapshot, polarity: str) -> Iterator[OpenFeed]:
        """The lists in use that a candidate can be compared with."""
        for feed in (f for f in self._config.feeds if f.polarity == polarity):
            path = self._store.current(feed.name)
            if path is None:
                continue
            try:
                snapshot = Snapshot.open(path, key=candidate.key, verify=False)
            except SnapshotError as e:  # under another key, say: it is fetched anew, and compared then
                log.warning("list_not_compared", feed=feed.name, error=str(e))
                continue
            with _closing(snapshot):
                if snapshot.key != candidate.key:  # from before there were keys
                    log.warning("list_not_compared", feed=feed.name, error="it is stored without a key")
                    continue
                yield OpenFeed(terms_of(feed), snapshot)

    def _false_positives(self, feed: FeedConfig, candidate: Snapshot) -> int:
        """Entries of content that a person has found to be none."""
        if self._ledger is None:
            return 0
        try:
            with Ledger.open(self._ledger, read_only=True) as ledger:
                remembered = [(record.kind, record.value) for record in ledger.exceptions()]
        except LedgerError as e:
            log.warning("false_positives_not_compared", feed=feed.name, error=str(e))
            return 0
        return sum(candidate.contains_exact(kind, value) for kind, value in remembered)


def accepted_record(judged: Judged, who: str, now_ns: int) -> dict[str, Any]:
    """What is kept of a person's decision to take a list all the same."""
    return {
        "at_ns": now_ns,
        "who": who,
        "findings": [f"{finding.check}: {finding.what}" for finding in judged.findings],
    }


def _terms(feed: FeedConfig) -> Terms:
    guard = feed.guard
    return Terms(
        min_entries=guard.min_entries,
        max_entries=guard.max_entries,
        max_shrink=feed.max_shrink,
        max_growth=guard.max_growth,
        max_malformed=feed.max_malformed,
        max_repeats=guard.max_repeats,
        max_benign=guard.max_benign,
    )


def _told(counts: Mapping[str, Any]) -> Figures:
    return Figures(int(counts.get("entries", 0)), dict(counts.get("hashes", {})))


def _missing(candidate: Snapshot, canary: Mapping[str, str]) -> Iterator[str]:
    for kind, text in sorted(canary.items()):
        if not _has(candidate, kind, bytes.fromhex(text)):
            yield kind


def _has(candidate: Snapshot, kind: str, value: bytes) -> bool:
    if kind in EXACT_KINDS:
        return candidate.contains_exact(kind, value)
    return bool(candidate.near(kind, value, 0))


def _canary_entries(candidate: Snapshot, canary: Mapping[str, str]) -> Sequence[int]:
    """Numbers of the entries that are the canary's: harmless by agreement."""
    pairs = [(kind, bytes.fromhex(text)) for kind, text in canary.items() if kind in EXACT_KINDS]
    return [entry.number for kind, value in pairs for entry in candidate.exact(kind, value)]


@contextmanager
def _closing(snapshot: Snapshot) -> Iterator[Snapshot]:
    try:
        yield snapshot
    finally:
        snapshot.close()


@contextmanager
def _blamed(feed: str) -> Iterator[None]:
    """A number that leads out of the candidate is the fault of who made it, not of our disk."""
    try:
        yield
    except (SnapshotError, IndexError) as e:
        raise FeedProcessError(
            f"the process that reads the list left an index that can't be used ({type(e).__name__})",
            where=f"feed {feed}",
        ) from e
