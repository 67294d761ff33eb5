"""PDQ, the 256 bit perceptual hash of the lists, in the views that its producers use.

Source: facebook/ThreatExchange, pdq/ (README.md, hashing.pdf, cpp/hashing/pdqhashing.cpp). There is no
single PDQ of a file: the C++ tools reduce a large picture to a 512x512 grid first, the Java and Python
ones don't, and the two differ by up to 34 bits on the same file. So a large picture gets both, and a
small one is also seen as if it were the thumbnail of a picture in either family.

Turned and mirrored views are those of one operator, the mean of the families': a file then has seven views
more and not fourteen or twenty-one, and the mean is about half as far from each family as they are from
each other (docs/perceptual.md has the figures). Each equals, but for the rounding of sums, what the mean
would be of the turned picture.

Here are only numbers: the process that hands out files hashes a picture of its own making by this, too,
and must not load a decoder. `scanner.hashing.pdq` is the hasher of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.hashing.operators import BIG, GRID, SUMMARY, Matrix, OperatorCache, Stack, View
from scanner.hashing.turns import TURNED
from scanner.hashing.warped import PLANE, smoothed, summaries
from scanner.hashing.warps import Warp

MEAN = "mid"  # the family of turned views: the mean of all that the picture has, near enough to each of them
GRID_VIEW = "grid512"  # the picture as the C++ reference looks at it
_SMALLEST = 5  # pixels of a side: below, the reference gives no hash (MIN_HASHABLE_DIM)
_COEFFICIENTS = 16  # rows and columns of the transform that are kept: frequencies 1..16
_RED, _GREEN, _BLUE = (
    np.float32(0.299),
    np.float32(0.587),
    np.float32(0.114),
)  # ITU-R BT.601, as the reference


def _transform() -> NDArray[np.float64]:
    """The rows 1..16 of a 64-point discrete cosine transform."""
    frequency = np.arange(1, _COEFFICIENTS + 1)[:, None]
    position = 2 * np.arange(SUMMARY)[None, :] + 1
    matrix: NDArray[np.float64] = np.sqrt(2 / SUMMARY) * np.cos(np.pi / (2 * SUMMARY) * frequency * position)
    return matrix


def views(width: int, height: int) -> tuple[tuple[View, ...], tuple[View, ...]]:
    """The views of a picture of this size, for its columns and for its rows."""
    long_side = max(width, height)
    if long_side > GRID:
        both = (View("full", "direct"), View(GRID_VIEW, "nearest", GRID))
        return both, both
    columns, rows = (
        (
            View("native", "direct"),
            View("as512", "corner", GRID),
            View("asbig", "centre", max(1, round(BIG * side / long_side))),
        )
        for side in (width, height)
    )
    return columns, rows


def luma(colours: NDArray[np.uint8]) -> Matrix:
    """Brightness of (rows, columns, red-green-blue), 0..255."""
    mixed: Matrix = colours[..., 0] * _RED + colours[..., 1] * _GREEN + colours[..., 2] * _BLUE
    return np.asarray(mixed, dtype=np.float32)


def qualities_of(summaries: NDArray[np.floating]) -> NDArray[np.int64]:
    """0-100 for each of some 64x64 summaries: how much gradient it has, as the reference counts it."""
    sums = np.zeros(len(summaries), dtype=np.int64)
    for steps in (
        summaries[:, 1:] - summaries[:, :-1],
        summaries[:, :, 1:] - summaries[:, :, :-1],
    ):
        steps *= 100
        steps /= 255
        np.abs(np.trunc(steps, out=steps), out=steps)
        sums += steps.sum(axis=(1, 2)).astype(np.int64)
    return np.minimum(100, sums // 90)


class Pdq:
    """Computes PDQ; keeps operators between pictures, nothing of the pictures.

    Args:
        turned: also hash the picture as it is when turned and mirrored in the seven ways.
        warps: also hash it tilted, widened and cropped in these ways.
    """

    def __init__(self, *, turned: bool = False, warps: Sequence[Warp] = ()) -> None:
        self._turned = turned
        self._warps = tuple(warps)
        self._operators = OperatorCache()
        self._transform = _transform()

    def hashes(
        self,
        size: tuple[int, int],
        strips: Iterable[tuple[int, Matrix]],
        scale: int = 1,
        *,
        box: bool = False,
    ) -> Sequence[tuple[str, bytes, int]]:
        """(view, 32 bytes most significant bit first, quality) of each view; none for a side below 5 pixels.

        Args:
            size: (width, height) of the picture in the file.
            strips: (first row, luma) of the picture as decoded, all of it.
            scale: by how much the decoder reduced it.
            box: it is what was in a content box. Then it isn't warped: the box is where it was found to be.
        """
        width, height = size
        if min(width, height) < _SMALLEST:
            return ()
        columns, rows = views(width, height)
        warps = () if box else self._warps
        plane = PLANE if warps else ()
        across = self._operators.stack(columns, width, scale, turned=self._turned)
        down = self._operators.stack(rows, height, scale, turned=self._turned, further=plane)
        squeezed = down.down(strips, -(-width // scale)).reshape(SUMMARY, down.count, -1)
        products = _across(across, squeezed[:, : across.count])
        names = [view.name for view in columns]
        found = [products[:, i, :, i] for i in range(len(names))]
        transpose = [False] * len(names)
        which = list(range(len(names)))
        if self._turned:
            found += _flipped(products)
            names += [f"{MEAN}.{turn.name}" for turn in TURNED]
            transpose += [turn.transpose for turn in TURNED]
            which += [len(columns) + 2 * turn.flip_rows + turn.flip_columns for turn in TURNED]
        if warps:
            finer = _across(self._operators.stack(PLANE, width, scale), squeezed[:, across.count :])
            which += range(len(found), len(found) + len(warps))
            found += list(summaries(smoothed(finer), size, warps))
            names += [warp.name for warp in warps]
            transpose += [False] * len(warps)
        return self._hashed(np.stack(found), names, which, transpose)

    def _hashed(
        self,
        summaries: NDArray[np.floating],
        names: Sequence[str],
        which: Sequence[int],
        transpose: Sequence[bool],
    ) -> Sequence[tuple[str, bytes, int]]:
        """The hash of a summary for each name, of rows and columns exchanged where it says so."""
        qualities = qualities_of(summaries).tolist()
        coefficients = self._transform @ summaries @ self._transform.T
        views = np.stack(
            [coefficients[i].T if swap else coefficients[i] for i, swap in zip(which, transpose, strict=True)]
        )
        values = self._bits(views.reshape(len(names), -1))
        return [(n, v, qualities[i]) for n, v, i in zip(names, values, which, strict=True)]

    def bits(self, summary: NDArray[np.floating]) -> bytes:
        """The hash of a 64x64 summary."""
        return self._bits((self._transform @ summary @ self._transform.T).reshape(1, -1))[0]

    @staticmethod
    def _bits(coefficients: NDArray[np.float64]) -> list[bytes]:
        """Of each row, coefficients above the lower median, the last one first."""
        middle = coefficients.shape[1] // 2 - 1
        median = np.partition(coefficients, middle, axis=1)[:, middle : middle + 1]
        return [row.tobytes() for row in np.packbits((coefficients > median)[:, ::-1], axis=1)]


def _across(stack: Stack, squeezed: Matrix) -> Matrix:
    """64 x K x 64 x L, by L operators for the columns, from 64 x K x width by K for the rows."""
    count = squeezed.shape[1]
    rows = np.ascontiguousarray(squeezed).reshape(SUMMARY * count, -1)
    return stack.across(rows).reshape(SUMMARY, count, SUMMARY, stack.count)


def _flipped(products: Matrix) -> list[Matrix]:
    """The mean of the families' summaries: as it is, columns flipped, rows flipped, both.

    Args:
        products: 64 x K x 64 x K, every operator of the rows with every one of the columns; the last operator
            of each is the mirrored mean, its rows reversed.
    """
    *families, mirrored = (products[:, i] for i in range(products.shape[1]))
    mean = _mean(families)
    *upper, upper_mirrored = (mean[:, :, i] for i in range(mean.shape[2]))
    *lower, lower_mirrored = (mirrored[:, :, i] for i in range(mean.shape[2]))
    return [_mean(upper), upper_mirrored[:, ::-1], _mean(lower)[::-1], lower_mirrored[::-1, ::-1]]


def _mean(planes: Sequence[Matrix]) -> Matrix:
    # By hand: numpy's mean takes ten times as long along an axis of two or three.
    total = planes[0].copy()
    for plane in planes[1:]:
        total += plane
    total /= len(planes)
    return total
