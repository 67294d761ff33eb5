"""Sorted fixed-width keys: how they are sorted, and how one is found in memory-mapped bytes."""

from __future__ import annotations

import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index.layout import DamagedLayout

# Keys as numpy byte strings. They compare as memcmp does; NULs at the end count as padding, which is
# harmless because all keys of an array have the same width. Never read one element: it loses its NULs.
Keys = npt.NDArray[np.bytes_]
Rows = npt.NDArray[np.intp]

_CONTAINED_CHUNK = 65536  # keys looked up at a time: a few MB of temporaries


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


def check_starts(starts: npt.NDArray[np.uint32], rows: int) -> None:
    """Bucket starts, one table or several below each other, must rise from 0 to the number of rows.

    Raises:
        DamagedLayout: they don't, so they would lead out of their section.
    """
    if starts[..., 0].any() or (starts[..., -1] != rows).any() or (starts[..., 1:] < starts[..., :-1]).any():
        raise DamagedLayout("a bucket table is damaged")


class ExactTable:
    """Finds a key by one look at the bucket table and a bisection within the bucket.

    Args:
        file: the mapped file.
        offset: where the keys begin in it.
        width: bytes of a key.
        starts: the bucket table, checked.
    """

    __slots__ = ("_key", "_starts")

    def __init__(self, file: mmap.mmap, offset: int, width: int, starts: memoryview) -> None:
        self._key: Callable[[int], bytes] = lambda row: file[
            offset + row * width : offset + row * width + width
        ]
        self._starts = starts

    def rows(self, value: bytes) -> range:
        """All rows with this key; an empty range if there is none."""
        bucket = value[0] << 8 | value[1]
        low, high = self._starts[bucket], self._starts[bucket + 1]
        if low == high:
            return range(0)
        first = bisect_left(range(high), value, lo=low, key=self._key)
        if first == high or self._key(first) != value:
            return range(0)
        if first + 1 == high or self._key(first + 1) != value:
            return range(first, first + 1)  # nearly always: a digest is listed once
        return range(first, bisect_right(range(high), value, lo=first, key=self._key))


def contained(values: Keys, keys: Keys) -> npt.NDArray[np.bool_]:
    """Which of the values are among sorted keys of the same width."""
    found = np.zeros(len(values), dtype=np.bool_)
    if not len(keys):
        return found
    for i in range(0, len(values), _CONTAINED_CHUNK):
        part = values[i : i + _CONTAINED_CHUNK]
        at = np.searchsorted(keys, part)
        at[at == len(keys)] = 0
        found[i : i + _CONTAINED_CHUNK] = keys[at] == part
    return found
