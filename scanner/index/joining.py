"""Which of very many stored values are near one of a few new ones: for files known when a list grows.

The other way round than a search: the few are the side that is prepared. All slot values near theirs are
marked in a bit map for each slot, which stays in the processor's cache. Stored values stream past it, and for
those whose slot value is marked the new ones are looked up that marked it. For the method see
`scanner.index.shapes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index.bitmaps import bitmap
from scanner.index.hamming import (
    PAIRS_CHUNK,
    Hashes,
    Words,
    any_within,
    as_words,
    distance_bytes,
    distances,
    in_runs,
)
from scanner.index.perceptual import TABLES_DISTANCE, TABLES_SIZE
from scanner.index.shapes import LARGEST_RADIUS, WIDE

FEWEST, MOST = 64, 4096  # new values: fewer are measured as fast, for more the marks take over 100 MB
_CHUNK = 1 << 16  # stored values at a time: 2 MB


@dataclass(frozen=True, slots=True)
class _Slot:
    """One slot: its first bit and width, which of its values are marked (a bit each), how many are before
    each 64 of them, where the new values that marked each begin in `owners`, and these."""

    first: int
    width: int
    marks: npt.NDArray[np.uint8]
    before: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    owners: npt.NDArray[np.uint16]


def joinable(hashes: Hashes, max_distance: int) -> bool:
    """Whether a `Join` of these new values is possible, and worth it."""
    return (
        hashes.shape[1] == TABLES_SIZE and FEWEST <= len(hashes) <= MOST and max_distance <= TABLES_DISTANCE
    )


class Join:
    """New values made ready. Some 20 KB for each and 20 MB; a quarter of a second for a thousand.

    Args:
        hashes: (K, 32), K at most `MOST`.
        max_distance: bits, at most `TABLES_DISTANCE`.
    """

    def __init__(self, hashes: Hashes, max_distance: int) -> None:
        self._hashes = (
            np.unique(np.ascontiguousarray(hashes).view(f"S{TABLES_SIZE}"))
            .view(np.uint8)
            .reshape(-1, TABLES_SIZE)
        )
        self._words = as_words(self._hashes)
        self._max_distance = max_distance
        columns = np.ascontiguousarray(self._words.T)
        radii = [LARGEST_RADIUS] * len(WIDE)
        for i in range(len(WIDE) * (LARGEST_RADIUS + 1) - (max_distance + 1)):
            radii[-1 - i % len(WIDE)] -= 1  # narrower slots first: they let more pass
        firsts = np.cumsum((0, *WIDE[:-1])).tolist()
        self._slots = [
            _slot(_keys(columns, first, width), first, width, radius)
            for first, width, radius in zip(firsts, WIDE, radii, strict=True)
            if radius >= 0
        ]

    def any_within(self, values: Hashes) -> npt.NDArray[np.bool_]:
        """Which of (N, 32) values have a new one within the distance."""
        found = np.zeros(len(values), dtype=np.bool_)
        for start in range(0, len(values), _CHUNK):
            self._mark(values[start : start + _CHUNK], found[start : start + _CHUNK])
        return found

    def _mark(self, values: Hashes, found: npt.NDArray[np.bool_]) -> None:
        words = as_words(np.ascontiguousarray(values))
        columns = np.ascontiguousarray(words.T)
        most = len(values) * len(self._words) // 4
        for slot in self._slots:
            keys = _keys(columns, slot.first, slot.width).view(np.int64)
            marked = slot.marks.take(keys >> 3)
            marked >>= (keys & 7).astype(np.uint8)
            marked &= 1
            at = np.flatnonzero(marked.view(np.bool_))
            place = _places(slot, keys.take(at))
            low = slot.starts.take(place)
            lengths = slot.starts.take(place + 1) - low
            if int(lengths.sum()) > most:  # look-alikes: each against each is no more than that
                found |= any_within(values, self._hashes, self._max_distance)
                return
            for some in in_runs(lengths, PAIRS_CHUNK):
                of_run = lengths[some]
                ends = np.cumsum(of_run)
                owners = slot.owners.take(
                    np.repeat(low[some] - (ends - of_run), of_run) + np.arange(ends[-1])
                )
                asked = np.repeat(at[some], of_run)
                found[asked[self._near(words, asked, owners)]] = True

    def _near(self, words: Words, asked: Any, owners: Any) -> npt.NDArray[np.intp]:
        ours, theirs = words.take(asked, axis=0), self._words.take(owners, axis=0)
        likely = np.flatnonzero(distance_bytes(np.bitwise_count(ours ^ theirs)) <= self._max_distance)
        if not len(likely):
            return likely
        return likely[distances(ours[likely], theirs[likely]) <= self._max_distance]


def _keys(columns: Words, first: int, width: int) -> npt.NDArray[np.uint64]:
    """The slot values of hashes that are given as columns of 64 bits."""
    word, shift = divmod(first, 64)
    keys: npt.NDArray[np.uint64] = columns[word] >> np.uint64(shift)
    if shift + width > 64:
        keys |= columns[word + 1] << np.uint64(64 - shift)
    keys &= np.uint64((1 << width) - 1)
    return keys


def _places(slot: _Slot, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For marked values the how manieth of the marked ones each is: counting bits takes a fifth of the time
    of a bisection."""
    word = keys >> 6
    lower = (np.uint64(1) << (keys & 63).view(np.uint64)) - np.uint64(1)
    bits = np.bitwise_count(slot.marks.view("<u8").take(word) & lower)
    places: npt.NDArray[np.int64] = slot.before.take(word).astype(np.int64) + bits
    return places


def _slot(keys: npt.NDArray[np.uint64], first: int, width: int, radius: int) -> _Slot:
    flips = np.array(
        [sum(1 << bit for bit in bits) for n in range(radius + 1) for bits in combinations(range(width), n)],
        dtype=np.uint64,
    )
    both = ((keys[:, None] ^ flips) << np.uint64(16)) | np.arange(len(keys), dtype=np.uint64)[:, None]
    both = np.sort(both.ravel())
    near = (both >> np.uint64(16)).astype(np.uint32)
    begins = np.flatnonzero(np.diff(near, prepend=np.uint32(1 << 31)))
    marks = bitmap(1 << width, near[begins])
    counts = np.bitwise_count(marks.view("<u8"))
    return _Slot(
        first,
        width,
        marks,
        np.cumsum(counts, dtype=np.uint32) - counts,
        np.append(begins, len(near)),
        (both & np.uint64(0xFFFF)).astype(np.uint16),
    )
