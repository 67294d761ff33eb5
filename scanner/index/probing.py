"""The tables of hashes by their slot values, and which rows they name for a value that is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scanner.index.hamming import in_runs
from scanner.index.layout import DamagedLayout
from scanner.index.shapes import Shape, pack_shape, probes

Rows = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.uint32]

# Rows at a time: some 256 KB of numbers, and the measuring of what is left of them stays in the cache, too.
_CANDIDATES = 1 << 15


class SlotTables:
    """Rows by slot value.

    Args:
        shape: how hashes are cut.
        count: of rows.
        words: (slots * count,) for each slot its rows by bucket: row << check bits | check.
        starts: (slots, buckets + 1) where each bucket begins in the slot's part of `words`, checked.

    Attributes:
        parts: the same for the extension: rows, beginnings, the shape as it is packed, its `positions`.

    Raises:
        DamagedLayout: the tables don't have these lengths.
    """

    __slots__ = (
        *("_bases", "_check", "_left", "_offsets", "_probes", "_starts", "_words"),
        *("count", "parts", "shape"),
    )

    def __init__(self, shape: Shape, count: int, words: Numbers, starts: Numbers) -> None:
        slots, check = len(shape.widths), shape.check_bits
        if len(words) != slots * count or starts.shape != (slots, shape.buckets + 1):
            raise DamagedLayout("a slot table has the wrong length")
        self.shape, self.count = shape, count
        self._words, self._starts = words, starts.reshape(-1)
        self.parts = (self._words, self._starts, pack_shape(shape), shape.positions())
        self._probes = probes(shape)
        self._bases = self._probes.slot * (shape.buckets + 1)
        self._offsets = self._probes.slot * count
        self._check = np.array([width - shape.bucket_bits for width in shape.widths], dtype=np.uint32)
        # Whether a check may differ by these bits where so many are left: [left << check bits | differing]
        bits = np.bitwise_count(np.arange(1 << check, dtype=np.uint32))
        self._left = (bits[None, :] <= np.arange(shape.radius + 1)[:, None]).ravel()

    def buckets(self, hashes: npt.NDArray[np.uint8], max_distance: int) -> Buckets:
        """Where the rows are that may be within a distance of at most 31 of some (M, 32) hashes."""
        keys = self.shape.keys(hashes).T
        # The narrower slots' checks have fewer bits; they stand lowest.
        checks = keys & ((np.uint32(1) << self._check) - np.uint32(1))
        flipped = (keys >> self._check).take(self._probes.slot, axis=1) ^ self._probes.flips
        at: Rows = flipped + self._bases
        low = self._starts.take(at)
        at += 1
        lengths = self._starts.take(at) - low
        self._leave_out(lengths, max_distance)
        expected = checks.take(self._probes.slot, axis=1) | (self._probes.left << self.shape.check_bits)
        return Buckets(low + self._offsets, lengths.astype(np.intp), expected)

    def _leave_out(self, lengths: Numbers, max_distance: int) -> None:
        """Set the lengths of the most crowded buckets to 0 that need not be looked at."""
        radii = self.shape.radius + 1
        spare = len(self.shape.widths) * radii - (max_distance + 1)
        if not spare:
            return
        counts = np.add.reduceat(lengths, self._probes.shells, axis=1, dtype=np.int64)
        # A slot's radius shrinks from without, so no shell may seem smaller than one within it.
        by_slot = np.maximum.accumulate(counts.reshape(len(counts), -1, radii), axis=2)
        crowd = by_slot.reshape(len(counts), -1) * radii + np.tile(np.arange(radii), len(self.shape.widths))
        out = np.argsort(crowd, axis=1)[:, -spare:]
        keep = np.ones(counts.shape, dtype=np.uint32)
        np.put_along_axis(keep, out, 0, axis=1)
        lengths *= keep.take(self._probes.shell, axis=1)

    def rows(self, buckets: Buckets, some: slice) -> tuple[Rows, Rows]:
        """The rows in the buckets of some of the values, by their check, and which of these values for each.

        Raises:
            IndexError: a damaged table leads out of itself.
        """
        lengths = buckets.lengths[some]
        of_run = lengths.ravel()
        ends = np.cumsum(of_run)
        at = np.repeat(buckets.low[some].ravel() - (ends - of_run), of_run)
        at += np.arange(len(at))
        words = self._words.take(at)
        asked = np.repeat(np.arange(len(lengths)), lengths.sum(axis=1)) if len(lengths) > 1 else None
        bits = self.shape.check_bits
        if bits:
            expected = np.repeat(buckets.expected[some].ravel(), of_run)
            expected ^= words & np.uint32((1 << bits) - 1)
            right = np.flatnonzero(self._left.take(expected))
            words = words.take(right) >> np.uint32(bits)
            asked = None if asked is None else asked.take(right)
        if asked is None:
            asked = np.zeros(len(words), dtype=np.intp)
        return asked, words.astype(np.intp)


class Buckets:
    """What is to be looked at for each of some values: (values, probes) where the buckets begin, how long
    they are, and which check their rows must have."""

    __slots__ = ("candidates", "expected", "lengths", "low")

    def __init__(self, low: Rows, lengths: Rows, expected: Rows) -> None:
        self.low, self.lengths, self.expected = low, lengths, expected
        self.candidates = lengths.sum(axis=1)

    def of(self, which: npt.NDArray[np.bool_]) -> Buckets:
        """Those of some of the values."""
        return Buckets(self.low[which], self.lengths[which], self.expected[which])

    def runs(self) -> Iterator[slice]:
        """The values in runs of a bounded number of rows; one that has more is a run of its own."""
        return in_runs(self.candidates, _CANDIDATES)
