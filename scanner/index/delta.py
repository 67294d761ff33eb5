"""What an update of the feeds adds: the only values the files already known must be compared with.

What an update removes needs no delta: files that matched are matched again at every scan anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from scanner.index.acting import OpenFeed, Threshold, acting_categories, acting_mask, complete_thresholds
from scanner.index.exact import FEW, Keys, as_keys, contained
from scanner.index.hamming import Hashes, any_within
from scanner.index.hints import Hints, Likely
from scanner.index.joining import Join, joinable
from scanner.index.keyed import MAX_STORED, ListKey
from scanner.index.layout import DamagedLayout
from scanner.index.perceptual import TABLES_DISTANCE, TABLES_FROM, PerceptualTable
from scanner.index.snapshot import Snapshot

_Mask = npt.NDArray[np.bool_]

_MOST_HINTED = 1 << 22  # values: a quarter of all beginnings


@dataclass(frozen=True, slots=True)
class _Near:
    """New perceptual values of one feed: themselves or, if many, the rows of the feed's own search table."""

    hashes: Hashes
    table: PerceptualTable | None
    rows: _Mask | None
    joins: dict[int, Join] = field(default_factory=dict)  # by distance, made when the first is asked for

    def touched(self, values: Hashes, max_distance: int) -> _Mask:
        if self.table is None and joinable(self.hashes, max_distance):
            join = self.joins.get(max_distance)
            if join is None:
                join = self.joins[max_distance] = Join(self.hashes, max_distance)
            return join.any_within(values)
        if self.table is None or not self.table.has_tables or max_distance > TABLES_DISTANCE:
            return any_within(values, self.hashes, max_distance)
        found = np.zeros(len(values), dtype=np.bool_)
        for near in self.table.near_many(values, max_distance):
            found[near.asked if self.rows is None else near.asked[self.rows[near.rows]]] = True
        return found


@dataclass(frozen=True, slots=True)
class _Fresh:
    """New exact digests of one feed, as they are stored."""

    key: ListKey | None
    values: Keys
    likely: Likely | None = None  # tells which digests to compute the stored form of; None: of all
    whole: Callable[[Keys], _Mask] | None = None  # in the feed's own table, where many are new

    def among(self, keys: Keys) -> _Mask:
        return contained(keys, self.values) if self.whole is None else self.whole(keys)


@dataclass(frozen=True, slots=True)
class Delta:
    """Values that act now and did not before.

    Attributes:
        exact: sorted digests by kind as they are stored, for each feed that has new ones; internal.
        perceptual: values by kind, likewise; internal.
        thresholds: by perceptual kind.
    """

    exact: Mapping[str, Sequence[_Fresh]]
    perceptual: Mapping[str, Sequence[_Near]]
    thresholds: Mapping[str, Threshold]

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of new values by kind; one that two feeds have new counts twice."""
        counts = {kind: sum(len(p.values) for p in parts) for kind, parts in self.exact.items()}
        counts.update((kind, sum(len(p.hashes) for p in parts)) for kind, parts in self.perceptual.items())
        return counts

    @property
    def empty(self) -> bool:
        """Nothing new: no file has to be looked at."""
        return not any(self.counts.values())

    @property
    def exact_kinds(self) -> Sequence[str]:
        """Exact kinds that have new values."""
        return tuple(kind for kind, parts in self.exact.items() if parts)

    @property
    def perceptual_kinds(self) -> Mapping[str, int]:
        """Perceptual kinds that have new values, with the least quality at which a file's are compared."""
        return {kind: self.thresholds[kind].min_quality for kind, parts in self.perceptual.items() if parts}

    def concerned(self, kind: str, values: Hashes) -> _Mask:
        """Which of the values of many files are new, or near to new ones.

        Needs some 100 MB of memory at the most, whatever the size of the delta, for a million values.

        Args:
            values: (N, bytes) digests or perceptual hashes of this kind.
        """
        found = np.zeros(len(values), dtype=np.bool_)
        exact = self.exact.get(kind, ())
        for key in {part.key for part in exact}:
            parts = [part for part in exact if part.key == key]
            if key is None:
                keys = as_keys(values, values.shape[1])
                for part in parts:
                    found |= part.among(keys)
                continue
            rows = _likely_rows(parts, values)
            joined = key.digests(kind, values.take(rows, axis=0).tobytes(), values.shape[1])
            keys = as_keys(joined, min(values.shape[1], MAX_STORED))
            for part in parts:
                found[rows] |= part.among(keys)
        for near in self.perceptual.get(kind, ()):
            found |= near.touched(values, self.thresholds[kind].max_distance)
        return found


