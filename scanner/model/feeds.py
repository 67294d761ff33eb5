"""What a hash list says, independent of its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# An entry of a format that has no categories: being listed is the whole statement.
LISTED = "listed"


class Polarity(StrEnum):
    ILLEGAL = "illegal"
    BENIGN = "benign"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a list: one file by one or more hashes.

    Attributes:
        hashes: (kind, raw value) pairs, lengths already checked.
        id: the publisher's id, "" if there is none.
        category: the publisher's value as text; "" where it is 0, null or absent, `LISTED` where
            the format has no categories at all.
    """

    hashes: tuple[tuple[str, bytes], ...]
    id: str = ""
    category: str = LISTED


@dataclass(slots=True)
class ImportCounts:
    """What became of a list while it was read. Mutable: the parser counts into it.

    Attributes:
        entries: records that became entries.
        hashes: values kept, by kind.
        refused: values that match harmless files, by reason (empty_input, all_zeros, all_ones).
        unsupported: values of kinds that can't be matched here, by kind (photodna, …).
        categories: entries by category.
    """

    entries: int = 0
    hashes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unsupported: dict[str, int] = field(default_factory=dict)
    categories: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedTerms:
    """What the operator says a feed means; never guessed from its content.

    Attributes:
        name: the feed's name.
        polarity: illegal, or benign (its entries never count as hits and veto others).
        categories: the publisher's values that act; None: the format's default.
        quarantine_exact, quarantine_perceptual: secure a match of that sort; else only report it.
    """

    name: str
    polarity: Polarity = Polarity.ILLEGAL
    categories: frozenset[str] | None = None
    quarantine_exact: bool = True
    quarantine_perceptual: bool = True
