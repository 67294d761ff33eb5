"""Many values of one kind at a time, for formats of millions of records that hold nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from scanner.feeds.batches import admit_packed
from scanner.model.feeds import LISTED, ImportCounts, Packed

# Values remembered as just met: lists of software name a file once for each product that has it, mostly in a
# row. What comes again later costs some bytes in the index and nothing else.
_REMEMBERED = 1 << 17


class Batches:
    """Drops what harmless files have and what came a moment ago, counts the rest, and packs it.

    Args:
        kind: of all values.
        distinct: drop values that came a moment ago; where each record is an entry of its own, don't.
    """

    def __init__(self, kind: str, counts: ImportCounts, *, distinct: bool = False) -> None:
        self._kind = kind
        self._counts = counts
        self._seen: set[bytes] | None = set() if distinct else None

    def pack(self, values: Iterable[bytes]) -> Packed | None:
        """The next values, each of the kind's length; None where none of them remains."""
        kept = list(values)
        if self._seen is not None:
            seen = self._seen
            kept = [v for v in dict.fromkeys(kept) if v not in seen]
            if len(seen) > _REMEMBERED:
                seen.clear()
            seen.update(kept)
        return admit_packed(self._kind, b"".join(kept), LISTED, self._counts)
