"""Exact search by Hamming distance: everything within the distance is found, at any size.

Few hashes are scanned. Many are searched by multi-index hashing (Norouzi, Punjani, Fleet: "Fast Search in
Hamming Space with Multi-Index Hashing", CVPR 2012): a hash of 256 bits has 16 slots of 16 bits, and two
hashes at a distance of at most 31 = 2 * 16 - 1 differ by at most one bit in some slot. So it is enough to
look into the 17 buckets of each slot and to measure what lies there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scanner.index.layout import SLOT_BITS, STARTS, DamagedLayout

Hashes = npt.NDArray[np.uint8]  # (N, bytes of a hash)
Words = npt.NDArray[Any]  # (N, words of a hash), unsigned
Strategy = Literal["auto", "scan", "tables"]

TABLES_SIZE = 32  # bytes of a hash that gets tables: 16 slots
TABLES_DISTANCE = 31  # bits: beyond it two bits of a slot would have to be tried, 8 times the buckets
# Measured: tables and scan meet at about 4,000 hashes (0.035 ms); at this many, tables are four times as
# fast, which is worth the 4 MB + 64 bytes a hash that they add to the file.
TABLES_FROM = 16384
# If more than this share of all rows would be candidates (a list of look-alikes), a scan costs less memory.
_MOST_CANDIDATES = 0.25
_SCAN_CHUNK = 32768  # rows at a time: 1 MB of hashes, so temporaries stay in the processor's cache
_PAIRS_CHUNK = 1 << 18  # pairs at a time: 2 MB of XORed words


def as_words(hashes: Hashes) -> Words:
    """Hashes in the widest words they divide into; order of bytes does not matter for a distance."""
    return hashes.view("<u8" if hashes.shape[1] % 8 == 0 else "u1")


def distances(words: Words, value: Words) -> npt.NDArray[np.uint16]:
    """Hamming distance in bits of each row from one value."""
    bits: npt.NDArray[np.uint16] = np.bitwise_count(words ^ value).sum(axis=1, dtype=np.uint16)
    return bits


def slots(hashes: Hashes) -> npt.NDArray[np.uint16]:
    """Hashes cut into 16-bit slots: (N, slots)."""
    return hashes.view("<u2")


class PerceptualTable:
    """Hashes of one kind and, for many of them, their slot tables.

    Args:
        hashes: (N, bytes); usually a view of the mapped file.
        order: (slots * N,) rows by slot and slot value, or None.
        starts: (slots, `STARTS`) bucket starts within each slot's part of `order`, checked, or None.
    """

    __slots__ = ("_flips", "_order", "_starts", "_words", "hashes")

    def __init__(
        self,
        hashes: Hashes,
        order: npt.NDArray[np.uint32] | None = None,
        starts: npt.NDArray[np.uint32] | None = None,
    ) -> None:
        self.hashes = hashes
        self._words = as_words(hashes)
        self._order = order
        self._starts = starts
        self._flips = np.array([0, *(1 << bit for bit in range(SLOT_BITS))], dtype=np.uint16)

    @property
    def has_tables(self) -> bool:
        return self._order is not None

    def near(
        self, value: bytes, max_distance: int, strategy: Strategy = "auto"
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.intp]]:
        """All rows within the distance, in no order.

        Returns:
            their distances in bits, and their row numbers.

        Raises:
            RuntimeError: "tables" was demanded and can't serve this.
            IndexError: a damaged table names a row that isn't there.
        """
        wanted = as_words(np.frombuffer(value, dtype=np.uint8).reshape(1, -1))[0]
        if strategy == "scan" or not (self.has_tables and max_distance <= TABLES_DISTANCE):
            if strategy == "tables":
                raise RuntimeError("there are no tables for this kind, number of hashes or distance")
            return self._scan(wanted, max_distance)
        rows = self._candidates(np.frombuffer(value, dtype="<u2"), demanded=strategy == "tables")
        if rows is None:
            return self._scan(wanted, max_distance)
        bits = distances(self._words[rows], wanted)
        within = bits <= max_distance
        # A row turns up once for each slot it shares with the value.
        near, first = np.unique(rows[within], return_index=True)
        return bits[within][first], near

    def _scan(self, wanted: Words, max_distance: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.intp]]:
        found = [np.empty(0, dtype=np.intp)]
        for start in range(0, len(self._words), _SCAN_CHUNK):
            counts = np.bitwise_count(self._words[start : start + _SCAN_CHUNK] ^ wanted)
            # Adding bytes wraps at 256, so this may let far rows through and never drops a near one:
            # what is left is measured again below. Wider sums take twice as long.
            bits = counts[:, 0].copy()
            for word in range(1, counts.shape[1]):
                bits += counts[:, word]
            found.append(np.flatnonzero(bits <= max_distance) + start)
        rows = np.concatenate(found)
        exact = distances(self._words[rows], wanted)
        within = exact <= max_distance
        return exact[within], rows[within]

    def _candidates(self, wanted: npt.NDArray[np.uint16], *, demanded: bool) -> npt.NDArray[np.intp] | None:
        """Rows in the 17 buckets of every slot; None where these are too many to be worth it."""
        assert self._order is not None and self._starts is not None
        total = len(self._words)
        buckets = (wanted[:, None] ^ self._flips[None, :]).astype(np.intp)
        slot = np.arange(len(wanted))[:, None]
        low = self._starts[slot, buckets].astype(np.intp)
        lengths = (self._starts[slot, buckets + 1] - low).ravel()
        low = (low + slot * total).ravel()
        ends = np.cumsum(lengths)
        if ends[-1] > total * _MOST_CANDIDATES and not demanded:
            return None
        at = np.repeat(low - (ends - lengths), lengths) + np.arange(ends[-1])
        rows: npt.NDArray[np.intp] = self._order[at].astype(np.intp)
        return rows


def tables_of(
    hashes: Hashes, order: npt.NDArray[np.uint32], starts: npt.NDArray[np.uint32]
) -> PerceptualTable:
    """A table with its slot tables, whose lengths are checked here.

    Raises:
        DamagedLayout: they don't belong to these hashes.
    """
    count = hashes.shape[1] * 8 // SLOT_BITS
    if hashes.shape[1] * 8 % SLOT_BITS or len(order) != count * len(hashes) or len(starts) != count * STARTS:
        raise DamagedLayout("a slot table has the wrong length")
    return PerceptualTable(hashes, order, starts.reshape(count, STARTS))


def any_within(values: Hashes, hashes: Hashes, max_distance: int) -> npt.NDArray[np.bool_]:
    """Which of the values have some hash within the distance: every pair is measured, in bounded memory."""
    left, right = as_words(values), as_words(hashes)
    found = np.zeros(len(left), dtype=np.bool_)
    across = max(1, min(len(right), _PAIRS_CHUNK))
    down = max(1, _PAIRS_CHUNK // across)
    for j in range(0, len(right), across):
        columns = np.ascontiguousarray(right[j : j + across].T)
        for i in range(0, len(left), down):
            rows = left[i : i + down]
            bits = np.bitwise_count(rows[:, :1] ^ columns[0]).astype(np.uint16)
            for word in range(1, len(columns)):
                bits += np.bitwise_count(rows[:, word, None] ^ columns[word])
            found[i : i + down] |= (bits <= max_distance).any(axis=1)
    return found
