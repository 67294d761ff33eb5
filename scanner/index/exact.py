"""Sorted fixed-width keys: how they are sorted, and how one is found in memory-mapped bytes."""

from __future__ import annotations

import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index.layout import BUCKETS, DamagedLayout

# Keys as numpy byte strings. They compare as memcmp does; NULs at the end count as padding, which is
# harmless because all keys of an array have the same width. Never read one element: it loses its NULs.
Keys = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.intp]

_CONTAINED_CHUNK = 65536  # keys looked up at a time: a few MB of temporaries
_CHECKED = 1 << 18  # starts of buckets compared together
FEW = 1 << 15  # keys of which half of all beginnings of two bytes are not there
_DENSE = 16  # keys for each value: with more, reading all of them takes longer than looking up
_LOOKED_UP = 1 << 15  # keys looked up in a table at a time: temporaries of 256 KB
_SORTED = 1 << 20  # keys sorted before they are looked up
_CROWDED = 32  # rows of a bucket that are looked at one after another


def as_keys(data: Any, width: int) -> Keys:
    """A buffer of N x width bytes as N keys, without a copy."""
    return np.frombuffer(data, dtype=f"S{width}")


def sort_order(keys: Keys) -> Rows:
    """The order of keys; equal ones stay in the order they came in.

    Sorting 64-bit numbers is six times as fast as sorting byte strings, so the first eight bytes are
    sorted, and only rows that tie in them by the whole key.
    """
    prefix = _first_eight(keys)
    order = np.argsort(prefix)
    ordered = prefix[order]
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return order
    tied = np.zeros(len(order), dtype=np.bool_)
    tied[1:] = same
    tied[:-1] |= same
    rows = np.sort(order[tied])
    order[tied] = rows[np.argsort(keys[rows], kind="stable")]
    return order


def _first_eight(keys: Keys) -> npt.NDArray[np.uint64]:
    width = keys.dtype.itemsize
    prefix = np.zeros((len(keys), 8), dtype=np.uint8)
    prefix[:, :width] = keys.view(np.uint8).reshape(-1, width)[:, :8]
    return prefix.view(">u8")[:, 0].astype(np.uint64)


def first_two(keys: Keys) -> npt.NDArray[np.uint16]:
    """The buckets of keys: their first two bytes as a number."""
    table = keys.view(np.uint8).reshape(len(keys), -1)
    return table[:, 0].astype(np.uint16) << np.uint16(8) | table[:, 1]


def first_four(keys: Keys) -> npt.NDArray[np.uint32]:
    """The first four bytes of keys as a number."""
    return keys.view(">u4").reshape(len(keys), -1)[:, 0].astype(np.uint32)


def check_starts(starts: npt.NDArray[np.uint32], rows: int) -> None:
    """Bucket starts, one table or several below each other, must rise from 0 to the number of rows.

    Raises:
        DamagedLayout: they don't, so they would lead out of their section.
    """
    for table in starts.reshape(-1, starts.shape[-1]):
        if table[0] or table[-1] != rows or not _rises(table):
            raise DamagedLayout("a bucket table is damaged")


def _rises(numbers: npt.NDArray[np.uint32]) -> bool:
    """Whether none is less than the one before it; in blocks, as tables have tens of millions."""
    for i in range(0, len(numbers) - 1, _CHECKED):
        block = numbers[i : i + _CHECKED + 1]
        if (block[1:] < block[:-1]).any():
            return False
    return True


