"""The arithmetic: distances, thresholds at a rate of false positives, recall with its interval.

A comparison is of one asked picture with one listed hash, whatever the number of views the picture is seen
in: the nearest view counts. So what views cost in false positives is in the rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # (values, words of 64 bits)
Distances = NDArray[np.uint16]
Histogram = NDArray[np.int64]  # of comparisons, by distance

NONE = 999  # the distance where there is nothing to compare
BITS = 257  # distances there are, of the longest kind
_BLOCK = 8192  # listed values at a time: what is computed of them stays in the processor's cache
_Z = 1.959964  # standard deviations of a 95 % interval


def words(values: Sequence[bytes], size: int) -> Words:
    """Hash values of `size` bytes each, a row each."""
    return np.frombuffer(b"".join(values), dtype=np.uint64).reshape(len(values), size // 8)


def nearest(asked: Words, listed: Words) -> Distances:
    """For each listed value its distance from the nearest of the asked ones; NONE if none is asked."""
    best = np.full(len(listed), NONE, dtype=np.uint16)
    for start in range(0, len(listed), _BLOCK):
        columns = [np.ascontiguousarray(column) for column in listed[start : start + _BLOCK].T]
        part = best[start : start + _BLOCK]
        for value in asked:
            bits = [np.bitwise_count(column ^ word) for column, word in zip(columns, value, strict=True)]
            while len(bits) > 2:  # three words of 64 bits fit a byte, the fourth may not
                bits.append(bits.pop() + bits.pop())
            np.minimum(part, np.add(*bits, dtype=np.uint16) if len(bits) == 2 else bits[0], out=part)
    return best


def histogram(distances: Distances) -> Histogram:
    """Comparisons by distance; those where nothing was compared fall away."""
    return np.bincount(distances[distances < NONE], minlength=BITS).astype(np.int64)


def rate_at(unrelated: Histogram, compared: int, threshold: int) -> float:
    """The share of comparisons of unrelated pictures that a threshold takes for matches."""
    return float(unrelated[: threshold + 1].sum()) / compared


def threshold_at(unrelated: Histogram, compared: int, rate: float) -> int:
    """The largest distance at which at most `rate` of the comparisons are false positives; -1: none is."""
    within = np.cumsum(unrelated) <= rate * compared
    return int(np.argmin(within)) - 1 if not within.all() else len(unrelated) - 1


def extrapolated(unrelated: Histogram, compared: int, threshold: int) -> float:
    """An estimate of the rate where too few false positives were seen to measure it.

    The logarithm of the rate is continued as a straight line through the last two decades that rest on ten
    false positives or more, and never lies below what was seen. Distances of independent bits fall off faster
    than that, so it errs to the safe side as long as rarer pictures are no more alike than those seen.
    """
    seen = np.cumsum(unrelated)
    first = int(np.searchsorted(seen, 10))
    if threshold >= first:
        return rate_at(unrelated, compared, threshold)
    last = max(first + 2, int(np.searchsorted(seen, 100 * seen[first])))
    slope, start = np.polyfit(np.arange(first, last + 1), np.log10(seen[first : last + 1] / compared), 1)
    return max(float(10 ** (start + slope * threshold)), rate_at(unrelated, compared, threshold))


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with its 95 % interval (E. B. Wilson, 1927)."""

    found: int
    of: int

    @property
    def percent(self) -> float:
        return 100 * self.found / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """In percent."""
        if not self.of:
            return 0.0, 100.0
        share, z2 = self.found / self.of, _Z * _Z
        middle = share + z2 / (2 * self.of)
        half = _Z * math.sqrt(share * (1 - share) / self.of + z2 / (4 * self.of**2))
        scale = 100 / (1 + z2 / self.of)
        return max(0.0, (middle - half) * scale), min(100.0, (middle + half) * scale)


def recall(distances: NDArray[np.integer], threshold: int) -> Share:
    """Of pictures by the distance of their altered copy from what is listed."""
    return Share(int(np.count_nonzero(distances <= threshold)), int(distances.size))


def upper_bound(seen: int, compared: int) -> float:
    """The rate that so many events don't rule out, at 95 %, if comparisons were independent."""
    # Of a Poisson count: exact for 0 (the "rule of three"), by Wilson and Hilferty's approximation else.
    if seen == 0:
        return 2.996 / compared
    k = seen + 1
    return k * (1 - 1 / (9 * k) + 1.645 / (3 * math.sqrt(k))) ** 3 / compared
