"""What is kept of a volume that is not wholly covered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """A file, or a directory, that scans come to and can't look at.

    Attributes:
        path: below the volume's root, as bytes.
        reason: the kind of failure, or the limit, of the last time.
        files: how many files it stands for; 1 for a file, 0 for a directory whose content is unknown.
        first_ns, last_ns: first and last time it was met so, in scans without a break between them; UTC,
            nanoseconds since 1970.
    """

    path: bytes
    reason: str
    files: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """What is known of a volume as a whole. Times are UTC, nanoseconds since 1970; 0 for never.

    Attributes:
        since_ns: when its first scan began.
        scan_id: the last scan that walked all of it; "" for none.
        profile: what that scan did with files; b"" for none.
        matched_ns: when all its known files had last been matched with the lists of that moment.
        running_id: the scan that began last; whether it still runs is not known here.
        files: files it had met at `progress_ns`.
        gaps: how many gaps are kept.
        more: files that are gaps, too, and were too many to be kept one by one.
        oldest_ns: since when the oldest of all these gaps is there; 0 where there is none.
    """

    since_ns: int
    scan_id: str
    profile: bytes
    matched_ns: int
    running_id: str
    files: int
    progress_ns: int
    gaps: int
    more: int
    oldest_ns: int
