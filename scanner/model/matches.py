"""Matches, verdicts and cases: what a hit is called on its way from the index to the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scanner.model.hashes import Digests


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of one feed that a file equals or resembles.

    Attributes:
        kind: hash kind, e.g. "sha256" or "pdq".
        feed: the feed's name.
        entry: the feed's own id of the entry, or ``#N`` (its place in the list) where it has none.
        category: the publisher's value as text; "" where the format knows no categories.
        distance: Hamming distance in bits; 0 for exact kinds.
        view: the view of the picture that matched; "" for exact kinds.
        quality: quality of the file's perceptual hash, 0-100; 100 for exact kinds.
        exact: the kind is an exact one.
        severity, labels, source: what the publisher tells of the entry besides, as it writes it; "" and ()
            where it says nothing.
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
