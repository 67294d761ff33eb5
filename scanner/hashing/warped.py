"""Views of a picture as if it were tilted a little, part of a larger one, or cropped.

PDQ sees 64x64 places of a picture, each the mean of what is around it. In a picture that was tilted by a few
degrees or cropped by a few per cent these places lie a little aside, and the means of what is around them are
nearly the same. So the picture is smoothed once, at 256x256 places, and each of these views takes its 64x64
places from there: no picture is turned or enlarged, which would cost far more.

Beyond the edges lies the picture's mirror image: nearer to what was cut off than any colour would be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.hashing.operators import SUMMARY, Matrix, View
from scanner.hashing.warps import Warp

_PHASES = 4  # places of the smoothed picture for each of a summary, along a side
_SMOOTHED = SUMMARY * _PHASES
# The box filter of PDQ at 1024 pixels, an even number for each place: its two passes look 3.5 pixels
# further than the first of each four, so place j lies at (j + 0.875) / 256 of a side.
_LENGTH, _LEAN = 1024, 0.875
PLANE = tuple(View(f"phase{n}", "centre", _LENGTH, (n + 0.5) / _PHASES) for n in range(_PHASES))
# Where a summary's place i lies, (i + 0.5 + this) / 64 of a side: the mean of the families of lists. The
# 512 grid leans by 0.125, all pixels by 0 to 0.1, by the size.
_FAMILIES_LEAN = 0.08


def smoothed(products: Matrix) -> Matrix:
    """The smoothed picture, 256 x 256, from the products of `PLANE` for its rows and for its columns.

    Args:
        products: 64 x 4 x 64 x 4, in the order of a stack: place by place, in each the phases.
    """
    return np.ascontiguousarray(products.reshape(_SMOOTHED, _SMOOTHED))


def summaries(plane: Matrix, size: tuple[int, int], warps: Sequence[Warp]) -> NDArray[np.float32]:
    """The 64x64 summary of each view, from the smoothed picture.

    Args:
        size: (width, height) of the picture; their proportion counts.
    """
    width, height = size
    place = ((np.arange(SUMMARY) + 0.5 + _FAMILIES_LEAN) / SUMMARY - 0.5).astype(np.float32)
    y, x = place[:, None], place[None, :]
    found = np.empty((len(warps), SUMMARY, SUMMARY), dtype=np.float32)
    # One at a time: then all that is made on the way stays in the processor's first cache.
    for i, warp in enumerate(warps):
        seen = warp.seen(width, height)
        sine, cosine = (np.float32(seen * f(math.radians(warp.degrees))) for f in (math.sin, math.cos))
        rows, columns = cosine * y, cosine * x
        if warp.degrees:
            rows = rows - sine * np.float32(width / height) * x
            columns = columns + sine * np.float32(height / width) * y
        found[i] = _sampled(plane, _position(rows), _position(columns))
    return found


def _position(shares: Matrix) -> Matrix:
    """Where places lie in the smoothed picture, from shares of its side, 0 being the middle; mirrored at the
    edges."""
    last = np.float32(_SMOOTHED - 1)
    position = shares * np.float32(_SMOOTHED) + np.float32(_SMOOTHED / 2 - _LEAN)
    # Of a strip that is many times as long as it is wide, a tilt leads to beyond the mirror image, too.
    inside: Matrix = np.maximum(last - np.abs(last - np.abs(position)), 0)
    return inside


def _sampled(plane: Matrix, rows: Matrix, columns: Matrix) -> Matrix:
    """What lies between places, weighed bilinearly."""
    top, left = (np.minimum(p.astype(np.int32), _SMOOTHED - 2) for p in (rows, columns))
    down, right = rows - top.astype(np.float32), columns - left.astype(np.float32)
    flat, at = plane.ravel(), (top * _SMOOTHED + left).astype(np.intp)
    upper, lower = (
        first + right * (flat[at + (step + 1)] - first)
        for step, first in ((step, flat[at + step]) for step in (0, _SMOOTHED))
    )
    mixed: Matrix = upper + down * (lower - upper)
    return mixed
