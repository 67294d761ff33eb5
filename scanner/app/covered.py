"""What coverage is: the words and figures for how a volume stands.

A file is covered if it was hashed with the kinds of now and matched with the lists of now, or is no media by
its content. What the operator leaves out is counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.model.outcomes import SKIPPED_BY_CHOICE

_BY_CONTENT = "not_media"  # looked at, and nothing to be compared


class State(StrEnum):
    """How a volume stands, in one word."""

    NEVER = "never"  # no scan of it has ended
    INTERRUPTED = "interrupted"  # the last scan was cut short, or its process died
    INCOMPLETE = "incomplete"  # limits and errors left something out
    UNMATCHED = "unmatched"  # lists or kinds of hashes are newer than what is known
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Progress:
    """A scan that runs now.

    Attributes:
        files: met and done with, some seconds ago.
        share: of the files of the last walk, 0-1; None where there was none.
        eta_ns: when it will probably end; None where nothing tells.
    """

    started_ns: int
    files: int
    share: float | None
    eta_ns: int | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How one volume stands. Times are UTC, nanoseconds since 1970.

    Attributes:
        files: regular files that were met by the last scan that tells.
        covered: of these, see above.
        uncovered: the others by reason: limits and failures as in a scan's summary, `unscanned` (the scan did
            not come to them), `unmatched` (with the lists of now), `other_kinds` (hashed with others).
        left_out: those that the operator wants left alone, by reason; they are in no share.
        directories_unknown: directories whose files could not be counted.
        share: covered by files that are to be looked at, 0-1; 0 where no walk ever came to its end.
        oldest_gap_ns: since when the oldest file is there that is not covered, as far back as is known; None
            if there is none, or nothing was ever scanned.
        walked_ns: when the last walk began that came to its end: what came or changed since is not known.
        next_ns, next_end_ns: when the next scan is due, and when it will probably have ended.
    """

    volume: str
    state: State
    files: int = 0
    covered: int = 0
    uncovered: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    directories_unknown: int = 0
    share: float = 0.0
    oldest_gap_ns: int | None = None
    walked_ns: int | None = None
    running: Progress | None = None
    next_ns: int | None = None
    next_end_ns: int | None = None

    @property
    def whole(self) -> bool:
        """Whether all that was there at `walked_ns` is covered."""
        return self.state is State.WHOLE


@dataclass(slots=True)
class Figures:
    """Files of one scan, sorted by whether they are covered."""

    files: int = 0
    hashed: int = 0
    not_media: int = 0
    uncovered: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    directories_unknown: int = 0

    @property
    def covered(self) -> int:
        return self.hashed + self.not_media

    @classmethod
    def of(cls, counts: Mapping[str, object]) -> Figures:
        """From a scan's counts as the ledger has them."""
        skipped, failed = _table(counts.get("skipped")), _table(counts.get("failed"))
        uncovered = {reason: n for reason, n in skipped.items() if reason not in SKIPPED_BY_CHOICE}
        for kind, n in failed.items():
            uncovered[kind] = uncovered.get(kind, 0) + n
        return cls(
            files=whole_number(counts.get("files")),
            hashed=sum(whole_number(counts.get(name)) for name in ("matched", "clean", "unchanged")),
            not_media=skipped.get(_BY_CONTENT, 0),
            uncovered=uncovered,
            left_out={r: n for r, n in skipped.items() if r in SKIPPED_BY_CHOICE and r != _BY_CONTENT},
            directories_unknown=whole_number(counts.get("directories_failed")),
        )

    def move(self, reason: str) -> None:
        """What was hashed is not covered, for this reason."""
        self.uncovered[reason] = self.uncovered.get(reason, 0) + self.hashed
        self.hashed = 0


def whole_number(value: object) -> int:
    """A count as the ledger has it; 0 for anything else."""
    return value if isinstance(value, int) else 0


def _table(value: object) -> dict[str, int]:
    return {str(k): whole_number(v) for k, v in value.items()} if isinstance(value, Mapping) else {}


def to_json(found: Coverage) -> dict[str, object]:
    """The same for `status --json`; times as `…_ns`."""
    running = found.running
    return {
        "state": str(found.state),
        "whole": found.whole,
        "share": round(found.share, 6),
        "files": found.files,
        "covered": found.covered,
        "uncovered": dict(found.uncovered),
        "left_out": dict(found.left_out),
        "directories_unknown": found.directories_unknown,
        "oldest_gap_ns": found.oldest_gap_ns,
        "walked_ns": found.walked_ns,
        "running": running
        and {
            "started_ns": running.started_ns,
            "files": running.files,
            "share": running.share,
            "eta_ns": running.eta_ns,
        },
        "next_scan_ns": found.next_ns,
        "next_scan_end_ns": found.next_end_ns,
    }
