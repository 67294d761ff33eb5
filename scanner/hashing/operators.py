"""The linear operators of PDQ: from a picture of any size to its 64x64 summary, in one matrix product.

PDQ smooths a picture twice with a box filter, picks 64x64 samples and takes a discrete cosine transform
(pdq/README.md and pdq/cpp/downscaling of facebook/ThreatExchange). Filter and sampling are linear and
separable, so for luma L of height h and width w the summary is ``R(h) . L . R(w)^T``, with the 64 x n
matrix R(n) made here. This equals the reference to the last bit, is some fifteen times faster, and a
picture that was decoded at 1/2, 1/4 or 1/8 can be hashed with the geometry of its full size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

SUMMARY = 64  # rows and columns of the summary that the transform sees
GRID = 512  # the C++ reference resizes to 512x512 by nearest neighbour when any side is longer (pdqio.cpp)
# Where thumbnails are compared with hashes of full-size pictures: the filter hardly changes above this size.
BIG = 2000
# Bytes of operators kept: those of the most frequent sizes; a side of 4000 pixels takes 2 MB.
_CACHE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class View:
    """One way of looking at a side of a picture.

    Attributes:
        name: as it stands in the hash's record.
        sampling: "direct" (all pixels); "nearest" (the nearest-neighbour grid of the C++ reference);
            for small pictures "corner" (as that grid would have seen the picture's larger original) or
            "centre" (enlarged to `length`).
        length: pixels of the side after sampling; 0 for "direct".
    """

    name: str
    sampling: str
    length: int = 0


def _windows(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one-past-last sample that each of n outputs of the box filter averages.

    The window is ceil(n/128) long and not centred: output i averages [i + half - window, i + half).
    """
    window = -(-n // 128)
    half = (window + 2) // 2
    i = np.arange(n)
    return np.maximum(i + half - window, 0), np.minimum(i + half, n)


def direct(n: int) -> NDArray[np.float64]:
    """R(n), 64 x n: two passes of the box filter, sampled at floor((i + 0.5) n / 64)."""
    first, end = _windows(n)
    weight = 1.0 / (end - first)
    rows = ((np.arange(SUMMARY) + 0.5) * n / SUMMARY).astype(np.int64)
    # Each row is a sum of boxes: add their two edges to a table of differences, then sum along it. All rows
    # at once: `inner` names, row after row, the samples that a row's second pass averages.
    length = end[rows] - first[rows]
    row = np.repeat(np.arange(SUMMARY), length)
    inner = np.arange(length.sum()) + np.repeat(first[rows] - np.cumsum(length) + length, length)
    share = weight[inner] * weight[rows][row]
    edges = np.concatenate((row * (n + 1) + first[inner], row * (n + 1) + end[inner]))
    differences = np.bincount(edges, np.concatenate((share, -share)), SUMMARY * (n + 1))
    sums: NDArray[np.float64] = np.cumsum(differences.reshape(SUMMARY, n + 1), axis=1, dtype=np.float64)
    return sums[:, :n]


def _interpolate(matrix: NDArray[np.float64], positions: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """`matrix` for samples between n pixels, bilinearly; positions ascend, from the first centre on."""
    positions = np.clip(positions, 0, n - 1)
    left = positions.astype(np.int64)
    fraction = positions - left
    # Positions ascend, so those between the same two pixels lie side by side.
    starts = np.flatnonzero(np.diff(left, prepend=-1))
    out = np.zeros((n + 1, matrix.shape[0]))
    out[left[starts]] = np.add.reduceat((1 - fraction) * matrix, starts, axis=1).T
    out[left[starts] + 1] += np.add.reduceat(fraction * matrix, starts, axis=1).T
    out[n - 1] += out[n]  # right of the last pixel there is only itself
    return out[:n].T


def operator(view: View, n: int, scale: int = 1) -> NDArray[np.float64]:
    """The 64 x ceil(n/scale) matrix of a view of a side of n pixels that was decoded at 1/scale.

    A pixel of the reduced picture is the mean of `scale` pixels (the scaled inverse transform of JPEG is).
    """
    if view.sampling == "direct":
        return np.add.reduceat(direct(n), np.arange(0, n, scale), axis=1)
    i = np.arange(view.length)
    if view.sampling == "nearest":
        positions = np.floor(i * n / view.length)
    elif view.sampling == "corner":
        # floor() of the grid on a large original lies half a pixel left of it on average: at the corner.
        positions = i * n / view.length - 0.5
    else:
        positions = (i + 0.5) * n / view.length - 0.5
    return _interpolate(direct(view.length), (positions + 0.5) / scale - 0.5, -(-n // scale))


class OperatorCache:
    """Operators by size, the least recently used forgotten first. Each worker holds one."""

    def __init__(self, limit: int = _CACHE_BYTES) -> None:
        self._limit = limit
        self.held = 0  # bytes
        self._stacks: OrderedDict[tuple[tuple[View, ...], int, int], Matrix] = OrderedDict()

    def stack(self, views: Sequence[View], n: int, scale: int) -> Matrix:
        """The operators of some views, one below the other: (64 views) x ceil(n/scale)."""
        key = (tuple(views), n, scale)
        if key in self._stacks:
            self._stacks.move_to_end(key)
            return self._stacks[key]
        made: Matrix = np.vstack([operator(v, n, scale) for v in views]).astype(np.float32)
        self._stacks[key] = made
        self.held += made.nbytes
        while self.held > self._limit and len(self._stacks) > 1:
            _, dropped = self._stacks.popitem(last=False)
            self.held -= dropped.nbytes
        return made
