"""Numbers that go, and where the others move when the gaps close."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_WORD = 64


class Dropped:
    """A set of the numbers below `total`, as bits: 12 bytes for 64 numbers.

    Args:
        total: numbers there are.
        everything: begin with all of them.
    """

    def __init__(self, total: int, *, everything: bool = False) -> None:
        words = total // _WORD + 1
        self._bits = np.full(words, 2**64 - 1 if everything else 0, dtype=np.uint64)
        self._before: npt.NDArray[np.uint32] | None = None
        self._total = total
        self._any = everything
        if everything:
            self._bits[-1] = (1 << total % _WORD) - 1

    def add(self, numbers: npt.NDArray[Any]) -> None:
        """Drop these, too."""
        self._any = self._any or len(numbers) > 0
        np.bitwise_or.at(self._bits, numbers // _WORD, _bit(numbers))
        self._before = None

    def spare(self, numbers: npt.NDArray[Any]) -> None:
        """Don't drop these."""
        np.bitwise_and.at(self._bits, numbers // _WORD, ~_bit(numbers))
        self._before = None

    @property
    def count(self) -> int:
        return int(np.bitwise_count(self._bits).sum()) if self._any else 0

    @property
    def kept(self) -> int:
        return self._total - self.count

    def contains(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which of these are dropped.

        Raises:
            IndexError: there is no such number.
        """
        if len(numbers) and int(numbers.max()) >= self._total:
            raise IndexError("there is no such number")
        found: npt.NDArray[np.bool_] = (self._bits[numbers // _WORD] & _bit(numbers)) != 0
        return found

    def keeps(self, start: int, count: int) -> npt.NDArray[np.bool_]:
        """Which of `count` numbers from `start` on stay.

        Raises:
            IndexError: there are no such numbers.
        """
        if not self._any:
            return np.ones(count, dtype=np.bool_)
        if start + count > self._total:
            raise IndexError("there is no such number")
        first = start // _WORD
        words = self._bits[first : (start + count) // _WORD + 1].astype("<u8", copy=False)
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")
        kept: npt.NDArray[np.bool_] = bits[start - first * _WORD :][:count] == 0
        return kept

    def moved(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """What numbers that stay are called when the gaps are closed.

        Raises:
            IndexError: there is no such number.
        """
        if self._before is None:
            counts = np.bitwise_count(self._bits)
            self._before = (np.cumsum(counts, dtype=np.uint64) - counts).astype(np.uint32)
        word = numbers // _WORD
        below = np.bitwise_count(self._bits[word] & (_bit(numbers) - np.uint64(1)))
        moved: npt.NDArray[np.uint32] = (numbers - self._before[word] - below).astype(np.uint32)
        return moved


def _bit(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    return np.uint64(1) << (numbers % _WORD).astype(np.uint64)
