"""Kinds of hashes that lists carry and `hashing` does not compute: they find nothing, and that is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from scanner.config import Config, FeedConfig
from scanner.model.errors import ScannerError
from scanner.model.feeds import Polarity
from scanner.model.hashes import EXACT_KINDS, PERCEPTUAL_KINDS
from scanner.pipeline.reporting import Reporter

if TYPE_CHECKING:
    from scanner.app.lists import ListKeeper, Lists

EVENT = "feed_kind_not_hashed"

log = structlog.get_logger("hostsweep.feeds")


def not_hashed(config: Config, polarity: str, hashes: Mapping[str, int]) -> dict[str, int]:
    """Of the values of a list by kind, those that no file of ours is compared with.

    A benign list vetoes by exact hashes alone, so its perceptual ones are among them.
    """
    computed = set(config.hashing.exact)
    if polarity != Polarity.BENIGN:
        computed |= set(config.hashing.perceptual)
        computed |= set(PERCEPTUAL_KINDS) if config.hashing.auto else set()
    return {kind: n for kind, n in hashes.items() if n and kind not in computed}


def of_feed(config: Config, feed: FeedConfig, counts: Mapping[str, Any] | None) -> dict[str, int]:
    """The same for a configured feed, from the counts of its state."""
    return not_hashed(config, feed.polarity, (counts or {}).get("hashes", {}))


def sentence(name: str, polarity: str, missing: Mapping[str, int], hashes: Mapping[str, int]) -> str:
    """What an operator has to know of a feed, in one sentence."""
    values = ", ".join(f"{n:,} {kind}" for kind, n in sorted(missing.items()))
    text = f"feed {name}: {values} values are compared with no file"
    if polarity == Polarity.BENIGN and not set(missing) <= set(EXACT_KINDS):
        return f"{text}: a benign list vetoes by exact hashes that hashing.exact names"
    text += "; name their kinds in hashing.exact or hashing.perceptual (or say auto there)"
    return f"{text}, or this list finds nothing at all" if set(missing) >= set(hashes) else text


def warnings(config: Config, keeper: ListKeeper) -> Iterator[str]:
    """A sentence for each configured feed whose list, or declaration, has such kinds; blocking."""
    for feed in config.feeds:
        declared = {kind: 1 for kind in (feed.hash, *feed.columns.values()) if kind}
        kinds = {kind for kind in not_hashed(config, feed.polarity, declared) if kind not in _NO_KINDS}
        for kind in sorted(kinds):
            yield f"feed {feed.name}: it is declared to have {kind}, which `hashing` does not compute"
        try:
            counts = keeper.store.state(feed.name).counts or {}
        except ScannerError:
            continue  # said by whoever needs the state
        missing = of_feed(config, feed, counts)
        if missing.keys() - kinds:
            yield sentence(feed.name, feed.polarity, missing, counts.get("hashes", {}))


# What a column can be besides a kind.
_NO_KINDS = frozenset({"id", "category", "size", "added", "type", "hash"})


def log_feed(config: Config, feed: FeedConfig, counts: Mapping[str, Any]) -> None:
    """Say it in the log when a list was put into use."""
    hashes = counts.get("hashes", {})
    missing = of_feed(config, feed, counts)
    for kind, values in sorted(missing.items()):
        log.warning(EVENT, feed=feed.name, kind=kind, values=values, all_of_it=missing == hashes)


def note_lists(config: Config, lists: Lists, reporter: Reporter) -> None:
    """Say it to whoever watches a scan, of every list in use."""
    acting = lists.index.acting
    for feed in lists.feeds:
        hashes = acting[feed.terms.name]
        missing = not_hashed(config, str(feed.terms.polarity), hashes)
        for kind, values in sorted(missing.items()):
            reporter.note(
                EVENT, feed=feed.terms.name, kind=kind, values=values, all_of_it=missing == dict(hashes)
            )
