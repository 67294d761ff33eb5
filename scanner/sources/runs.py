"""Gathering inodes in the order of a walk and giving them in that of their numbers, whatever their count.

Up to some number they are sorted in memory. What is more is written to a file in sorted runs, which are
merged one range of numbers after the other. A range holds about as many as a run, so that neither takes more
memory than the other.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from scanner.system.inodes import INODE, Inodes

Owners = npt.NDArray[np.uint32]

_OWNER = np.dtype("<u4")
_AT_ONCE = 1 << 20  # inodes in memory, of some 100 bytes each while they are sorted
_SAMPLES = 64  # of each run, by which ranges are chosen
_MOST_AT_ONCE = 8  # times as many in a range, which has many names of one file: then there is no map


class InodeRuns:
    """Inodes and their owners.

    Args:
        scratch: directory for what does not fit; files in it have no name, and go with the arrays.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._parts: list[bytes] = []
        self._owners: list[tuple[int, int]] = []  # (owner, inodes) of each of the parts
        self._held = 0  # in the parts
        self._file: IO[bytes] | None = None
        self._runs: list[tuple[Inodes, Owners]] = []
        self._total = 0  # in the runs

    def add(self, part: bytes, owner: int) -> None:
        """Take in inodes of one owner.

        Args:
            part: of INODE.

        Raises:
            OSError: there is no room for them.
        """
        count = len(part) // INODE.itemsize
        self._parts.append(part)
        self._owners.append((owner, count))
        self._held += count
        if self._held >= _AT_ONCE:
            self._end_part()

    def add_sorted(self, records: Inodes, owners: Owners) -> None:
        """Take in inodes by ascending number, never more than are to be in memory together.

        Raises:
            OSError: there is no room for them.
        """
        if not len(records):
            return
        self._total += len(records)
        run = (records, owners)
        if self._total > _AT_ONCE:
            self._file = self._file or self._new_file()
            run = (_written(self._file, records, INODE), _written(self._file, owners, _OWNER))
        self._runs.append(run)

    def drop(self) -> None:
        """Forget all of them."""
        self._parts.clear()
        self._owners.clear()
        self._runs.clear()
        self._file = None

    def merged(self) -> tuple[Inodes, Owners]:
        """All of them by ascending number; may be called once.

        Raises:
            OSError: there is no room for them, or a file has too many names.
        """
        self._end_part()
        if not self._runs:
            return np.zeros(0, INODE), np.zeros(0, _OWNER)
        if self._file is None:
            return _together(self._runs)
        records, owners = self._new_file(), self._new_file()
        for some, of in self._ranges():
            some.tofile(records)
            of.tofile(owners)
        return _mapped(records, INODE, 0, self._total), _mapped(owners, _OWNER, 0, self._total)

    def _end_part(self) -> None:
        records = np.frombuffer(b"".join(self._parts), INODE)
        numbers = np.array([n for n, _ in self._owners], dtype=_OWNER)
        owners = np.repeat(numbers, [count for _, count in self._owners])
        self._parts.clear()
        self._owners.clear()
        self._held = 0
        self.add_sorted(*_in_order(records, owners))

    def _ranges(self) -> Iterator[tuple[Inodes, Owners]]:
        samples = [records["inode"][:: max(1, len(records) // _SAMPLES)] for records, _ in self._runs]
        every = np.sort(np.concatenate(samples))
        ends = every[:: max(1, len(every) * _AT_ONCE // self._total)][1:].tolist()
        begins = [0] * len(self._runs)
        for end in (*ends, None):
            here = []
            for i, (records, owners) in enumerate(self._runs):
                to = len(records) if end is None else int(np.searchsorted(records["inode"], end))
                here.append((records[begins[i] : to], owners[begins[i] : to]))
                begins[i] = to
            if sum(len(records) for records, _ in here) > _MOST_AT_ONCE * _AT_ONCE:
                raise OSError(errno.E2BIG, "a file has too many names")
            yield _together(here)

    def _new_file(self) -> IO[bytes]:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._scratch)


def _in_order(records: Inodes, owners: Owners) -> tuple[Inodes, Owners]:
    order = np.argsort(records["inode"], kind="stable")
    return records[order], owners[order]


def _together(runs: list[tuple[Inodes, Owners]]) -> tuple[Inodes, Owners]:
    return _in_order(np.concatenate([r for r, _ in runs]), np.concatenate([o for _, o in runs]))


def _written(file: IO[bytes], array: npt.NDArray[Any], dtype: np.dtype[Any]) -> Any:
    """An array as a part of a file."""
    at = file.tell()
    np.ascontiguousarray(array, dtype=dtype).tofile(file)
    return _mapped(file, dtype, at, len(array))


def _mapped(file: IO[bytes], dtype: np.dtype[Any], at: int, count: int) -> Any:
    """A part of a file; it stays there for the array, whatever becomes of `file`."""
    file.flush()
    return np.memmap(file, dtype=dtype, mode="r", offset=at, shape=(count,))
