"""The linear operators of PDQ: from a picture of any size to its 64x64 summary, in one matrix product.

PDQ smooths a picture twice with a box filter, picks 64x64 samples and takes a discrete cosine transform
(pdq/README.md and pdq/cpp/downscaling of facebook/ThreatExchange). Filter and sampling are linear and
separable, so for luma L of height h and width w the summary is ``R(h) . L . R(w)^T``, with the 64 x n
matrix R(n) made here. This equals the reference to the last bit, is some fifteen times faster, and a
picture that was decoded at 1/2, 1/4 or 1/8 can be hashed with the geometry of its full size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

SUMMARY = 64  # rows and columns of the summary that the transform sees
GRID = 512  # the C++ reference resizes to 512x512 by nearest neighbour when any side is longer (pdqio.cpp)
# Where thumbnails are compared with hashes of full-size pictures: the filter hardly changes above this size.
BIG = 2000
# Bytes of operators kept: those of the most frequent sizes; a side of 4000 pixels takes 0.3 MB.
_CACHE_BYTES = 64 << 20
# Blocks that a stack of operators is cut into, and columns that each has at least: measured; more are smaller
# products than pay, fewer have more zeros.
_BLOCKS, _BLOCK_SIDE = 16, 8
_NOTHING = 1e-12  # less is what sums leave where an operator is zero; its weights are larger


@dataclass(frozen=True, slots=True)
class View:
    """One way of looking at a side of a picture.

    Attributes:
        name: as it stands in the hash's record.
        sampling: "direct" (all pixels); "nearest" (the nearest-neighbour grid of the C++ reference);
            for small pictures "corner" (as that grid would have seen the picture's larger original) or
            "centre" (enlarged to `length`).
        length: pixels of the side after sampling; 0 for "direct".
        at: where in each 64th of the side the sample lies, 0 to 1; PDQ takes the middle.
    """

    name: str
    sampling: str
    length: int = 0
    at: float = 0.5


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
    band = _band(n)
    return _spread(n, (band.columns, band.weights))


@dataclass(frozen=True, slots=True)
class _Band:
    """What isn't zero in a matrix of 64 rows: weights of 64 x some, and the column that each stands in.

    Rows average no more than some 1/64 of the side, so this is a sixtieth of the matrix. Making it takes as
    much less time, which counts: nearly every photograph that was cut has a size of its own.
    """

    columns: NDArray[np.int64]
    weights: NDArray[np.float64]


def _band(n: int, at: float = 0.5) -> _Band:
    """R(n) without its zeros, sampled at floor((i + at) n / 64)."""
    first, end = _windows(n)
    weight = 1.0 / (end - first)
    rows = ((np.arange(SUMMARY) + at) * n / SUMMARY).astype(np.int64)
    left = first[first[rows]]
    width = int((end[end[rows] - 1] - left).max())
    # Each row is a sum of boxes: add their two edges to a table of differences, then sum along it. All rows
    # at once: `inner` names, row after row, the samples that a row's second pass averages.
    length = end[rows] - first[rows]
    row = np.repeat(np.arange(SUMMARY), length)
    inner = np.arange(length.sum()) + np.repeat(first[rows] - np.cumsum(length) + length, length)
    share = weight[inner] * weight[rows][row]
    base = row * (width + 1) - left[row]
    edges = np.concatenate((base + first[inner], base + end[inner]))
    differences = np.bincount(edges, np.concatenate((share, -share)), SUMMARY * (width + 1))
    table = differences.reshape(SUMMARY, width + 1)
    weights: NDArray[np.float64] = np.cumsum(table, axis=1, dtype=np.float64)[:, :width]
    # A row may be shorter than the longest one: what is beyond the side weighs nothing.
    return _Band(np.minimum(left[:, None] + np.arange(width), n - 1), weights)


def _spread(n: int, *parts: tuple[NDArray[np.int64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The 64 x n matrix that sums weights in their columns."""
    base = np.arange(0, SUMMARY * n, n)[:, None]
    places = np.concatenate([(base + columns).ravel() for columns, _ in parts])
    weights = np.concatenate([weights.ravel() for _, weights in parts])
    sums = np.bincount(places, weights, SUMMARY * n).reshape(SUMMARY, n)
    return sums.astype(np.float64, copy=False)


def operator(view: View, n: int, scale: int = 1, *, mirrored: bool = False) -> NDArray[np.float64]:
    """The 64 x ceil(n/scale) matrix of a view of a side of n pixels that was reduced to 1/scale.

    A pixel of the reduced picture is the mean of `scale` pixels (the scaled inverse transform of JPEG is).

    Args:
        mirrored: the matrix gives the summary of the picture's mirror image, from its own pixels. That is no
            reversed summary: the filter looks further to one side than to the other.
    """
    side = -(-n // scale)
    if view.sampling == "direct":
        band = _band(n, view.at)
        columns = n - 1 - band.columns if mirrored else band.columns
        return _spread(side, (columns // scale, band.weights))
    i = np.arange(view.length)
    if view.sampling == "nearest":
        positions = np.floor(i * n / view.length)
    elif view.sampling == "corner":
        # floor() of the grid on a large original lies half a pixel left of it on average: at the corner.
        positions = i * n / view.length - 0.5
    else:
        positions = (i + 0.5) * n / view.length - 0.5
    if mirrored:
        positions = n - 1 - positions
    # Samples between pixels are weighed bilinearly; outside the first and the last there is only that one.
    positions = np.clip((positions + 0.5) / scale - 0.5, 0, side - 1)
    band = _band(view.length, view.at)
    left = positions.astype(np.int64)
    fraction = (positions - left)[band.columns] * band.weights
    right = np.minimum(left + 1, side - 1)
    return _spread(side, (left[band.columns], band.weights - fraction), (right[band.columns], fraction))


@dataclass(frozen=True, slots=True)
class _Block:
    """Some neighbouring columns of a stack and the only rows that aren't zero there."""

    start: int
    end: int
    rows: slice
    matrix: Matrix


class Stack:
    """K operators of one side in one matrix, whose zeros are not multiplied.

    A row of an operator averages no more than some 1/64 of the side, so by far most of it is zeros. Rows lie
    by their place in the picture, operators side by side: row 64 K is `i * K + k` for row i of operator k.
    Then what isn't zero lies along the diagonal, and a few dense blocks hold it.

    Args:
        matrices: each 64 x m, all looking at a place of the picture in the same row.
    """

    def __init__(self, matrices: Sequence[NDArray[np.float64]]) -> None:
        self.count = len(matrices)
        side = matrices[0].shape[1]
        whole = np.stack(matrices, axis=1, dtype=np.float32, casting="same_kind")
        whole = whole.reshape(SUMMARY * self.count, side)
        number = max(1, min(_BLOCKS, side // _BLOCK_SIDE))
        bounds = [side * b // number for b in range(number + 1)]
        # Weights are nowhere negative.
        used = np.logical_or.reduceat(whole > _NOTHING, bounds[:-1], axis=1)
        self._blocks = tuple(_block(whole, a, b, used[:, i]) for i, (a, b) in enumerate(pairwise(bounds)))
        self.nbytes = sum(block.matrix.nbytes for block in self._blocks)

    def down(self, strips: Iterable[tuple[int, Matrix]], width: int) -> Matrix:
        """The product with a picture of this many columns, 64 K x width, from strips (first row, pixels)."""
        product = np.zeros((SUMMARY * self.count, width), dtype=np.float32)
        for top, strip in strips:
            end = top + strip.shape[0]
            for block in self._blocks:
                first, last = max(top, block.start), min(end, block.end)
                if first < last:
                    part = block.matrix[:, first - block.start : last - block.start]
                    product[block.rows] += part @ strip[first - top : last - top]
        return product

    def across(self, rows: Matrix) -> Matrix:
        """The product of rows (any number x m) with the transpose of the stack, any number x 64 K."""
        product = np.zeros((SUMMARY * self.count, rows.shape[0]), dtype=np.float32)
        for block in self._blocks:
            product[block.rows] += block.matrix @ rows[:, block.start : block.end].T
        return product.T


def _block(whole: Matrix, start: int, end: int, used: NDArray[np.bool_]) -> _Block:
    rows = np.flatnonzero(used)
    taken = slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else slice(0, 0)
    return _Block(start, end, taken, np.ascontiguousarray(whole[taken, start:end]))


class OperatorCache:
    """Operators by size, the least recently used forgotten first. Each worker holds one."""

    def __init__(self, limit: int = _CACHE_BYTES) -> None:
        self._limit = limit
        self.held = 0  # bytes
        self._stacks: OrderedDict[tuple[object, ...], Stack] = OrderedDict()

    def stack(
        self, views: Sequence[View], n: int, scale: int, *, turned: bool = False, further: Sequence[View] = ()
    ) -> Stack:
        """The operators of some views; where `turned`, also the mean of all of them, mirrored, after them.

        Rows of the mirrored one are in reversed order, so that they lie where those of the others do.

        Args:
            further: views whose operators stand at the end, and in no mean.
        """
        key = (tuple(views), n, scale, turned, tuple(further))
        if key in self._stacks:
            self._stacks.move_to_end(key)
            return self._stacks[key]
        matrices = [operator(v, n, scale) for v in views]
        if turned:
            mirrored = [operator(v, n, scale, mirrored=True)[::-1] for v in views]
            matrices.append(np.mean(mirrored, axis=0))
        matrices += [operator(v, n, scale) for v in further]
        made = Stack(matrices)
        self._stacks[key] = made
        self.held += made.nbytes
        while self.held > self._limit and len(self._stacks) > 1:
            _, dropped = self._stacks.popitem(last=False)
            self.held -= dropped.nbytes
        return made
