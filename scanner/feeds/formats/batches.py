"""Many values of one kind at a time, for formats of millions of records that hold nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scanner.feeds.checks import count, refusal
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
        kept: Sequence[bytes] = list(values)
        if self._seen is not None:
            seen = self._seen
            kept = [v for v in dict.fromkeys(kept) if v not in seen]
            if len(seen) > _REMEMBERED:
                seen.clear()
            seen.update(kept)
        if any(refusal(self._kind, v) for v in kept):
            kept = [v for v in kept if not self._refused(v)]
        if not kept:
            return None
        counts, n = self._counts, len(kept)
        counts.entries += n
        counts.hashes[self._kind] = counts.hashes.get(self._kind, 0) + n
        counts.categories[LISTED] = counts.categories.get(LISTED, 0) + n
        return Packed(self._kind, b"".join(kept))

    def _refused(self, value: bytes) -> bool:
        reason = refusal(self._kind, value)
        if reason is not None:
            count(self._counts.refused, reason)
        return reason is not None


def from_hex(texts: Sequence[bytes], size: int) -> list[bytes] | None:
    """All texts as values, in one call; None where one is no value of that many bytes."""
    if set(map(len, texts)) != {2 * size}:
        return None
    try:
        whole = bytes.fromhex(b"".join(texts).decode("ascii"))
    except ValueError:
        return None
    if len(whole) != size * len(texts):  # fromhex skips white space
        return None
    return [whole[n : n + size] for n in range(0, len(whole), size)]