def bucket_bits(rows: int) -> int:
    """Bits of a key that name its bucket, where a table of its own is worth it: two to four rows a bucket."""
    return min(max((rows // 2).bit_length() - 1, 16), 32)


class ExactTable:
    """Finds a key by one look at a bucket table and a bisection within the bucket, many by looking at all of
    their buckets at once.

    Args:
        file: the mapped file.
        offset: where the keys begin in it.
        width: bytes of a key, a multiple of 4 and at least 8.
        starts: the bucket table, checked; a bucket is named by 16 bits or more.
    """

    __slots__ = ("_key", "_keys", "_shift", "_starts", "_words")

    def __init__(self, file: mmap.mmap, offset: int, width: int, starts: memoryview) -> None:
        self._key: Callable[[int], bytes] = lambda row: file[
            offset + row * width : offset + row * width + width
        ]
        self._starts = starts
        self._shift = 32 - (len(starts) - 1).bit_length() + 1
        rows = starts[-1]
        self._keys = np.frombuffer(file, dtype=f"S{width}", count=rows, offset=offset)
        self._words = np.frombuffer(file, dtype=">u4", count=rows * (width // 4), offset=offset)

    def rows(self, value: bytes) -> range:
        """All rows with this key; an empty range if there is none."""
        bucket = int.from_bytes(value[:4], "big") >> self._shift
        low, high = self._starts[bucket], self._starts[bucket + 1]
        if low == high:
            return range(0)
        first = bisect_left(range(high), value, lo=low, key=self._key)
        if first == high or self._key(first) != value:
            return range(0)
        if first + 1 == high or self._key(first + 1) != value:
            return range(first, first + 1)  # nearly always: a digest is listed once
        return range(first, bisect_right(range(high), value, lo=first, key=self._key))

    def contains(self, values: Keys) -> npt.NDArray[np.bool_]:
        """Which of many keys are there: some millions a second."""
        found = np.zeros(len(values), dtype=np.bool_)
        for i in range(0, len(values), _SORTED):
            part = values[i : i + _SORTED]
            if len(part) > _LOOKED_UP:
                # In the order of the table one part of it after another is in the cache: half as fast again.
                order = _roughly_sorted(part)
                found[i + order] = self._each(part.take(order))
            else:
                found[i : i + _SORTED] = self._each(part)
        return found

    def _each(self, values: Keys) -> npt.NDArray[np.bool_]:
        parts = (values[i : i + _LOOKED_UP] for i in range(0, len(values), _LOOKED_UP))
        return np.concatenate([self._contains(part) for part in parts])

    def _contains(self, values: Keys) -> npt.NDArray[np.bool_]:
        wanted = values.view(">u4").reshape(len(values), -1)
        starts = np.asarray(self._starts)
        second = wanted[:, 1].astype(np.uint32)
        at = (wanted[:, 0] >> np.uint32(self._shift)).astype(np.intp)
        low = starts.take(at).astype(np.intp)
        at += 1
        lengths = starts.take(at) - low
        found = np.zeros(len(values), dtype=np.bool_)
        crowded = lengths > _CROWDED
        for i in np.flatnonzero(crowded).tolist():  # lists can be made so, where they have no key
            key = values[i : i + 1].tobytes()
            found[i] = len(self.rows(key)) > 0
        lengths[crowded] = 0
        width = wanted.shape[1]
        # As numbers they are compared four times as fast as as bytes.
        widest = "<u8" if width % 2 == 0 else "<u4"
        keys, whole = (k.view(widest).reshape(len(k), -1) for k in (self._keys, values))
        left = np.flatnonzero(lengths)
        for step in range(_CROWDED):
            if not len(left):
                break
            rows = low.take(left) + step
            # Only of equal second words the whole key is compared: one in four thousand million others.
            same = np.flatnonzero(self._words.take(rows * width + 1) == second.take(left))
            if len(same):
                found[left[same]] |= ~(keys.take(rows[same], axis=0) ^ whole.take(left[same], axis=0)).any(
                    axis=1
                )
            left = left[lengths.take(left) > step + 1]
        return found


def _roughly_sorted(keys: Keys) -> Rows:
    """The order of at most `_SORTED` keys by their first 32 bits."""
    both = first_four(keys).astype(np.uint64) << np.uint64(32)
    both |= np.arange(len(keys), dtype=np.uint64)
    both.sort()  # numbers alone are sorted four times as fast as an order of them is found
    return (both & np.uint64(_SORTED - 1)).astype(np.intp)


def contained(values: Keys, keys: Keys) -> npt.NDArray[np.bool_]:
    """Which of the values are among sorted keys of the same width."""
    found = np.zeros(len(values), dtype=np.bool_)
    if not len(keys):
        return found
    begins = _beginnings(keys) if len(keys) <= FEW else None
    for i in range(0, len(values), _CONTAINED_CHUNK):
        part = values[i : i + _CONTAINED_CHUNK]
        if begins is None:
            found[i : i + _CONTAINED_CHUNK] = _among(part, keys)
            continue
        likely = np.flatnonzero(begins.take(first_two(part)))
        found[likely + i] = _among(part[likely], keys)
    return found


def _beginnings(keys: Keys) -> npt.NDArray[np.bool_]:
    """With which two bytes some key begins."""
    begins = np.zeros(BUCKETS, dtype=np.bool_)
    begins[first_two(keys)] = True
    return begins


def _among(values: Keys, keys: Keys) -> npt.NDArray[np.bool_]:
    if not len(values):
        return np.zeros(0, dtype=np.bool_)
    beginnings = _first_eight(values)
    if len(keys) > FEW and (beginnings[1:] >= beginnings[:-1]).all():
        # Sorted ones lie close together: comparing numbers is many times as fast as comparing bytes.
        low = int(np.searchsorted(keys, values[:1], "left")[0])
        keys = keys[low : int(np.searchsorted(keys, values[-1:], "right")[0])]
        if not len(keys):
            return np.zeros(len(values), dtype=np.bool_)
        if len(keys) <= _DENSE * len(values):
            theirs = _first_eight(keys)
            if not (theirs[1:] == theirs[:-1]).any():
                at = np.searchsorted(theirs, beginnings)
                at[at == len(keys)] = 0
                found: npt.NDArray[np.bool_] = keys[at] == values
                return found
    at = np.searchsorted(keys, values)
    at[at == len(keys)] = 0
    same: npt.NDArray[np.bool_] = keys[at] == values
    return same
