"""Exact search by Hamming distance: everything within the distance is found, at any size.

Few hashes are scanned. Of many those are measured that slot tables name; see `scanner.index.shapes`. Both are
done by the extension (`scanner.index.native`) where it was built, by NumPy elsewhere, with the same answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scanner.index.hamming import PAIRS_CHUNK, Hashes, Words, as_words, distance_bytes
from scanner.index.native import LARGEST_ROW, LARGEST_SIZE, NativeSearch, columns, native_search
from scanner.index.probing import Rows, SlotTables

Strategy = Literal["auto", "scan", "tables"]

TABLES_SIZE = 32  # bytes of a hash that gets tables
TABLES_DISTANCE = 31  # bits: beyond it another bit of a slot would have to be tried, 8 times the buckets
# Measured: tables and scan meet at about 4,000 hashes (0.035 ms); at this many, tables are four times as
# fast, which is worth the 4 MB + 64 bytes a hash that they add to the file.
TABLES_FROM = 16384
# If more than this share of all rows would be candidates (a list of look-alikes), a scan costs less memory.
_MOST_CANDIDATES = 0.25
_MOST_CANDIDATES_NATIVE = 0.125  # to look a row up takes the extension some eight times as long as to scan it
_SCANNED = 64  # values measured at a time
_PROBED = 16  # values looked up at a time: some 40,000 buckets at most
_SCANNED_PAIRS = 1 << 24  # measured in a call of the extension: some 20 ms

_NATIVE = native_search()


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
        tables: of these hashes, or None.
        native: by the extension, where it was built.
    """

    __slots__ = ("_native", "_words", "hashes", "tables")

    def __init__(self, hashes: Hashes, tables: SlotTables | None = None, *, native: bool = True) -> None:
        self.hashes = hashes
        self.tables = tables
        self._words = as_words(hashes)
        fits = len(hashes) <= LARGEST_ROW and hashes.shape[1] <= LARGEST_SIZE
        self._native = _NATIVE if native and fits else None

    @property
    def has_tables(self) -> bool:
        return self.tables is not None

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
        if max_distance < 0:
            return
        wanted = as_words(np.ascontiguousarray(values))
        every = np.arange(len(wanted))
        if strategy == "scan" or not (self.has_tables and max_distance <= TABLES_DISTANCE):
            if strategy == "tables":
                raise RuntimeError("there are no tables for this kind, number of hashes or distance")
            for first in range(0, len(wanted), _SCANNED):
                yield from self._scan(wanted, every[first : first + _SCANNED], max_distance)
        else:
            for first in range(0, len(wanted), _PROBED):
                asked = every[first : first + _PROBED]
                if self._native is not None:
                    yield from self._probed_natively(self._native, wanted, asked, max_distance, strategy)
                else:
                    yield from self._probed(wanted, asked, max_distance, strategy)

    def _scan(self, wanted: Words, asked: Rows, max_distance: int) -> Iterator[Near]:
        """Measures every row against some of the values, at least one."""
        chosen = wanted[asked]
        if self._native is not None:
            yield from self._scan_natively(self._native, chosen, asked, max_distance)
            return
        step = max(1, PAIRS_CHUNK // len(chosen))
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

    def _scan_natively(
        self, native: NativeSearch, chosen: Words, asked: Rows, max_distance: int
    ) -> Iterator[Near]:
        row, rows, step = 0, len(self.hashes), max(1, _SCANNED_PAIRS // len(chosen))
        while row < rows:
            end = min(rows, row + step)
            answer, row = native.scan(self.hashes, chosen, self.hashes.shape[1], max_distance, row, end)
            if answer:
                yield _near(answer, asked)

    def _measured(self, wanted: Words, asked: Rows, rows: Rows, max_distance: int) -> Near:
        """Those of the pairs of a value and a row that are within the distance."""
        words = self._words.take(rows, axis=0)
        words ^= wanted[0] if len(wanted) == 1 else wanted.take(asked, axis=0)
        within = np.flatnonzero(distance_bytes(np.bitwise_count(words)) <= max_distance)
        if len(within):
            bits = np.bitwise_count(words[within]).sum(axis=1, dtype=np.uint16)
            within, bits = within[bits <= max_distance], bits[bits <= max_distance]
        else:
            bits = np.empty(0, dtype=np.uint16)
        return Near(asked[within], bits, rows[within])

    def _probed(self, wanted: Words, asked: Rows, max_distance: int, strategy: Strategy) -> Iterator[Near]:
        """Measures the rows that the tables name, or all rows where these are too many."""
        assert self.tables is not None
        hashes = wanted[asked].view(np.uint8)
        buckets = self.tables.buckets(hashes, max_distance)
        if strategy != "tables":
            many = buckets.candidates > len(self._words) * _MOST_CANDIDATES
            if many.any():
                yield from self._scan(wanted, asked[many], max_distance)
                asked, buckets = asked[~many], buckets.of(~many)
        for some in buckets.runs():
            place, rows = self.tables.rows(buckets, some)
            yield self._measured(wanted, asked[some][place], rows, max_distance).once()

    def _probed_natively(
        self, native: NativeSearch, wanted: Words, asked: Rows, max_distance: int, strategy: Strategy
    ) -> Iterator[Near]:
        assert self.tables is not None
        most = sys.maxsize if strategy == "tables" else int(len(self.hashes) * _MOST_CANDIDATES_NATIVE)
        answer, many = native.probe(self.hashes, *self.tables.parts, wanted[asked], max_distance, most)
        if answer:
            yield _near(answer, asked)
        if many:
            if strategy == "tables":
                yield from self._probed(wanted, asked[many], max_distance, strategy)
            else:
                yield from self._scan(wanted, asked[many], max_distance)


def _near(answer: bytes, asked: Rows) -> Near:
    places, bits, rows = columns(answer)
    return Near(asked[places], bits, rows)