def added(
    new: Sequence[OpenFeed], old: Sequence[OpenFeed] | None, thresholds: Mapping[str, Threshold]
) -> Delta:
    """What acts in `new` and did not in `old`, be it new in a list or by the operator's terms.

    A value that a benign feed held back and no longer does counts as new, too.

    Args:
        old: None: everything in `new` counts as new. To be given, too, when a threshold was widened, for
            then old values match more.
        thresholds: by perceptual kind; kinds without one have the model's defaults.

    Raises:
        SnapshotError: a snapshot that was opened without verifying is damaged.
    """
    before = list(old or ())
    pairs = [([f for f in new if not f.benign], [f for f in before if not f.benign])]
    pairs.append(([f for f in before if f.benign], [f for f in new if f.benign]))
    exact: dict[str, list[_Fresh]] = {}
    perceptual: dict[str, list[_Near]] = {}
    for veto, (now, then) in enumerate(pairs):
        for feed in now:
            for kind, meta in feed.snapshot.meta.kinds.items():
                if veto and not meta.exact:
                    continue
                fresh = _fresh(feed, kind, then)
                if fresh is not None and not fresh.any():
                    continue
                if meta.exact:
                    values = _chosen(feed.snapshot.keys(kind), fresh)
                    many = fresh is None and len(values) > FEW
                    whole = partial(feed.snapshot.contains_many, kind) if many else None
                    exact.setdefault(kind, []).append(
                        _Fresh(feed.snapshot.key, values, _likely(feed.snapshot, kind, fresh), whole)
                    )
                else:
                    perceptual.setdefault(kind, []).append(_near(feed.snapshot, kind, fresh))
    return Delta(exact, perceptual, complete_thresholds(new, thresholds))


def acting_values(snapshot: Snapshot, categories: frozenset[str]) -> Mapping[str, Keys]:
    """Values of entries of these categories, by kind, in ascending order; without a copy if these are all.

    Exact ones are in the form in which they are stored, to be compared with those of lists of the same key.
    """
    return {
        kind: _chosen(snapshot.keys(kind), acting_mask(snapshot, kind, categories))
        for kind in snapshot.counts
    }


def _fresh(feed: OpenFeed, kind: str, others: Sequence[OpenFeed]) -> _Mask | None:
    """Which of a feed's values act and are not among the acting ones of the others; None: all."""
    acting = acting_categories(feed)
    same = [o for o in others if o.snapshot.id == feed.snapshot.id]
    if any(acting <= acting_categories(o) for o in same):
        return np.zeros(1, dtype=np.bool_)
    keys = feed.snapshot.keys(kind)
    mask = acting_mask(feed.snapshot, kind, acting)
    for other in others:
        if kind not in other.snapshot.counts:
            continue
        if feed.snapshot.meta.kinds[kind].exact and feed.snapshot.key != other.snapshot.key:
            continue  # not to be compared, so all of them count as new
        theirs = _chosen(
            other.snapshot.keys(kind), acting_mask(other.snapshot, kind, acting_categories(other))
        )
        unknown = ~contained(keys, theirs)
        mask = unknown if mask is None else mask & unknown
    return mask


def _likely(snapshot: Snapshot, kind: str, mask: _Mask | None) -> Likely | None:
    """Made of the hints of values that act; None where there are none, or too many to leave out much."""
    count = snapshot.counts[kind] if mask is None else int(np.count_nonzero(mask))
    if count > _MOST_HINTED or not snapshot.hinted(kind):
        return None
    chosen: list[Hints] = []
    start = 0
    try:
        for hints in snapshot.hints(kind):
            chosen.append(hints if mask is None else hints[mask[start : start + len(hints)]])
            start += len(hints)
    except DamagedLayout:
        return None  # every digest is computed then
    return Likely(np.concatenate(chosen))


def _likely_rows(parts: Sequence[_Fresh], values: Hashes) -> npt.NDArray[np.intp]:
    """Those of (N, bytes) digests that have to be compared with values of lists of one key."""
    found = np.zeros(len(values), dtype=np.bool_)
    for part in parts:
        if part.likely is None:
            return np.arange(len(values))
        found |= part.likely.among(values)
    return np.flatnonzero(found)


def _chosen(keys: Keys, mask: _Mask | None) -> Keys:
    return keys if mask is None else keys[mask]


def _near(snapshot: Snapshot, kind: str, mask: _Mask | None) -> _Near:
    keys = _chosen(snapshot.keys(kind), mask)
    hashes = keys.view(np.uint8).reshape(len(keys), -1)
    table = snapshot.table(kind) if len(keys) >= TABLES_FROM else None
    return _Near(hashes, table, mask)
