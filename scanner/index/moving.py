"""The slot tables of a list that was changed a little, made out of those it had.

Each row gets a new number, as rows stand in the order of their values. But they stay in their buckets: none
has to be cut into slots or sorted again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scanner.index.exact import Keys
from scanner.index.layout import DamagedLayout
from scanner.index.mapped import MappedColumn
from scanner.index.shapes import Shape
from scanner.index.slots import MOST, ranges

_GONE = 2**32 - 1  # no row's number
_LOW = np.uint64(32)  # where the bucket begins that stands above a row's word

Mask = npt.NDArray[np.bool_]


class MovedTables:
    """Takes the values of the new list in order; gives its tables. Five bytes a value are in memory for that.

    Args:
        shape: of the tables.
        words: those of the old list.
        starts: likewise, (slots, buckets + 1), checked.
    """

    def __init__(self, shape: Shape, words: MappedColumn, starts: npt.NDArray[np.uint32]) -> None:
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
        moved = self._moved()
        slots = len(self._shape.widths)
        keys = np.concatenate(self._new, axis=1) if self._new else np.empty((slots, 0), dtype=np.uint32)
        rows = np.concatenate([np.empty(0, dtype=np.uint32), *self._rows])
        for slot, width in enumerate(self._shape.widths):
            check = np.uint32(width - self._shape.bucket_bits)
            own = (rows << np.uint32(self._shape.check_bits)) | (keys[slot] & _mask(int(check)))
            fresh = np.sort(((keys[slot] >> check).astype(np.uint64) << _LOW) | own)
            starts = np.zeros(self._shape.buckets + 1, dtype="<u4")
            for first, end in ranges(self._old[slot]):
                low, high = np.searchsorted(fresh >> _LOW, (first, end))
                whole = self._joined(slot, first, end, moved, fresh[low:high])
                buckets = (whole >> _LOW).astype(np.intp) - first
                starts[first + 1 : end + 1] = np.bincount(buckets, minlength=end - first)
                yield np.ascontiguousarray(whole.view("<u4")[::2]).view(np.uint8).data
            np.cumsum(starts, out=starts, dtype=np.uint32)
            self._starts.append(starts)

    def _moved(self) -> npt.NDArray[np.uint32]:
        """The new number of each old row, `_GONE` where it doesn't stay."""
        stay = np.concatenate([np.empty(0, dtype=np.bool_), *self._stay])
        places = np.concatenate([np.empty(0, dtype=np.uint32), *self._places])
        if np.count_nonzero(stay) != len(places):
            raise DamagedLayout("its rows and entries don't belong together")
        moved = np.full(len(stay), _GONE, dtype=np.uint32)
        moved[stay] = places
        self._stay.clear()
        self._places.clear()
        return moved

    def _joined(
        self,
        slot: int,
        first: int,
        end: int,
        moved: npt.NDArray[np.uint32],
        fresh: npt.NDArray[np.uint64],
    ) -> npt.NDArray[np.uint64]:
        """The rows of some buckets of a slot, each below its bucket, in order."""
        starts = self._old[slot, first : end + 1]
        at = slot * len(moved)
        low, high = at + int(starts[0]), at + int(starts[-1])
        bits = np.uint32(self._shape.check_bits)
        old = self._words.slice(low, high)
        rows = moved.take(old >> bits)
        words = (rows << bits) | (old & _mask(int(bits)))
        self._words.forget_rows(low, high)
        whole = np.repeat(np.arange(first, end, dtype=np.uint64), np.diff(starts))
        whole <<= _LOW
        whole |= words
        gone = rows == _GONE
        if gone.any():
            whole = whole[~gone]
        return np.insert(whole, np.searchsorted(whole, fresh), fresh) if len(fresh) else whole

    def starts(self) -> Iterator[memoryview]:
        """As of `SlotBuilder`."""
        for starts in self._starts:
            yield starts.view(np.uint8).data


def movable(starts: npt.NDArray[np.uint32], old: int, new: int) -> bool:
    """Whether moving is worth it and has bounded memory: few new rows, and no bucket with too many."""
    return new <= old // 2 and int(np.diff(starts, axis=1).max()) <= MOST


def _mask(bits: int) -> np.uint32:
    return np.uint32((1 << bits) - 1)
