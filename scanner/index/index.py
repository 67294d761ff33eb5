"""All feeds in use as one matcher."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from scanner.index.acting import OpenFeed, Threshold, acting_categories, acting_count, complete_thresholds
from scanner.index.snapshot import EntryInfo
from scanner.index.uniform import value_shows_nothing
from scanner.model.hashes import Digests
from scanner.model.matches import Match

# The strongest matches that are reported of one feed and kind. A list of look-alikes or of one digest a
# million times would otherwise make a hit as large as the list. The hit itself is never lost by it.
MAX_MATCHES = 100

_Ranked = tuple[tuple[float, ...], Match]


class Index:
    """Opened snapshots with the operator's terms: immutable, implements `scanner.model.ports.Matcher`.

    Args:
        feeds: in the operator's order.
        thresholds: by perceptual kind; kinds without one have the model's defaults.
        suppressed: by feed, ids of entries that don't act for now.
        held: told the feed whenever a file equals or resembles such an entry; called from any thread.

    Raises:
        RuntimeError: a list has a perceptual kind of which no threshold is known.
    """

    def __init__(
        self,
        feeds: Sequence[OpenFeed],
        thresholds: Mapping[str, Threshold],
        *,
        suppressed: Mapping[str, AbstractSet[str]] | None = None,
        held: Callable[[str], None] | None = None,
    ) -> None:
        self.feeds = tuple(feeds)
        self._suppressed = [frozenset((suppressed or {}).get(f.terms.name, ())) for f in feeds]
        self._held = held
        self.thresholds = complete_thresholds(feeds, thresholds)
        self._acting = [acting_categories(feed) for feed in feeds]
        self._counts = [
            {kind: acting_count(feed.snapshot, kind, acting) for kind in feed.snapshot.counts}
            for feed, acting in zip(feeds, self._acting, strict=True)
        ]
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
            [feed.terms.name, feed.benign, feed.snapshot.id, sorted(acting)]
            for feed, acting in zip(self.feeds, self._acting, strict=True)
        ]
        limits = sorted((kind, t.max_distance, t.min_quality) for kind, t in self.thresholds.items())
        said: list[object] = [feeds, limits]
        if any(self._suppressed):
            said.append([sorted(ids) for ids in self._suppressed])
        return hashlib.sha256(json.dumps(said).encode("ascii")).hexdigest()

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
        ranked: list[_Ranked] = []
        for order, feed in enumerate(self.feeds):
            if not feed.benign:
                held: list[EntryInfo] = []
                ranked += self._exact(order, digests.exact, held)
                ranked += self._perceptual(order, digests, held)
                if held and self._held is not None:
                    self._held(feed.terms.name)
        if not ranked or self._vetoed(digests):
            return ()
        ranked.sort(key=lambda pair: pair[0])
        return tuple(dict.fromkeys(match for _, match in ranked))

    def _acts(self, order: int, entry: EntryInfo, held: list[EntryInfo]) -> bool:
        if entry.category not in self._acting[order]:
            return False
        if entry.id in self._suppressed[order]:
            held.append(entry)
            return False
        return True

    def _exact(self, order: int, digests: Mapping[str, bytes], held: list[EntryInfo]) -> Iterator[_Ranked]:
        feed = self.feeds[order]
        seen: set[int] = set()
        for kind, value in sorted(digests.items(), key=lambda item: -len(item[1])):
            entries = [e for e in feed.snapshot.exact(kind, value) if self._acts(order, e, held)]
            for entry in [e for e in entries if e.number not in seen][:MAX_MATCHES]:
                match = Match(kind, feed.terms.name, entry.id, entry.category)
                yield (0, -len(value), order, entry.number), match
            seen.update(e.number for e in entries)

    def _perceptual(self, order: int, digests: Digests, held: list[EntryInfo]) -> Iterator[_Ranked]:
        feed = self.feeds[order]
        best: dict[tuple[str, int], _Ranked] = {}
        for seen in digests.perceptual:
            if not self._counts[order].get(seen.kind):
                continue
            threshold = self.thresholds[seen.kind]
            if seen.quality < threshold.min_quality:
                continue
            near = feed.snapshot.near(seen.kind, seen.value, threshold.max_distance)
            if near and value_shows_nothing(seen.kind, seen.value):
                continue  # any picture of this form would be a hit, whatever the entry was made of
            for distance, entry in near:
                known = best.get((seen.kind, entry.number))
                if (known and known[1].distance <= distance) or not self._acts(order, entry, held):
                    continue
                share = distance / (8 * len(seen.value))
                match = Match(
                    seen.kind, feed.terms.name, entry.id, entry.category,
                    distance, seen.view, seen.quality, exact=False,
                )  # fmt: skip
                best[seen.kind, entry.number] = (1, share, order, entry.number), match
        for kind in {kind for kind, _ in best}:
            of_kind = [ranked for (k, _), ranked in best.items() if k == kind]
            yield from sorted(of_kind, key=lambda pair: pair[0])[:MAX_MATCHES]

    def _vetoed(self, digests: Digests) -> bool:
        for feed, acting in zip(self.feeds, self._acting, strict=True):
            if feed.benign:
                for kind, value in digests.exact.items():
                    if any(e.category in acting for e in feed.snapshot.exact(kind, value)):
                        return True
        return False
