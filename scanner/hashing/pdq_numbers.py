"""PDQ, the 256 bit perceptual hash of the lists, in the views that its producers use.

Source: facebook/ThreatExchange, pdq/ (README.md, hashing.pdf, cpp/hashing/pdqhashing.cpp). There is no
single PDQ of a file: the C++ tools reduce a large picture to a 512x512 grid first, the Java and Python
ones don't, and the two differ by up to 34 bits on the same file. So a large picture gets both, and a
small one is also seen as if it were the thumbnail of a picture in either family.

Here are only numbers: the process that hands out files hashes a picture of its own making by this, too,
and must not load a decoder. `scanner.hashing.pdq` is the hasher of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.hashing.operators import BIG, GRID, SUMMARY, Matrix, OperatorCache, View

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
        both = (View("full", "direct"), View("grid512", "nearest", GRID))
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


def quality_of(summary: NDArray[np.floating]) -> int:
    """0-100: how much gradient a 64x64 summary has, as the reference counts it."""
    down = np.trunc(100 * np.diff(summary, axis=0) / 255)
    across = np.trunc(100 * np.diff(summary, axis=1) / 255)
    return min(100, int(np.abs(down).sum() + np.abs(across).sum()) // 90)


class Pdq:
    """Computes PDQ; keeps operators between pictures, nothing of the pictures."""

    def __init__(self) -> None:
        self._operators = OperatorCache()
        self._transform = _transform()

    def hashes(
        self, size: tuple[int, int], strips: Iterable[tuple[int, Matrix]], scale: int = 1
    ) -> Sequence[tuple[str, bytes, int]]:
        """(view, 32 bytes most significant bit first, quality) of each view; none for a side below 5 pixels.

        Args:
            size: (width, height) of the picture in the file.
            strips: (first row, luma) of the picture as decoded, all of it.
            scale: by how much the decoder reduced it.
        """
        width, height = size
        if min(width, height) < _SMALLEST:
            return ()
        columns, rows = views(width, height)
        across = self._operators.stack(columns, width, scale)
        down = self._operators.stack(rows, height, scale)
        half = np.zeros((down.shape[0], across.shape[1]), dtype=np.float32)
        for top, strip in strips:
            half += down[:, top : top + strip.shape[0]] @ strip
        out = []
        for i, view in enumerate(columns):
            part = slice(i * SUMMARY, (i + 1) * SUMMARY)
            summary = half[part] @ across[part].T
            out.append((view.name, self.bits(summary), quality_of(summary)))
        return out

    def bits(self, summary: NDArray[np.floating]) -> bytes:
        """The hash of a 64x64 summary: coefficients above the lower median, the last one first."""
        coefficients = (self._transform @ summary @ self._transform.T).ravel()
        median = np.partition(coefficients, coefficients.size // 2 - 1)[coefficients.size // 2 - 1]
        return np.packbits((coefficients > median)[::-1]).tobytes()
