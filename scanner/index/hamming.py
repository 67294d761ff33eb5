"""Hamming distances of hashes, measured pair by pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint8]  # (N, bytes of a hash)
Words = npt.NDArray[Any]  # (N, words of a hash), unsigned

PAIRS_CHUNK = 1 << 17  # pairs at a time: 1 MB of XORed words, so temporaries stay in the processor's cache


def as_words(hashes: Hashes) -> Words:
    """Hashes in the widest words they divide into; order of bytes does not matter for a distance."""
    return hashes.view("<u8" if hashes.shape[1] % 8 == 0 else "u1")


def distances(words: Words, value: Words) -> npt.NDArray[np.uint16]:
    """Hamming distance in bits of each row from one value, or from its own."""
    bits: npt.NDArray[np.uint16] = np.bitwise_count(words ^ value).sum(axis=1, dtype=np.uint16)
    return bits


def distance_bytes(counts: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Sums of the bits of words, but for multiples of 256: no near row is ever dropped by them, and what is
    left has to be measured again. Wider sums take several times as long."""
    if counts.shape[1] == 4:
        fours = counts.view("<u4")[:, 0]
        fours *= np.uint32(0x01010101)  # the highest byte is the sum of all four
        return counts[:, 3]
    total = counts[:, 0].copy()
    for word in range(1, counts.shape[1]):
        total += counts[:, word]
    return total


def any_within(values: Hashes, hashes: Hashes, max_distance: int) -> npt.NDArray[np.bool_]:
    """Which of the values have some hash within the distance: every pair is measured, in bounded memory."""
    left, right = as_words(values), as_words(hashes)
    found = np.zeros(len(left), dtype=np.bool_)
    across = max(1, min(len(right), PAIRS_CHUNK))
    down = max(1, PAIRS_CHUNK // across)
    for j in range(0, len(right), across):
        columns = np.ascontiguousarray(right[j : j + across].T)
        for i in range(0, len(left), down):
            rows = left[i : i + down]
            bits = np.bitwise_count(rows[:, :1] ^ columns[0]).astype(np.uint16)
            for word in range(1, len(columns)):
                bits += np.bitwise_count(rows[:, word, None] ^ columns[word])
            found[i : i + down] |= (bits <= max_distance).any(axis=1)
    return found


def in_runs(numbers: npt.NDArray[Any], most: int) -> Iterator[slice]:
    """Cuts numbers into runs with a sum of at most so much; a number that is larger has one of its own."""
    ends = np.cumsum(numbers)
    first = done = 0
    while first < len(numbers):
        end = max(first + 1, int(np.searchsorted(ends, done + most, side="right")))
        yield slice(first, end)
        first, done = end, int(ends[end - 1])
