"""Every file met ends in exactly one outcome, and the sum is what the walk met."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    MATCHED = "matched"
    CLEAN = "clean"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


# Left out because the operator wants it so: the scan is complete all the same. Any other reason is
# a limit of ours, and a limit is never reported as clean.
SKIPPED_BY_CHOICE = frozenset({"not_media", "excluded", "mail_store", "own"})


@dataclass(slots=True)
class ScanCounts:
    """The book-keeping of one scan. Mutable, owned by the pipeline.

    Attributes:
        files: regular files met.
        bytes: size of the files that were hashed in this run.
        hashed: files whose content was read and hashed in this run.
        moved: files that were known by the former path of their directory; each has an outcome besides.
        skipped, failed, other: by reason, kind and type.
        directories_failed: directories whose content is unknown.
    """

    files: int = 0
    bytes: int = 0
    hashed: int = 0
    matched: int = 0
    clean: int = 0
    unchanged: int = 0
    moved: int = 0
    secured: int = 0
    unsecured: int = 0
    directories: int = 0
    directories_failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    other: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    braked: bool = False

    @property
    def errors(self) -> int:
        return sum(self.failed.values())

    @property
    def complete(self) -> bool:
        limited = any(n for reason, n in self.skipped.items() if reason not in SKIPPED_BY_CHOICE)
        return not (self.errors or self.directories_failed or limited or self.interrupted)

    @property
    def balanced(self) -> bool:
        """Conservation: nothing is lost and nothing is counted twice."""
        ended = self.matched + self.clean + self.unchanged + self.errors + sum(self.skipped.values())
        return self.files == ended

    def add(self, other: ScanCounts) -> None:
        """Add another volume's counts to these."""
        for name in ("files", "bytes", "hashed", "matched", "clean", "unchanged", "moved", "secured",
                     "unsecured", "directories", "directories_failed"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in (
            (self.skipped, other.skipped),
            (self.failed, other.failed),
            (self.other, other.other),
        ):
            for key, n in theirs.items():
                mine[key] = mine.get(key, 0) + n
        self.interrupted |= other.interrupted
        self.braked |= other.braked
