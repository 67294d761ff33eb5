"""All feeds in use as one matcher."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from operator import itemgetter
from typing import NamedTuple, TypedDict

from scanner.index.acting import OpenFeed, Threshold, acting_categories, acting_count, complete_thresholds
from scanner.index.keyed import ListKey
from scanner.index.snapshot import EntryInfo
from scanner.index.uniform import value_shows_nothing
from scanner.model.feeds import About
from scanner.model.hashes import KINDS, Digests, PerceptualHash
from scanner.model.matches import Match, Sighting
from scanner.model.ports import Clock, SystemClock
from scanner.model.views import rank

# The strongest matches that are reported of one feed and kind. A list of look-alikes or of one digest a
# million times would otherwise make a hit as large as the list. The hit itself is never lost by it.
MAX_MATCHES = 100

_NOTHING = About()
_NONE: frozenset[str] = frozenset()

_View = tuple[bytes, PerceptualHash]
_Ranked = tuple[tuple[float, ...], Match]


class Index:
    """Opened snapshots with the operator's terms: immutable, implements `scanner.model.ports.Matcher`.

    Args:
        feeds: in the operator's order.
        thresholds: by perceptual kind; kinds without one have the model's defaults.
        clock: tells which entries have come to their end; asked once for a file that such an entry matches.
            An end is no news: what it makes of a file is seen when that is matched again. Entries of benign
            feeds veto until their list no longer has them, for files that they held back are not looked at
            again on a date.
        suppressed: by feed, the ids of entries that don't act for now, whatever the feed's polarity.
        held: told the feed whenever a file equals or resembles such an entry; called from any thread.

    Raises:
        RuntimeError: a list has a perceptual kind of which no threshold is known.
    """

    def __init__(
        self,
        feeds: Sequence[OpenFeed],
        thresholds: Mapping[str, Threshold],
        *,
        clock: Clock | None = None,
        suppressed: Mapping[str, AbstractSet[str]] | None = None,
        held: Callable[[str], None] | None = None,
    ) -> None:
        self.feeds = tuple(feeds)
        self._clock = clock or SystemClock()
        self._suppressed = {f.terms.name: (suppressed or {}).get(f.terms.name, _NONE) for f in feeds}
        self._held = held
        self.thresholds = complete_thresholds(feeds, thresholds)
        self._acting = [acting_categories(feed) for feed in feeds]
        self._counts = [
            {kind: acting_count(feed.snapshot, kind, acting) for kind in feed.snapshot.counts}
            for feed, acting in zip(feeds, self._acting, strict=True)
        ]
        # Most feeds have one or two kinds: digests of the others would be made ready for nothing.
        self._exact_kinds = [_exact_kinds(f, c) for f, c in zip(self.feeds, self._counts, strict=True)]
        self._compares = any(
            count and not feed.snapshot.meta.kinds[kind].exact
            for feed, counts in zip(self.feeds, self._counts, strict=True)
            for kind, count in counts.items()
        )
        self._lookups = _lookups(self.feeds, self._exact_kinds)
        self._id = self._identity()

    @property
    def id(self) -> str:
        """Changes whenever the answer to any question may have changed; terms that only say what is
        to be done with a match are not part of it."""
        return self._id

    @property
    def acting(self) -> Mapping[str, Mapping[str, int]]:
        """Number of values that act (in benign feeds: that veto), by feed and kind."""
        return {f.terms.name: dict(counts) for f, counts in zip(self.feeds, self._counts, strict=True)}

    def _identity(self) -> str:
        feeds = [
            [feed.terms.name, feed.benign, feed.snapshot.id, sorted(acting), *self._held_back(feed)]
            for feed, acting in zip(self.feeds, self._acting, strict=True)
        ]
        limits = sorted((kind, t.max_distance, t.min_quality) for kind, t in self.thresholds.items())
        return hashlib.sha256(json.dumps([feeds, limits]).encode("ascii")).hexdigest()

    def _held_back(self, feed: OpenFeed) -> list[list[str]]:
        ids = self._suppressed[feed.terms.name]
        return [sorted(ids)] if ids else []  # as it was where there are none: catalogs know the id

    def match(self, digests: Digests) -> tuple[Match, ...]:
        """Acting entries of illegal feeds that the file equals or resembles, the strongest first.

        Exact kinds come before perceptual ones, longer digests before shorter ones, smaller distances
        (as a share of the hash's bits) before larger ones, then the order of the feeds. An entry is
        named once for the exact kinds, by the strongest, and once for each perceptual kind, by the
        nearest view. Of one feed and kind at most `MAX_MATCHES` are named.

        Returns:
            nothing, too, if a benign feed has one of the file's exact digests.

        Raises:
            SnapshotError: a snapshot that was opened without verifying is damaged.
        """
        listed = self._lists(digests.exact)
        if not listed and not (self._compares and digests.perceptual):
            return ()
        asked = _Asked(digests, self._clock)
        ranked: list[_Ranked] = []
        for order, feed in enumerate(self.feeds):
            if not feed.benign:
                if listed:
                    ranked += self._exact(order, asked)
                if self._compares and digests.perceptual:
                    ranked += self._perceptual(order, asked)
        if self._held is not None:
            for name in sorted(asked.held):
                self._held(name)
        if not ranked or self._vetoed(asked):
            return ()
        ranked.sort(key=lambda pair: pair[0])
        return tuple(dict.fromkeys(match for _, match in ranked))

    def _lists(self, exact: Mapping[str, bytes]) -> bool:
        """Whether a list of an illegal feed has one of a file's digests, acting or not: nearly no file's."""
        for lookup in self._lookups:
            value = exact.get(lookup.kind)
            if value is None:
                continue
            stored = value if lookup.digest is None else lookup.digest(value)[: len(value)]
            for lists in lookup.lists:  # no any(): its generator would cost more than the look-up
                if lists(stored):
                    return True
        return False

    def _acts(self, order: int, entry: EntryInfo, asked: _Asked) -> bool:
        if entry.category not in self._acting[order]:
            return False
        feed = self.feeds[order]
        if entry.id in self._suppressed[feed.terms.name]:
            asked.held.add(feed.terms.name)
            return False
        ends = entry.about.removed_ns if entry.about else 0
        return feed.benign or not ends or asked.now_ns < ends

    def _exact(self, order: int, asked: _Asked) -> Iterator[_Ranked]:
        feed = self.feeds[order]
        seen: set[int] = set()
        for kind, stored in asked.exact(feed.snapshot.key, self._exact_kinds[order]):
            entries = [e for e in feed.snapshot.exact_stored(kind, stored) if self._acts(order, e, asked)]
            for entry in [e for e in entries if e.number not in seen][:MAX_MATCHES]:
                match = Match(kind, feed.terms.name, entry.id, entry.category, **_told(entry))
                size = KINDS[kind].size if kind in KINDS else len(stored)
                yield (0, -size, order, entry.number), match
            seen.update(e.number for e in entries)

    def _perceptual(self, order: int, asked: _Asked) -> Iterator[_Ranked]:
        name = self.feeds[order].terms.name
        for kind, views in asked.perceptual(self.thresholds).items():
            if not self._counts[order].get(kind):
                continue
            nearest = self._nearest(order, kind, views, asked).values()
            named = heapq.nsmallest(MAX_MATCHES, nearest, itemgetter(0, 1))
            by_views = self._sightings(order, kind, views, {number for _, number, _, _ in named})
            for _, number, _, entry in named:
                told = Match(kind, name, entry.id, entry.category, exact=False, **_told(entry))
                match = told.seen(by_views[number])
                yield (1, match.distance / (8 * len(match.value)), order, number), match

    def _nearest(
        self, order: int, kind: str, views: Sequence[_View], asked: _Asked
    ) -> Mapping[int, tuple[int, int, int, EntryInfo]]:
        """For each acting entry near some view the distance, its number and the view's place: of the nearest
        view, of several as near the first."""
        best: dict[int, tuple[int, int, int, EntryInfo]] = {}
        nothing: dict[int, bool] = {}
        values = [value for value, _ in views]
        # All views at once: most pictures are near nothing, and then asking is all that costs.
        near = self.feeds[order].snapshot.near_many(kind, values, self.thresholds[kind].max_distance)
        for place, distance, entry in near:
            if place not in nothing:
                # Any picture of such a form would be a hit, whatever the entry was made of.
                nothing[place] = value_shows_nothing(kind, values[place])
            known = best.get(entry.number)
            if nothing[place] or (known and known[::2] <= (distance, place)):
                continue
            if self._acts(order, entry, asked):
                best[entry.number] = (distance, entry.number, place, entry)
        return best

    def _sightings(
        self, order: int, kind: str, views: Sequence[_View], numbers: AbstractSet[int]
    ) -> Mapping[int, Sequence[Sighting]]:
        """All views that lie near each of these entries. Asked once more, which only hits pay for: to keep
        every pair in the first place would cost memory where a list is full of look-alikes."""
        found: dict[int, list[Sighting]] = {number: [] for number in numbers}
        shown = [(v, seen) for v, seen in views if not value_shows_nothing(kind, v)] if numbers else []
        values = [value for value, _ in shown]
        snapshot, limit = self.feeds[order].snapshot, self.thresholds[kind].max_distance
        for place, distance, entry in snapshot.near_many(kind, values, limit):
            if entry.number in found:
                value, seen = shown[place]
                found[entry.number].append(Sighting(distance, seen.view, seen.quality, value))
        return found

    def _vetoed(self, asked: _Asked) -> bool:
        for order, feed in enumerate(self.feeds):
            if feed.benign:
                for kind, stored in asked.exact(feed.snapshot.key, self._exact_kinds[order]):
                    if any(self._acts(order, e, asked) for e in feed.snapshot.exact_stored(kind, stored)):
                        return True
        return False


class _Asked:
    """A question about one file: what is computed for it, once for all feeds."""

    __slots__ = ("_clock", "_now_ns", "_perceptual", "_stored", "digests", "held")

    def __init__(self, digests: Digests, clock: Clock) -> None:
        self.digests = digests
        self.held: set[str] = set()  # feeds of which a suppressed entry would have matched
        self._clock = clock
        self._now_ns: int | None = None
        self._stored: dict[tuple[str, str], bytes] = {}
        self._perceptual: Mapping[str, Sequence[_View]] | None = None

    @property
    def now_ns(self) -> int:
        if self._now_ns is None:
            self._now_ns = self._clock.now_ns()
        return self._now_ns

    def exact(self, key: ListKey | None, kinds: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The exact digests of some kinds as they are stored under a key."""
        for kind in kinds:
            value = self.digests.exact.get(kind)
            if value is None:
                continue
            if key is not None:
                stored = self._stored.get((key.id, kind))
                if stored is None:
                    stored = self._stored[key.id, kind] = key.digest(kind, value)
                value = stored
            yield kind, value

    def perceptual(self, thresholds: Mapping[str, Threshold]) -> Mapping[str, Sequence[_View]]:
        """The values that are good enough to be compared, by kind; of equal ones the plainest view."""
        if self._perceptual is None:
            views: dict[str, dict[bytes, PerceptualHash]] = {}
            for seen in sorted(self.digests.perceptual, key=lambda p: rank(p.view)):
                threshold = thresholds.get(seen.kind)
                if threshold is not None and seen.quality >= threshold.min_quality:
                    views.setdefault(seen.kind, {}).setdefault(seen.value, seen)
            self._perceptual = {kind: list(of_kind.items()) for kind, of_kind in views.items()}
        return self._perceptual


class _Lookup(NamedTuple):
    """The lists that have digests of a kind under the same key; `digest` gives the stored form, uncut."""

    kind: str
    digest: Callable[[bytes], bytes] | None
    lists: list[Callable[[bytes], bool]]


def _lookups(feeds: Sequence[OpenFeed], kinds: Sequence[Sequence[str]]) -> tuple[_Lookup, ...]:
    found: dict[tuple[str, str], _Lookup] = {}
    for feed, of_feed in zip(feeds, kinds, strict=True):
        key = feed.snapshot.key
        for kind in of_feed if not feed.benign else ():
            new = _Lookup(kind, key.of(kind).digest if key is not None else None, [])
            same = found.setdefault((key.id if key is not None else "", kind), new)
            same.lists.append(partial(feed.snapshot.contains_stored, kind))
    return tuple(found.values())


def _exact_kinds(feed: OpenFeed, counts: Mapping[str, int]) -> tuple[str, ...]:
    """The exact kinds of which a feed has values that act, the longest first."""

    def size(kind: str) -> int:  # a keyed list stores fewer bytes of a long one
        return KINDS[kind].size if kind in KINDS else feed.snapshot.meta.kinds[kind].size

    kinds = [kind for kind, count in counts.items() if count and feed.snapshot.meta.kinds[kind].exact]
    return tuple(sorted(kinds, key=size, reverse=True))


class _Told(TypedDict):
    severity: str
    labels: tuple[str, ...]
    source: str


def _told(entry: EntryInfo) -> _Told:
    about = entry.about or _NOTHING
    return {"severity": about.severity, "labels": about.labels, "source": about.source}
