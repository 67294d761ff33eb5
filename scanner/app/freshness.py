"""How old lists are: one answer for readiness, status, metrics and the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from scanner.app.lists import ListKeeper
from scanner.app.questions import asker_of
from scanner.config import Config, FeedConfig

log = structlog.get_logger("hostsweep.feeds")


@dataclass(frozen=True, slots=True)
class Freshness:
    """How one feed stands.

    Attributes:
        age: seconds since its list was last known to be the publisher's; None: it has no list yet.
        max_age: seconds that may be.
        tried: somebody has tried to fetch it.
    """

    feed: str
    age: float | None
    max_age: float
    tried: bool

    @property
    def overdue(self) -> bool:
        return self.age is None or self.age > self.max_age

    @property
    def text(self) -> str:
        """Why it is overdue, for people; "" if it isn't."""
        if self.age is None:
            return "has no list yet"
        if not self.overdue:
            return ""
        return f"the list is {self.age / 3600:.1f} hours old, at most {self.max_age / 3600:.1f} wanted"


def freshness(keeper: ListKeeper, feed: FeedConfig, now_ns: int) -> Freshness:
    """How a feed stands now; reads one small file."""
    state = keeper.store.state(feed.name)
    # A service that is asked has no list as long as nothing was known that it could be asked about.
    no_list = keeper.current(feed.name) is None and asker_of(feed) is None
    never = not state.last_success_ns or no_list
    age = None if never else (now_ns - state.last_success_ns) / 1e9
    return Freshness(feed.name, age, feed.max_age, bool(state.last_attempt_ns))


def all_fresh(keeper: ListKeeper, config: Config, now_ns: int) -> tuple[Freshness, ...]:
    """How all configured feeds stand now."""
    return tuple(freshness(keeper, feed, now_ns) for feed in config.feeds)


class OverdueLog:
    """Says in the log when a feed becomes overdue and when it is no more, once each."""

    def __init__(self) -> None:
        self._overdue: set[str] = set()

    def look(self, feeds: Iterable[Freshness]) -> None:
        """Compare with what was said. A feed that nobody has tried yet is about to be, and is not told of."""
        now = {f.feed: f for f in feeds}
        for name in sorted(self._overdue - now.keys()):
            self._overdue.discard(name)  # not configured any more
        for name, feed in now.items():
            hours = None if feed.age is None else round(feed.age / 3600, 1)
            if feed.overdue and feed.tried and name not in self._overdue:
                self._overdue.add(name)
                log.error("feed_overdue", feed=name, hours=hours, max_hours=round(feed.max_age / 3600, 1))
            elif not feed.overdue and name in self._overdue:
                self._overdue.discard(name)
                log.info("feed_fresh_again", feed=name, hours=hours)
