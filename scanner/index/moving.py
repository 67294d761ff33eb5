"""The slot tables of a list that was changed a little, made out of those it had.

Each row gets a new number, as rows stand in the order of their values. But they stay in their buckets: none
has to be cut into slots or sorted again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.index.exact import Keys
from scanner.index.layout import DamagedLayout
from scanner.index.mapped import MappedColumn
from scanner.index.native import native_search
from scanner.index.shapes import Shape
from scanner.index.slots import MOST, ranges

_GONE = 2**32 - 1  # no row's number
# Rows of a slot at a time, but for buckets with more: 1 MB of words, and what is made of them stays in the
# cache. Eight million at a time took three times as long.
_WORDS = 1 << 18

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
_Numbers = npt.NDArray[np.uint32]

_NATIVE = native_search()


@dataclass(frozen=True, slots=True)
class _Fresh:
    """New rows of a slot, in the order of its table.

    Attributes:
        buckets: where they go.
        words: what stands there.
        behind: the old row, by its old number, that comes after each in the list.
    """

    buckets: _Numbers
    words: _Numbers
    behind: _Numbers

    def part(self, low: int, high: int) -> _Fresh:
        """Some of them."""
        return _Fresh(self.buckets[low:high], self.words[low:high], self.behind[low:high])


class MovedTables:
    """Takes the values of the new list in order; gives its tables. Five bytes a value are in memory for that.

    Args:
        shape: of the tables.
        words: those of the old list.
        starts: likewise, (slots, buckets + 1), checked.
        native: by the extension, where it was built.
    """

    def __init__(
        self, shape: Shape, words: MappedColumn, starts: npt.NDArray[np.uint32], *, native: bool = True
    ) -> None:
        self._native = native
        self._shape = shape
        self._words = words
        self._old = starts
        self._stay: list[Mask] = []
        self._places: list[npt.NDArray[np.uint32]] = []
        self._new: list[npt.NDArray[np.uint32]] = []
        self._rows: list[npt.NDArray[np.uint32]] = []
        self._count = 0
        self._starts: list[npt.NDArray[np.uint32]] = []

    def staying(self, stay: Mask) -> None:
        """Say of the next rows of the old list which of them stay."""
        self._stay.append(stay)

    def add(self, keys: Keys, known: Mask) -> None:
        """Take the next values, and which of them are of the old list."""
        numbers = np.arange(self._count, self._count + len(keys), dtype=np.uint32)
        self._count += len(keys)
        self._places.append(numbers[known])
        if not known.all():
            fresh = np.ascontiguousarray(keys[~known]).view(np.uint8).reshape(-1, keys.dtype.itemsize)
            self._new.append(self._shape.keys(fresh))
            self._rows.append(numbers[~known])

    def words(self) -> Iterator[memoryview]:
        """As of `SlotBuilder`.

        Raises:
            DamagedLayout, IndexError: the old list's numbers lead nowhere.
        """
        moved, behind = self._moved()
        slots = len(self._shape.widths)
        keys = np.concatenate(self._new, axis=1) if self._new else np.empty((slots, 0), dtype=np.uint32)
        rows = np.concatenate([np.empty(0, dtype=np.uint32), *self._rows])
        bits = np.uint32(self._shape.check_bits)
        for slot, width in enumerate(self._shape.widths):
            check = np.uint32(width - self._shape.bucket_bits)
            buckets = keys[slot] >> check
            order = np.argsort(buckets, kind="stable")
            fresh = _Fresh(
                buckets[order],
                ((rows << bits) | (keys[slot] & _mask(int(check))))[order],
                behind[order],
            )
            old = self._old[slot]
            counts = np.diff(old)
            filled, more = np.unique(fresh.buckets, return_counts=True)
            counts[filled] += more.astype(np.uint32)
            for first, end in ranges(old, _WORDS):
                low, high = np.searchsorted(fresh.buckets, (first, end))
                yield self._joined(slot, first, end, moved, fresh.part(low, high), counts)
            starts = np.zeros(self._shape.buckets + 1, dtype="<u4")
            np.cumsum(counts, out=starts[1:], dtype=np.uint32)
            self._starts.append(starts)

    def _moved(self) -> tuple[_Numbers, _Numbers]:
        """Each old row's new number, `_GONE` where it doesn't stay, and the old row behind each new one."""
        rows = np.concatenate([np.empty(0, dtype=np.uint32), *self._rows])
        places = np.concatenate([np.empty(0, dtype=np.uint32), *self._places])
        moved = np.full(sum(map(len, self._stay)), _GONE, dtype=np.uint32)
        behind = np.full(len(rows), len(moved), dtype=np.uint32)
        staying = np.searchsorted(places, rows)  # how many of those that stay come before
        start = seen = 0
        for stay in self._stay:
            here = np.flatnonzero(stay)
            if seen + len(here) > len(places):
                raise DamagedLayout("its rows and entries don't belong together")
            moved[start + here] = places[seen : seen + len(here)]
            low, high = np.searchsorted(staying, (seen, seen + len(here)))
            behind[low:high] = start + here[staying[low:high] - seen]
            start, seen = start + len(stay), seen + len(here)
        if seen != len(places):
            raise DamagedLayout("its rows and entries don't belong together")
        self._stay.clear()
        self._places.clear()
        return moved, behind

    def _joined(
        self, slot: int, first: int, end: int, moved: _Numbers, fresh: _Fresh, counts: _Numbers
    ) -> memoryview:
        """The words of some buckets of a slot; takes from the counts of buckets what doesn't stay."""
        starts = self._old[slot, first : end + 1] - self._old[slot, first]
        at = slot * len(moved) + int(self._old[slot, first])
        bits = self._shape.check_bits
        old = self._words.slice(at, at + int(starts[-1]))
        words, gone = _renumbered(old, moved, bits, native=self._native)
        places = np.empty(0, dtype=np.intp)
        if len(fresh.buckets):
            inside = fresh.buckets - np.uint32(first)
            places = _places(old, np.uint32(bits), starts[inside], starts[inside + 1], fresh.behind)
        self._words.forget_rows(at, at + int(starts[-1]))
        if len(gone):
            buckets = np.searchsorted(starts, gone, side="right") - 1
            counts[first:end] -= np.bincount(buckets, minlength=end - first).astype(np.uint32)
            places = places - np.searchsorted(gone, places)
            words = np.delete(words, gone)
        return (np.insert(words, places, fresh.words) if len(places) else words).view(np.uint8).data

    def starts(self) -> Iterator[memoryview]:
        """As of `SlotBuilder`."""
        for starts in self._starts:
            yield starts.view(np.uint8).data


