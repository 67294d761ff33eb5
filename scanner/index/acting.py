"""Which entries of a feed act: polarity and category belong to the operator's terms, not to the content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.index.snapshot import Snapshot
from scanner.model.feeds import LISTED, FeedTerms, Polarity
from scanner.model.hashes import KINDS


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """A feed in use.

    Attributes:
        terms: what the operator says it means.
        snapshot: its list.
        default_categories: the categories that act where the terms name none; None: as the snapshot says.
    """

    terms: FeedTerms
    snapshot: Snapshot
    default_categories: frozenset[str] | None = None

    @property
    def benign(self) -> bool:
        return self.terms.polarity is Polarity.BENIGN


@dataclass(frozen=True, slots=True)
class Threshold:
    """When a perceptual hash of a file is compared and is a match.

    Attributes:
        max_distance: bits, inclusive.
        min_quality: 0-100, inclusive; a file's hash of less is not compared.
    """

    max_distance: int
    min_quality: int


def acting_categories(feed: OpenFeed) -> frozenset[str]:
    """Those of the categories in the list whose entries act.

    Illegal feeds: the operator's; else the format's default; else all but "". An entry of a format without
    categories always acts, one of category "" (0, null, absent) never. Benign feeds: the operator's, else
    all, since known-good sets carry category 0 or none; the format's default speaks of illegal ones.
    """
    present = frozenset(name for name, _ in feed.snapshot.meta.categories)
    wanted = feed.terms.categories
    if feed.benign:
        return present if wanted is None else present & (wanted | {LISTED})
    if wanted is None:
        wanted = feed.default_categories
    if wanted is None:
        wanted = feed.snapshot.meta.default_categories
    if wanted is None:
        wanted = present
    return (present & (wanted | {LISTED})) - {""}


def acting_count(snapshot: Snapshot, kind: str, categories: frozenset[str]) -> int:
    """Number of values of a kind whose entries are of these categories."""
    meta = snapshot.meta.kinds.get(kind)
    if meta is None:
        return 0
    named = zip(snapshot.meta.categories, meta.categories, strict=True)
    return sum(n for (name, _), n in named if name in categories)


def acting_mask(snapshot: Snapshot, kind: str, categories: frozenset[str]) -> npt.NDArray[np.bool_] | None:
    """Which of `snapshot.keys(kind)` act; None: all of them."""
    meta = snapshot.meta.kinds.get(kind)
    if meta is None or acting_count(snapshot, kind, categories) == meta.hashes:
        return None
    return snapshot.in_categories(kind, categories)


def complete_thresholds(
    feeds: Sequence[OpenFeed], thresholds: Mapping[str, Threshold]
) -> Mapping[str, Threshold]:
    """The thresholds given, and the defaults of the model for perceptual kinds without one.

    Raises:
        RuntimeError: a list has a perceptual kind that neither of them knows: it would never match.
    """
    complete = {k.name: Threshold(k.max_distance, k.min_quality) for k in KINDS.values() if not k.exact}
    complete.update(thresholds)
    for feed in feeds:
        for name, kind in feed.snapshot.meta.kinds.items():
            if not kind.exact and name not in complete:
                raise RuntimeError(f"there is no threshold for {name}")
    return complete
