"""Exact search by Hamming distance: everything within the distance is found, at any size.

Few hashes are scanned. Many are searched by multi-index hashing (Norouzi, Punjani, Fleet: "Fast Search in
Hamming Space with Multi-Index Hashing", CVPR 2012): a hash of 256 bits has 16 slots of 16 bits, and two
hashes at a distance of at most 31 = 2 * 16 - 1 differ by at most one bit in some slot. So it is enough to
look into the 17 buckets of each slot and to measure what lies there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scanner.index.layout import SLOT_BITS, STARTS, DamagedLayout

Hashes = npt.NDArray[np.uint8]  # (N, bytes of a hash)
Words = npt.NDArray[Any]  # (N, words of a hash), unsigned
Rows = npt.NDArray[np.intp]
Strategy = Literal["auto", "scan", "tables"]

TABLES_SIZE = 32  # bytes of a hash that gets tables: 16 slots
TABLES_DISTANCE = 31  # bits: beyond it two bits of a slot would have to be tried, 8 times the buckets
# Measured: tables and scan meet at about 4,000 hashes (0.035 ms); at this many, tables are four times as
# fast, which is worth the 4 MB + 64 bytes a hash that they add to the file.
TABLES_FROM = 16384
# If more than this share of all rows would be candidates (a list of look-alikes), a scan costs less memory.
_MOST_CANDIDATES = 0.25
_PAIRS_CHUNK = 1 << 17  # pairs at a time: 1 MB of XORed words, so temporaries stay in the processor's cache
_SCANNED = 64  # values measured at a time
_PROBED = 16  # values looked up at a time: 4352 buckets
_CANDIDATES = 1 << 15  # rows measured at a time: 1 MB


def as_words(hashes: Hashes) -> Words:
    """Hashes in the widest words they divide into; order of bytes does not matter for a distance."""
    return hashes.view("<u8" if hashes.shape[1] % 8 == 0 else "u1")


def distances(words: Words, value: Words) -> npt.NDArray[np.uint16]:
    """Hamming distance in bits of each row from one value, or from its own."""
    bits: npt.NDArray[np.uint16] = np.bitwise_count(words ^ value).sum(axis=1, dtype=np.uint16)
    return bits


def slots(hashes: Hashes) -> npt.NDArray[np.uint16]:
    """Hashes cut into 16-bit slots: (N, slots)."""
    return hashes.view("<u2")


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs of a value that was asked for and a row within the distance, each once, in no order.

    Attributes:
        asked: places of the values.
        bits: distances in bits.
        rows: numbers of the rows.
    """

    asked: Rows
    bits: npt.NDArray[np.uint16]
    rows: Rows

    def once(self) -> Near:
        """Without repeated pairs: a row turns up once for each slot that it shares with the value."""
        if len(self.rows) < 2:
            return self
        order = np.lexsort((self.rows, self.asked))
        asked, rows = self.asked[order], self.rows[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (asked[1:] != asked[:-1]) | (rows[1:] != rows[:-1])
        return Near(asked[first], self.bits[order][first], rows[first])


def joined(found: Sequence[Near]) -> Near:
    """Several answers as one."""
    if len(found) == 1:
        return found[0]
    return Near(
        np.concatenate([np.empty(0, dtype=np.intp), *(near.asked for near in found)]),
        np.concatenate([np.empty(0, dtype=np.uint16), *(near.bits for near in found)]),
        np.concatenate([np.empty(0, dtype=np.intp), *(near.rows for near in found)]),
    )


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
        hashes = np.frombuffer(value, dtype=np.uint8).reshape(1, -1)
        found = joined(list(self.near_many(hashes, max_distance, strategy)))
        return found.bits, found.rows

    def near_many(self, values: Hashes, max_distance: int, strategy: Strategy = "auto") -> Iterator[Near]:
        """The same for many values at once, which takes less time than asking for each.

        Args:
            values: (M, bytes).

        Returns:
            pairs of a value and a row, each once, in parts of bounded size and no order.

        Raises:
            RuntimeError, IndexError: as `near`.
        """
        wanted = as_words(np.ascontiguousarray(values))
        every = np.arange(len(wanted))
        if strategy == "scan" or not (self.has_tables and max_distance <= TABLES_DISTANCE):
            if strategy == "tables":
                raise RuntimeError("there are no tables for this kind, number of hashes or distance")
            for first in range(0, len(wanted), _SCANNED):
                yield from self._scan(wanted, every[first : first + _SCANNED], max_distance)
        else:
            for first in range(0, len(wanted), _PROBED):
                yield from self._probed(wanted, every[first : first + _PROBED], max_distance, strategy)

    def _scan(self, wanted: Words, asked: Rows, max_distance: int) -> Iterator[Near]:
        """Measures every row against some of the values, at least one."""
        chosen = wanted[asked]
        step = max(1, _PAIRS_CHUNK // len(chosen))
        for start in range(0, len(self._words), step):
            # Word by word, so that rows lie one after another: half the time.
            columns = np.ascontiguousarray(self._words[start : start + step].T)
            # Adding bytes wraps at 256, so this may let far rows through and never drops a near one:
            # what is left is measured again below. Wider sums take twice as long.
            bits = np.bitwise_count(chosen[:, 0, None] ^ columns[0])
            for word in range(1, len(columns)):
                bits += np.bitwise_count(chosen[:, word, None] ^ columns[word])
            if bits.min() <= max_distance:
                at, rows = np.nonzero(bits <= max_distance)
                yield self._measured(wanted, asked[at], rows + start, max_distance)

    def _measured(self, wanted: Words, asked: Rows, rows: Rows, max_distance: int) -> Near:
        """Those of the pairs of a value and a row that are within the distance."""
        bits = distances(self._words[rows], wanted[asked])
        within = bits <= max_distance
        return Near(asked[within], bits[within], rows[within])

    def _probed(self, wanted: Words, asked: Rows, max_distance: int, strategy: Strategy) -> Iterator[Near]:
        """Measures the rows in the 17 buckets of every slot, or all rows where these are too many."""
        assert self._order is not None and self._starts is not None
        total = len(self._words)
        slot = np.arange(self._starts.shape[0])[:, None]
        buckets = wanted[asked].view("<u2")[:, :, None] ^ self._flips
        low = self._starts[slot, buckets].astype(np.intp)
        lengths = (self._starts[slot, buckets.astype(np.intp) + 1] - low).reshape(len(asked), -1)
        low = (low + slot * total).reshape(len(asked), -1)
        candidates = lengths.sum(axis=1)
        if strategy != "tables":
            many = candidates > total * _MOST_CANDIDATES
            if many.any():
                yield from self._scan(wanted, asked[many], max_distance)
                asked, low, lengths, candidates = (
                    part[~many] for part in (asked, low, lengths, candidates)
                )  # fmt: skip
        for some in _in_runs(candidates, _CANDIDATES):
            of_run = lengths[some].ravel()
            ends = np.cumsum(of_run)
            at = np.repeat(low[some].ravel() - (ends - of_run), of_run) + np.arange(ends[-1])
            rows = self._order[at].astype(np.intp)
            near = self._measured(wanted, np.repeat(asked[some], candidates[some]), rows, max_distance)
            yield near.once()


def _in_runs(numbers: Rows, most: int) -> Iterator[slice]:
    """Cuts numbers into runs with a sum of at most so much; a number that is larger has one of its own."""
    first = total = 0
    for i, number in enumerate(numbers.tolist()):
        if i > first and total + number > most:
            yield slice(first, i)
            first, total = i, 0
        total += number
    if len(numbers) > first:
        yield slice(first, len(numbers))


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