def _renumbered(old: _Numbers, moved: _Numbers, bits: int, *, native: bool) -> tuple[_Numbers, Rows]:
    """Words with the new numbers of their rows, and which of these have none."""
    if _NATIVE is not None and native:
        renumbered, places = _NATIVE.renumber(old, moved, bits)
        return np.frombuffer(renumbered, dtype="<u4"), np.frombuffer(places, dtype="<u4").astype(np.intp)
    words = moved.take(old >> np.uint32(bits))
    gone = np.flatnonzero(words == _GONE)
    words <<= np.uint32(bits)
    words |= old & _mask(bits)
    return words, gone


def _places(old: _Numbers, bits: np.uint32, low: _Numbers, high: _Numbers, wanted: _Numbers) -> Rows:
    """Where each wanted row, or the first after it, stands in its part of `old`, whose rows are in order."""
    left: Rows = low.astype(np.intp)
    right: Rows = high.astype(np.intp)
    while len(apart := np.flatnonzero(left < right)):
        middle = (left[apart] + right[apart]) // 2
        less = old.take(middle) >> bits < wanted[apart]
        left[apart[less]] = middle[less] + 1
        right[apart[~less]] = middle[~less]
    return left


def movable(starts: npt.NDArray[np.uint32], old: int, new: int) -> bool:
    """Whether moving is worth it and has bounded memory: few new rows, and no bucket with too many."""
    return new <= old // 2 and max(int(np.diff(slot).max()) for slot in starts) <= MOST


def _mask(bits: int) -> np.uint32:
    return np.uint32((1 << bits) - 1)
