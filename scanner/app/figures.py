"""What goes into the metrics, and from where."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from scanner.app.covered import Coverage, State
from scanner.hashing import expected_layers
from scanner.model.errors import VaultError

if TYPE_CHECKING:
    from scanner.app.freshness import Freshness
    from scanner.app.lists import ListKeeper, Lists
    from scanner.app.scanning import ScanResult
    from scanner.feeds import FeedState
    from scanner.observability import Metrics
    from scanner.securer import Keeper


def note_scan(metrics: Metrics, result: ScanResult, now_ns: int) -> None:
    """A finished scan."""
    for name, counts in result.volumes.items():
        metrics.scan_finished(name, result.seconds.get(name, 0.0), complete=counts.complete, now_ns=now_ns)
    if result.layers is not None:
        metrics.workers(result.restarts, result.layers, expected_layers(root=True))


def note_coverage(metrics: Metrics, found: Iterable[Coverage], now_ns: int) -> None:
    """How far volumes are covered."""
    for each in found:
        uncovered = sum(each.uncovered.values())
        files = {
            "covered": each.covered,
            "uncovered": uncovered,
            "left_out": sum(each.left_out.values()),
        }
        metrics.coverage(each.volume, each.share, files, each.directories_unknown)
        never = math.inf if each.state is State.NEVER else 0.0
        age = never if each.oldest_gap_ns is None else max((now_ns - each.oldest_gap_ns) / 1e9, 0.0)
        metrics.uncovered(each.volume, each.uncovered, age)
        running = each.running
        eta = each.next_end_ns if running is None else running.eta_ns
        metrics.scan_times(each.volume, each.walked_ns, (running and running.share) or 0.0, eta)


def note_lists(metrics: Metrics, lists: Lists, keeper: ListKeeper, configured: tuple[str, ...]) -> None:
    """The lists in use; when they were last synced is known of those configured."""
    for feed in lists.feeds:
        name = feed.terms.name
        metrics.feed_entries(name, feed.snapshot.counts)
        if name in configured:
            state = keeper.store.state(name)
            metrics.feed_success(name, state.last_success_ns)
            note_quality(metrics, state)


def note_quality(metrics: Metrics, state: FeedState) -> None:
    """What is wrong with the list in use, and was let pass."""
    metrics.feed_quality(state.name, sum(state.guard.values()), int(state.counts.get("malformed", 0)))


def note_vault(metrics: Metrics, unsecured: int, vault: Keeper) -> None:
    """The vault, and how many hits are not in it that should be."""
    try:
        items, size, free = vault.figures()
    except VaultError:
        if not vault.separate:
            raise
        # The vault's figures stay as they were; readiness says that the securer is missing.
        metrics.unsecured(unsecured)
        return
    metrics.vault(items, size, free, unsecured)


def note_overdue(metrics: Metrics, feeds: Iterable[Freshness]) -> None:
    """Feeds whose last good sync is too long ago, or that were never fetched."""
    for feed in feeds:
        metrics.feed_overdue(feed.feed, feed.overdue)
