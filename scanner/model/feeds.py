"""What a hash list says, independent of its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import repeat

# An entry of a format that has no categories: being listed is the whole statement.
LISTED = "listed"


class Polarity(StrEnum):
    ILLEGAL = "illegal"
    BENIGN = "benign"


@dataclass(frozen=True, slots=True)
class About:
    """What some publishers tell of an entry besides its category; all of it is theirs, and as they write it.

    Attributes:
        severity: how grave, in the publisher's own scale, "" where it says nothing.
        labels: further words on it.
        added_ns: when it came onto the list, 0 where that is not told.
        removed_ns: from when on it is no longer asserted; 0: no end is known. Such an entry is kept, and
            stops to act at that time.
        source: who reported it, or where it is described.
    """

    severity: str = ""
    labels: tuple[str, ...] = ()
    added_ns: int = 0
    removed_ns: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a list: one file by one or more hashes.

    Attributes:
        hashes: (kind, raw value) pairs, lengths already checked.
        id: the publisher's id, "" if there is none.
        category: the publisher's value as text; "" where it is 0, null or absent, `LISTED` where
            the format has no categories at all.
        key: what tells this record from all others of the feed when it is changed or removed later: the
            member and its id, say. Of several records with one key only the newest counts. "": the list
            is never changed piece by piece.
        changed_ns: when the record was last changed by the publisher's clock; of two with one key the later
            one is the newer, of equal ones that which comes later.
        about: what else is told of it, None for nothing.
    """

    hashes: tuple[tuple[str, bytes], ...]
    id: str = ""
    category: str = LISTED
    key: str = ""
    changed_ns: int = 0
    about: About | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """A publisher takes back one record: a tombstone. Records of other keys with the same hash stay.

    Attributes:
        key: as in `Entry`.
        changed_ns: as in `Entry`; of an entry and a removal of the same time the removal counts.
    """

    key: str
    changed_ns: int = 0


@dataclass(frozen=True, slots=True)
class Packed:
    """Many entries of one hash each and nothing else, for formats of which speed matters.

    Attributes:
        kind: hash kind.
        values: the raw values one after another; checked as `admit` does, and counted.
        category: of all of them.
    """

    kind: str
    values: bytes
    category: str = LISTED


@dataclass(frozen=True, slots=True)
class Rows:
    """Many entries that have the same kinds of hashes, column by column, for formats of which speed matters.

    Attributes:
        hashes: (kind, the raw values of all entries one after another); checked and counted, no kind twice.
        categories: of each entry; their number is that of the entries.
        ids: of each entry; empty where none of them has one.
    """

    hashes: tuple[tuple[str, bytes], ...]
    categories: Sequence[str]
    ids: Sequence[str] = ()


Item = Entry | Removal | Packed | Rows
"""What a format makes of a list."""


def entries_of(item: Item, sizes: Mapping[str, int]) -> Iterator[Entry]:
    """The single entries of an item; of a removal there are none.

    Args:
        sizes: bytes of a value, by kind.
    """
    if isinstance(item, Entry):
        yield item
    elif isinstance(item, Packed):
        size = sizes[item.kind]
        for i in range(0, len(item.values), size):
            yield Entry(((item.kind, item.values[i : i + size]),), "", item.category)
    elif isinstance(item, Rows):
        columns = [
            [(kind, values[i : i + sizes[kind]]) for i in range(0, len(values), sizes[kind])]
            for kind, values in item.hashes
        ]
        ids = item.ids or repeat("")
        for hashes, category, own in zip(zip(*columns, strict=True), item.categories, ids, strict=False):
            yield Entry(hashes, own, category)


@dataclass(slots=True)
class ImportCounts:
    """What became of a list while it was read. Mutable: the parser counts into it.

    Attributes:
        entries: records that became entries.
        removals: tombstones.
        malformed: records that were not as the format says and were left out.
        first_malformed: where the first of them is, and what is wrong with it; never a hash.
        hashes: values kept, by kind.
        refused: values that match harmless files, by reason (empty_input, all_zeros, all_ones).
        unsupported: values of kinds that can't be matched here, by kind (photodna, …).
        categories: entries by category.
    """

    entries: int = 0
    removals: int = 0
    malformed: int = 0
    first_malformed: str = ""
    hashes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unsupported: dict[str, int] = field(default_factory=dict)
    categories: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Band:
    """What is done with a match by a perceptual hash that is no further than this.

    Attributes:
        secure: secure the file; else only report it.
        max_distance: bits, inclusive; None: as far as matching goes.
        kind: the hash kind it speaks of, "" for any: `max_distance` is in bits of 256 then, and of a hash of
            another length it is as large a share.
        min_quality: 0-100; the file's hash has at least this.
        views: what may be said of the view (`scanner.model.views.words`), None for anything. Of a turned box
            both have to be named.
    """

    secure: bool
    max_distance: int | None = None
    kind: str = ""
    min_quality: int = 0
    views: frozenset[str] | None = None

    def limit(self, bits: int) -> int:
        """The largest distance for a hash of so many bits."""
        if self.max_distance is None:
            return bits
        return self.max_distance if self.kind else self.max_distance * bits // BAND_BITS


# What the distance of a band without a kind is measured against: the length of PDQ.
BAND_BITS = 256
ALL_SECURED, ALL_REPORTED = (Band(secure=True),), (Band(secure=False),)


@dataclass(frozen=True, slots=True)
class FeedTerms:
    """What the operator says a feed means; never guessed from its content.

    Attributes:
        name: the feed's name.
        polarity: illegal, or benign (its entries never count as hits and veto others).
        categories: the publisher's values that act; None: the format's default.
        quarantine_exact: secure a match by an exact hash; else only report it.
        bands: what is done with one by a perceptual hash: the first that holds decides, and beyond all of
            them it is only reported.
    """

    name: str
    polarity: Polarity = Polarity.ILLEGAL
    categories: frozenset[str] | None = None
    quarantine_exact: bool = True
    bands: tuple[Band, ...] = ALL_SECURED
