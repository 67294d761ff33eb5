"""The slot tables of perceptual values, made from the values in bounded memory.

Also where a list was only changed: putting a few rows into the tables there are takes longer than sorting
numbers of 16 bits anew (0.1 s and 0.06 s for a million rows of one slot), since each row gets a new number
either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.index.columns import Blocks
from scanner.index.exact import Keys
from scanner.index.layout import BUCKETS, STARTS
from scanner.index.perceptual import TABLES_SIZE, slots

_ROWS = 1 << 18  # rows sorted together: 4 MB

Values = npt.NDArray[np.uint16]


class SlotTables:
    """Takes the values of a list in order; gives its tables. Six bytes a value are in memory for that.

    Args:
        scratch: as of `Scratch`.
    """

    slots = TABLES_SIZE // 2

    def __init__(self, scratch: Path | None) -> None:
        self._values = Blocks(["<u2"] * self.slots, scratch)
        self._starts: list[npt.NDArray[np.uint32]] = []

    def add(self, keys: Keys) -> None:
        """Take the next values."""
        table = slots(np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), -1))
        self._values.put(*(table[:, slot] for slot in range(self.slots)))

    def orders(self) -> Iterator[memoryview]:
        """The section `slot-order`; to be used up before `starts` is asked for."""
        for slot in range(self.slots):
            values = np.concatenate(list(self._values.column(slot)))
            starts = np.zeros(STARTS, dtype="<u4")
            np.cumsum(np.bincount(values, minlength=BUCKETS), out=starts[1:])
            self._starts.append(starts)
            yield _order(values, starts).view(np.uint8).data

    def starts(self) -> Iterator[memoryview]:
        """The section `slot-starts`."""
        for starts in self._starts:
            yield starts.view(np.uint8).data


def _order(values: Values, starts: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The rows by their value, equal ones ascending."""
    order = np.empty(len(values), dtype="<u4")
    free = starts[:-1].astype(np.int64)  # where the next row of each value goes
    for first in range(0, len(values), _ROWS):
        part = values[first : first + _ROWS]
        rows = np.argsort(part, kind="stable")  # of 16 bits: a counting sort
        counts = np.bincount(part, minlength=BUCKETS)
        shift = free - (np.cumsum(counts) - counts)
        order[shift[part[rows]] + np.arange(len(part))] = rows + first
        free += counts
    return order
