"""Matches, verdicts and cases: what a hit is called on its way from the index to the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.model.hashes import Digests
from scanner.model.views import rank


@dataclass(frozen=True, slots=True)
class Sighting:
    """One view of a picture that lies near an entry.

    Attributes:
        distance: Hamming distance in bits.
        view: name of the view.
        quality: quality of the file's hash in this view, 0-100.
        value: that hash.
    """

    distance: int
    view: str
    quality: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of one feed that a file equals or resembles.

    Attributes:
        kind: hash kind, e.g. "sha256" or "pdq".
        feed: the feed's name.
        entry: the feed's own id of the entry, or ``#N`` (its place in the list) where it has none.
        category: the publisher's value as text; "" where the format knows no categories.
        distance: Hamming distance in bits; 0 for exact kinds.
        view: the view of the picture that matched, the best of them; "" for exact kinds.
        quality: quality of the file's perceptual hash, 0-100; 100 for exact kinds.
        exact: the kind is an exact one.
        severity, labels, source: what the publisher tells of the entry besides, as it writes it; "" and ()
            where it says nothing.
        value: the file's own hash in this view; empty for exact kinds, whose digests are told anyway.
        views: how many views of the file lie near the entry; 0 for exact kinds, and in old records.
        further: those of them that are not told here, the best first. Of use while a file is judged, and no
            part of any record.
    """

    kind: str
    feed: str
    entry: str
    category: str
    distance: int = 0
    view: str = ""
    quality: int = 100
    exact: bool = True
    severity: str = ""
    labels: tuple[str, ...] = ()
    source: str = ""
    value: bytes = b""
    views: int = 0
    further: tuple[Sighting, ...] = ()

    def seen(self, sightings: Iterable[Sighting]) -> Match:
        """The same by these views, of which the best is told: the nearest, and of equal ones the plainest.

        An entry may have several hashes of a kind: a view counts once, by the nearest of them.
        """
        by_view: dict[str, Sighting] = {}
        for sighting in sorted(sightings, key=lambda s: (s.distance, *rank(s.view), -s.quality)):
            by_view.setdefault(sighting.view, sighting)
        best, *rest = by_view.values()
        return replace(
            self,
            distance=best.distance,
            view=best.view,
            quality=best.quality,
            value=best.value,
            views=1 + len(rest),
            further=tuple(rest),
        )

    def each_view(self) -> Iterator[Match]:
        """One match for each of the views, the best first; itself where there is none."""
        alone = replace(self, further=()) if self.further else self
        yield alone
        for s in self.further:
            yield replace(alone, distance=s.distance, view=s.view, quality=s.quality, value=s.value)

    def told(self) -> dict[str, object]:
        """Those of `severity`, `labels` and `source` that say something, as JSON has them."""
        told = {"severity": self.severity, "labels": list(self.labels), "source": self.source}
        return {name: value for name, value in told.items() if value}


class Action(StrEnum):
    """What was done with a hit."""

    REPORTED = "reported"
    QUARANTINED = "quarantined"
    FAILED = "failed"  # it was to be secured and is still in its place


class CaseState(StrEnum):
    OPEN = "open"
    CONFIRMED = "confirmed"
    FALSE_POSITIVE = "false-positive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy wants done with a hit, and why."""

    secure: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """The lasting record of a hit: which file, why, and what was done.

    Attributes:
        id: our id.
        opened_ns, updated_ns: UTC, nanoseconds since 1970.
        volume, path: the file; `path` is below the volume's root, as bytes.
        root: the volume's root at the time, as bytes.
        shown_as: the root as people know it (host path of a container), as text.
        customer: by the volume's `customer` pattern, "" if there is none.
        digests: as hashed.
        match: the strongest match; `others` are the rest.
        action, reason: what was done, and why that.
        state: open until somebody resolves it.
        quarantine_id: the vault's item, "" if there is none.
        note: the words given when it was resolved.
    """

    id: str
    opened_ns: int
    updated_ns: int
    volume: str
    root: bytes
    path: bytes
    shown_as: str
    customer: str
    size: int
    mtime_ns: int
    digests: Digests
    match: Match
    others: tuple[Match, ...]
    action: Action
    reason: str
    state: CaseState
    quarantine_id: str = ""
    note: str = ""

    @property
    def perceptual_only(self) -> bool:
        """No list has a digest of the file: it looks like a listed picture, and may be another one."""
        return not any(match.exact for match in (self.match, *self.others))
